"""The order in which shards are extracted, so that moved and renamed files keep what was computed from them."""

from __future__ import annotations

from collections.abc import Sequence

from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.storage.files import is_away


def order_shards(lake: Lake, shards: Sequence[str]) -> list[str]:
    """The shards in an order in which renamed and moved images are still known where they were.

    First come those that lose no image, then those that lose some and get others, then those that only lose; among
    equals the order stays.
    """
    return [shard for wave in shard_batches(lake, shards) for shard in wave]


def shard_batches(lake: Lake, shards: Sequence[str]) -> list[list[str]]:
    """Those of `order_shards` in groups that follow one another; within one, all may be worked on at once."""
    losses = {shard: _loss(lake, shard) for shard in shards}
    groups = ([shard for shard in shards if losses[shard] == loss] for loss in sorted(set(losses.values())))
    return list(groups)


def receiving_shards(lake: Lake, shards: Sequence[str]) -> list[str]:
    """Other shards with new files of the size and time of files that these lose: renamed or moved ones, by all signs.

    Extracted before these, they take over what is known of the pictures. Those of a source that is away are left out.
    """
    lost = set().union(*(_size_and_time(lake, shard, gone=True) for shard in shards))
    if not lost:
        return []
    there = {name for name, root in lake.settings().sources.items() if not is_away(root)}
    others = [shard for shard in lake.live_shards() if shard not in shards and source_of(shard) in there]
    return [shard for shard in others if lost & _size_and_time(lake, shard, gone=False)]


def _size_and_time(lake: Lake, shard: str, *, gone: bool) -> set[tuple[int, int]]:
    """Of the files that are gone from a shard since its images table was made, or of those that are new since."""
    images, manifest = lake.images_path(shard), lake.catalog_path(shard)
    said, wanted = lake.made_from(images), lake.made_from(manifest)
    if (said or {}).get("shard_version") == (wanted or {}).get("shard_version"):
        return set()
    columns = ["image_id", "byte_size", "mtime_ns"]
    before = lake.read_table(images, columns).to_pylist() if said else []
    now = lake.read_table(manifest, columns).to_pylist() if wanted else []
    there = {row["image_id"] for row in (now if gone else before)}
    return {(row["byte_size"], row["mtime_ns"]) for row in (before if gone else now) if row["image_id"] not in there}


def _loss(lake: Lake, shard: str) -> int:
    """0 where no image of a shard's table is gone from its manifest, 1 where there are new ones too, else 2."""
    images, manifest = lake.images_path(shard), lake.catalog_path(shard)
    said, wanted = lake.made_from(images), lake.made_from(manifest)
    if said is None or wanted is None or said.get("shard_version") == wanted["shard_version"]:
        return 0
    before, now = (set(lake.read_table(path, ["image_id"])["image_id"].to_pylist()) for path in (images, manifest))
    return 0 if before <= now else 1 if now - before else 2
