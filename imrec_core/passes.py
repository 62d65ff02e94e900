"""Which passes over a shard bring its tables up to date, and how many images they will read.

Tables that can be extended are extended together, so that only what is new is decoded for them; the others need every
image again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imrec_core.encoders import Encoder, encoder_of
from imrec_core.features import Feature
from imrec_core.freshness import expected_of, has_fresh_images, stale_features
from imrec_core.lake import Lake, source_of
from imrec_core.reuse import Unchanged, can_be_extended
from imrec_core.settings import Settings
from imrec_core.storage import exists, is_away


@dataclass(frozen=True)
class Reads:
    """How many images extraction will read in a shard.

    Attributes:
        images: All of them; one that two passes read counts twice.
        again: Images that are as they were when they were described, and are read for `features` alone.
        features: Names of those that need every image.
    """

    images: int = 0
    again: int = 0
    features: tuple[str, ...] = ()


def encoders_of(features: Sequence[Feature], settings: Settings, device: str) -> dict[str, Encoder]:
    """The networks of the features that have one, made to run, by the feature's name."""
    return {f.name: encoder_of(f.model, settings, device) for f in features if f.model}


def expected_now(lake: Lake, shard: str, feature: Feature, settings: Settings, device: str) -> dict[str, str]:
    """What the feature's table will say when it is made now; empty where it cannot be made yet.

    More than what freshness asks for: vectors that are made now must not stand beside those of another arithmetic.
    """
    expected = expected_of(lake, shard, feature, settings) or {}
    for encoder in encoders_of([feature], settings, device).values():
        expected |= {"precision": encoder.precision, "backend": encoder.backend}
    return expected


def next_pass(
    lake: Lake, shard: str, features: Sequence[Feature], settings: Settings, device: str, *, retry: bool = False
) -> list[Feature] | None:
    """The features to compute next, perhaps none beside the images table; None where all is up to date.

    An image that comes good, or fails now, is a row more or less in every table: where that may be, those that are
    up to date are extended too.

    Args:
        retry: Failed files are to be tried again.
    """
    stale = stale_features(lake, shard, features, settings)
    same_rows = has_fresh_images(lake, shard) and not (retry and failed_images(lake, shard))
    if same_rows and not stale:
        return None
    return _extendable(lake, shard, stale if same_rows else features, settings, device) or stale


def _extendable(lake: Lake, shard: str, features: Sequence[Feature], settings: Settings, device: str) -> list[Feature]:
    return [f for f in features if can_be_extended(lake, shard, f, expected_now(lake, shard, f, settings, device))]


def reads_ahead(lake: Lake, shard: str, features: Sequence[Feature], settings: Settings, device: str = "auto") -> Reads:
    """How many images extraction will read in a shard, as far as tables and manifest can tell."""
    work = next_pass(lake, shard, features, settings, device)
    if work is None:
        return Reads()
    rows = lake.row_count(lake.catalog_path(shard))
    extended = _extendable(lake, shard, work, settings, device)
    others = [f for f in stale_features(lake, shard, features, settings) if f not in extended]
    unchanged = len(Unchanged(lake, shard, lake.read_table(lake.catalog_path(shard)), [], {}, settings).rows)
    new = rows - unchanged
    if not others:
        return Reads(new)
    return Reads((new if extended else 0) + rows, unchanged, tuple(f.name for f in others))


def takers_first(lake: Lake, shards: Sequence[str]) -> list[str]:
    """The shards in an order in which renamed and moved images are still known where they were.

    First come those that lose no image, then those that lose some and get others, then those that only lose; among
    equals the order stays.
    """
    return [shard for wave in waves(lake, shards) for shard in wave]


def waves(lake: Lake, shards: Sequence[str]) -> list[list[str]]:
    """Those of `takers_first` in groups that follow one another; within one, all may be worked on at once."""
    losses = {shard: _loss(lake, shard) for shard in shards}
    groups = ([shard for shard in shards if losses[shard] == loss] for loss in sorted(set(losses.values())))
    return list(groups)


def takers_of(lake: Lake, shards: Sequence[str]) -> list[str]:
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


def failed_images(lake: Lake, shard: str) -> list[str]:
    """Ids of the images of a shard that could not be read or decoded."""
    path = lake.images_path(shard)
    found = lake.read_table(path, ["image_id", "status"]) if exists(path) else None
    if found is None:
        return []
    statuses = found["status"].to_pylist()
    return [name for name, status in zip(found["image_id"].to_pylist(), statuses, strict=True) if status == "failed"]
