"""Which tables of a shard are up to date: every file says what it was made from, and that is compared.

Nothing is computed here, and nothing but file metadata is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imrec_core.errors import MissingTable
from imrec_core.features import Feature
from imrec_core.lake import Lake
from imrec_core.settings import Settings


def manifest_version(lake: Lake, shard: str) -> str:
    """The version of the shard's manifest.

    Raises:
        MissingTable: There is none.
    """
    made_from = lake.made_from(lake.catalog_path(shard))
    if made_from is None:
        raise MissingTable(f"shard {shard!r} has no manifest; run: imrec build")
    return made_from["shard_version"]


def images_made_from(shard: str, shard_version: str) -> dict[str, str]:
    """What the metadata of an up-to-date images table says."""
    return {"shard": shard, "shard_version": shard_version}


def feature_made_from(shard: str, shard_version: str, feature: Feature) -> dict[str, str]:
    """What the metadata of an up-to-date table of the feature says."""
    return {
        **images_made_from(shard, shard_version),
        "feature": feature.name,
        "feature_version": str(feature.version),
        **({"weights": feature.model.sha256[:16]} if feature.model else {}),
    }


def has_fresh_images(lake: Lake, shard: str) -> bool:
    """Whether the images table of a shard is up to date.

    It is not where images were too large for the limit of then, and the limit has been raised since.
    """
    path = lake.images_path(shard)
    found = lake.made_from(path) or {}
    refused_above = int(found.get("refused_above", lake.settings().max_pixels))
    return refused_above >= lake.settings().max_pixels and is_fresh(
        lake, path, images_made_from(shard, manifest_version(lake, shard))
    )


def is_fresh(lake: Lake, path: Path, expected: dict[str, str]) -> bool:
    """Whether a table says that it was made from what is expected; it may say more."""
    found = lake.made_from(path)
    return found is not None and expected.items() <= found.items()


def stale_features(
    lake: Lake, shard: str, features: Sequence[Feature], settings: Settings | None = None
) -> list[Feature]:
    """Those of the features (no projections) whose table of this shard is missing or made from something else."""
    asked = (settings or lake.settings()).precision
    shard_version = manifest_version(lake, shard)
    images = lake.made_from(lake.images_path(shard)) or {}
    # The tables of a shard may come from different runs, between which an image may have become readable, or not.
    rows = {"rows": images["rows"]} if "rows" in images and images.get("shard_version") == shard_version else {}
    stale = []
    for feature in features:
        expected = feature_made_from(shard, shard_version, feature) | rows
        if feature.model and asked != "auto":
            expected["precision"] = asked
        if not is_fresh(lake, lake.feature_path(feature.name, shard), expected):
            stale.append(feature)
    return stale
