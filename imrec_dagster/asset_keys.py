"""Keys and code versions of the assets."""

import dagster as dg

from imrec_core.extraction.staleness import digest
from imrec_core.features import Feature

IMAGES = dg.AssetKey("images")
MANIFEST = dg.AssetKey("shard_manifest")
GENERATION = dg.AssetKey("generation")
EXTRACT = "extract"  # the step that computes all features of a shard


def feature_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["features", name])


def fitted_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["fitted", name])


def code_version(feature: Feature) -> str:
    """What Dagster compares: the version, and what a `lake.toml` may change of it."""
    return f"{feature.version}-{digest(dict(feature.params))}" if feature.params else str(feature.version)
