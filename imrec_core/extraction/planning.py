"""Which passes over a shard bring its tables up to date, and how many images they will read.

Tables that can be extended are extended together, so that only what is new is decoded for them; the others need every
image again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imrec_core.extraction.failures import failed_images
from imrec_core.extraction.incremental import UnchangedRows, can_be_extended
from imrec_core.extraction.staleness import expected_metadata, has_fresh_images, stale_features
from imrec_core.features import Feature
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.models.encoders import Encoder, encoder_of


@dataclass(frozen=True)
class ReadEstimate:
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
    expected = expected_metadata(lake, shard, feature, settings) or {}
    for encoder in encoders_of([feature], settings, device).values():
        expected |= {"precision": encoder.precision, "backend": encoder.backend}
    return expected


def next_features(
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


def estimate_reads(
    lake: Lake, shard: str, features: Sequence[Feature], settings: Settings, device: str = "auto"
) -> ReadEstimate:
    """How many images extraction will read in a shard, as far as tables and manifest can tell."""
    work = next_features(lake, shard, features, settings, device)
    if work is None:
        return ReadEstimate()
    rows = lake.row_count(lake.catalog_path(shard))
    extended = _extendable(lake, shard, work, settings, device)
    others = [f for f in stale_features(lake, shard, features, settings) if f not in extended]
    unchanged = len(UnchangedRows(lake, shard, lake.read_table(lake.catalog_path(shard)), [], {}, settings).rows)
    new = rows - unchanged
    if not others:
        return ReadEstimate(new)
    return ReadEstimate((new if extended else 0) + rows, unchanged, tuple(f.name for f in others))
