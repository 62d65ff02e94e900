"""Keys and code versions of the assets. The assets themselves are in `assets/`."""

import dagster as dg

from imrec_core.extraction.staleness import digest
from imrec_core.features import Feature

CATALOG = dg.AssetKey("catalog")
IMAGES = dg.AssetKey("images")
MANIFEST = dg.AssetKey("shard_manifest")
GENERATION = dg.AssetKey("generation")
EXTRACT = "extract"  # the step that computes all features of a shard


def feature_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["features", name])


def fitted_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["fitted", name])


def code_version(feature: Feature) -> str:
    """Return the feature's version, and a digest of the parameters that `lake.toml` can change."""
    return f"{feature.version}-{digest(dict(feature.params))}" if feature.params else str(feature.version)
