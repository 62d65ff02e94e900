"""Which tables of a shard are up to date: every file says what it was made from, and that is compared.

Nothing is computed here, and nothing but file metadata is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from imrec_core.errors import MissingTable
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.lake.storage.files import AnyPath

WHICH_IMAGES = ("shard", "shard_version", "rows", "contents")
"""What a table's metadata says of which images it has; the rest says how they were described."""


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
    return {**_made_for(shard, shard_version), "images_version": str(schemas.IMAGES_VERSION)}


def _made_for(shard: str, shard_version: str) -> dict[str, str]:
    return {"shard": shard, "shard_version": shard_version}


def feature_fingerprint(feature: Feature) -> dict[str, str]:
    """What a feature is, as far as its numbers depend on it: name, version, dims, weights, parameters."""
    return {
        "feature": feature.name,
        "feature_version": str(feature.version),
        "dims": str(feature.dims),
        **({"weights": feature.model.identity} if feature.model else {}),
        **({"params": json.dumps(feature.params, sort_keys=True)} if feature.params else {}),
    }


def feature_made_from(shard: str, shard_version: str, feature: Feature) -> dict[str, str]:
    """What the metadata of an up-to-date table of the feature says, whatever else it says."""
    return {**_made_for(shard, shard_version), **feature_fingerprint(feature)}


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


def is_fresh(lake: Lake, path: AnyPath, expected: dict[str, str]) -> bool:
    """Whether a table says that it was made from what is expected; it may say more."""
    found = lake.made_from(path)
    return found is not None and expected.items() <= found.items()


def fit_fingerprint(lake: Lake, feature: Feature) -> str:
    """What the version of a fit begins with: a digest of all declarations that it depends on.

    The fits of its bases are part of it: after another one their numbers mean something else.
    """
    bases = [
        (fit_fingerprint(lake, base), lake.fitted_version(base.name) if base.is_fitted else "")
        for base in feature.bases
    ]
    return digest([feature_fingerprint(feature), bases])


def current_fit(lake: Lake, feature: Feature) -> str | None:
    """The version of the fit in use; None where there is none, or it was made for other declarations."""
    version = lake.fitted_version(feature.name)
    return version if version and version.startswith(fit_fingerprint(lake, feature)) else None


def digest(facts: object) -> str:
    """16 hex digits that change when plain data does."""
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()


def expected_metadata(lake: Lake, shard: str, feature: Feature, settings: Settings) -> dict[str, str] | None:
    """What an up-to-date table of the feature says in this lake now; None where it cannot be had yet.

    Its tables may come from different runs, between which an image may have become readable, or not: so it names the
    rows too. What is fitted names the fit, what is derived the tables of its bases.
    """
    shard_version = manifest_version(lake, shard)
    expected = feature_made_from(shard, shard_version, feature)
    if feature.model and settings.inference_precision != "auto":
        expected["precision"] = settings.inference_precision
    if feature.is_fitted:
        fitted = current_fit(lake, feature)
        if fitted is None:
            return None
        expected["fitted"] = fitted
    if feature.bases:
        return expected | {"bases": actual_fingerprint(lake, shard, feature)}
    images = lake.made_from(lake.images_path(shard)) or {}
    if "rows" in images and images.get("shard_version") == shard_version:
        expected["rows"] = images["rows"]
    return expected


def actual_fingerprint(lake: Lake, shard: str, feature: Feature) -> str:
    """A digest of what the tables of a derived feature's bases were made from."""
    return digest([lake.made_from(lake.feature_path(base.name, shard)) for base in feature.bases])


def is_feature_fresh(lake: Lake, shard: str, feature: Feature, settings: Settings | None = None) -> bool:
    """Whether a feature's table of this shard is up to date, and those that it is derived from."""
    return not stale_reason(lake, shard, feature, settings)


def stale_reason(lake: Lake, shard: str, feature: Feature, settings: Settings | None = None) -> str:
    """Why a feature's table of this shard is not up to date, in words; empty where it is."""
    settings = settings or lake.settings()
    for base in feature.bases:
        if why := stale_reason(lake, shard, base, settings):
            return why if ": " in why else f"{base.name}: {why}"
    expected = expected_metadata(lake, shard, feature, settings)
    if expected is None:
        return "not fitted yet"
    found = lake.made_from(lake.feature_path(feature.name, shard))
    if found is None:
        return "not computed yet"
    differs = {key for key, value in expected.items() if found.get(key) != value}
    return next((words for key, words in _WHY.items() if key in differs), "made from something else" if differs else "")


_WHY = {  # of several things that differ the first is said
    "feature": "declared otherwise since",
    "feature_version": "its version was raised",
    "dims": "declared otherwise since",
    "weights": "other weights since",
    "params": "declared otherwise since",
    "precision": "another precision is asked for",
    "shard": "made for another shard",
    "shard_version": "images were added, changed or removed",
    "rows": "images came good or failed since",
    "fitted": "fitted anew since",
    "bases": "what it is computed from was made anew",
}


def stale_features(
    lake: Lake, shard: str, features: Sequence[Feature], settings: Settings | None = None
) -> list[Feature]:
    """Those of the features whose table of this shard is missing or made from something else."""
    settings = settings or lake.settings()
    return [feature for feature in features if not is_feature_fresh(lake, shard, feature, settings)]


def needs_work(lake: Lake, shard: str, features: Sequence[Feature], settings: Settings | None = None) -> bool:
    """Whether a table of a shard is missing, damaged or stale that could be made now.

    That of a feature for which nothing is fitted yet could not.
    """
    settings = settings or lake.settings()
    return not has_fresh_images(lake, shard) or any(
        expected_metadata(lake, shard, feature, settings) is not None
        for feature in stale_features(lake, shard, features, settings)
    )
