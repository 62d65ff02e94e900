"""Order of extraction: an image that moved to another shard is extracted there before its old shard forgets it."""

from __future__ import annotations

from collections.abc import Sequence

from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.storage.files import is_away


def reachable_shards(lake: Lake, shards: Sequence[str]) -> list[str]:
    """Select the shards whose source is not away."""
    away = {name for name, root in lake.settings().sources.items() if is_away(root)}
    return [shard for shard in shards if source_of(shard) not in away]


def order_shards(lake: Lake, shards: Sequence[str]) -> list[str]:
    """Order shards so that the features of renamed and moved images can be reused.

    Shards that lose no images come first, then those that lose some and gain others, then those that only lose some.
    Within each of these groups the order is kept.
    """
    return [shard for batch in shard_batches(lake, shards) for shard in batch]


def shard_batches(lake: Lake, shards: Sequence[str]) -> list[list[str]]:
    """Return the groups of `order_shards`; the shards of a group may be extracted concurrently."""
    losses = {shard: _loss_rank(lake, shard) for shard in shards}
    groups = ([shard for shard in shards if losses[shard] == loss] for loss in sorted(set(losses.values())))
    return list(groups)


def receiving_shards(lake: Lake, shards: Sequence[str]) -> list[str]:
    """List other shards with new files of the same size and time as files that these shards lose.

    These files were probably renamed or moved. Their shards must be extracted first, to reuse features of the lost
    images. Shards of a source that is away are left out.
    """
    lost = set().union(*(_sizes_and_times(lake, shard, gone=True) for shard in shards))
    if not lost:
        return []
    others = reachable_shards(lake, [shard for shard in lake.live_shards() if shard not in shards])
    return [shard for shard in others if lost & _sizes_and_times(lake, shard, gone=False)]


def _sizes_and_times(lake: Lake, shard: str, *, gone: bool) -> set[tuple[int, int]]:
    """Return size and time of the files that a shard lost, or gained, since its images table was made."""
    images, manifest = lake.images_path(shard), lake.catalog_path(shard)
    images_made, manifest_made = lake.made_from(images), lake.made_from(manifest)
    if (images_made or {}).get("shard_version") == (manifest_made or {}).get("shard_version"):
        return set()
    columns = ["image_id", "byte_size", "mtime_ns"]
    before = lake.read_table(images, columns).to_pylist() if images_made else []
    now = lake.read_table(manifest, columns).to_pylist() if manifest_made else []
    common = {row["image_id"] for row in (now if gone else before)}
    return {(row["byte_size"], row["mtime_ns"]) for row in (before if gone else now) if row["image_id"] not in common}


def _loss_rank(lake: Lake, shard: str) -> int:
    """Return 0 for a shard that loses no images, 1 if it gains others too, else 2."""
    images, manifest = lake.images_path(shard), lake.catalog_path(shard)
    images_made, manifest_made = lake.made_from(images), lake.made_from(manifest)
    if (
        images_made is None
        or manifest_made is None
        or images_made.get("shard_version") == manifest_made["shard_version"]
    ):
        return 0
    before, now = (set(lake.read_table(path, ["image_id"])["image_id"].to_pylist()) for path in (images, manifest))
    return 0 if before <= now else 1 if now - before else 2
