"""Which tables of a shard are up to date: each file records what it was made from, and that is compared.

Only file metadata is read, and nothing is computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from imrec_core.errors import ImageTooLarge, MissingTable, TruncatedImage
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.lake.storage.files import AnyPath

WHICH_IMAGES = ("shard", "shard_version", "rows", "contents")
"""Metadata keys of a table that identify its images; the other keys identify how its vectors were computed."""

HAS_MARKED = "marked"
"""Metadata key of an images table with images that must be decoded again; see `images_upgrade`."""

REREAD = "reread"
"""Metadata key of an images table: the last `reread_ns` of its manifest. Files with a later one are read again."""

PIXELS = "pixels"
"""Metadata key of an images table with images whose pixels are read otherwise now, although their content is the same.

It is part of the digests `rows` and `contents`. So tables of features that the first extraction after the upgrade did
not compute become stale, and are not extended: they have old vectors of these images.
"""


def manifest_version(lake: Lake, shard: str) -> str:
    """Return the version of a shard's manifest.

    Raises:
        MissingTable: The shard has no manifest.
    """
    made_from = lake.made_from(lake.catalog_path(shard))
    if made_from is None:
        raise MissingTable(f"shard {shard!r} has no manifest; run: imrec build")
    return made_from["shard_version"]


def images_made_from(shard: str, shard_version: str) -> dict[str, str]:
    """Return the metadata of an up-to-date images table."""
    return {**_shard_metadata(shard, shard_version), "images_version": str(schemas.IMAGES_VERSION)}


def _shard_metadata(shard: str, shard_version: str) -> dict[str, str]:
    return {"shard": shard, "shard_version": shard_version}


def feature_fingerprint(feature: Feature) -> dict[str, str]:
    """Return what the vectors of a feature depend on: name, version, dims, weights, parameters."""
    return {
        "feature": feature.name,
        "feature_version": str(feature.version),
        "dims": str(feature.dims),
        **({"weights": feature.model.identity} if feature.model else {}),
        **({"params": json.dumps(feature.params, sort_keys=True)} if feature.params else {}),
    }


def feature_made_from(shard: str, shard_version: str, feature: Feature) -> dict[str, str]:
    """Return the metadata that every up-to-date table of a feature has; it may have more."""
    return {**_shard_metadata(shard, shard_version), **feature_fingerprint(feature)}


def has_fresh_images(lake: Lake, shard: str) -> bool:
    """Check whether the images table of a shard is up to date.

    A table with images that were refused is stale once a setting accepts them, one with marked images until these are
    decoded again.
    """
    path = lake.images_path(shard)
    found = lake.made_from(path) or {}
    due_again = HAS_MARKED in found or newly_accepted(found, lake.settings())
    return not due_again and is_fresh(lake, path, images_made_from(shard, manifest_version(lake, shard)))


def can_wait(lake: Lake, shard: str) -> bool:
    """Check whether an images table describes the images of the manifest, perhaps as an earlier version read them.

    While its source is away, a generation takes the images as they are.
    """
    found = lake.made_from(lake.images_path(shard)) or {}
    known = {str(version) for version in (*schemas.UPGRADABLE_VERSIONS, schemas.IMAGES_VERSION)}
    return found.get("images_version") in known and found.get("shard_version") == manifest_version(lake, shard)


def newly_accepted(images: Mapping[str, str], settings: Settings) -> set[str]:
    """Return the reasons of failures in an images table that the settings no longer refuse.

    Args:
        images: Metadata of the table.
    """
    reasons = set()
    if int(images.get("refused_above", settings.max_pixels)) < settings.max_pixels:
        reasons.add(ImageTooLarge.__name__)
    if settings.allow_truncated and "refused_truncated" in images:
        reasons.add(TruncatedImage.__name__)
    return reasons


def is_fresh(lake: Lake, path: AnyPath, expected: dict[str, str]) -> bool:
    """Check whether the metadata of a table includes what is expected."""
    found = lake.made_from(path)
    return found is not None and expected.items() <= found.items()


def fit_fingerprint(lake: Lake, feature: Feature) -> str:
    """Return the prefix of a fit's version: a digest of all declarations that the fit depends on.

    It includes the fits of base features, because a new fit of a base gives its vectors another meaning.
    """
    bases = [
        (fit_fingerprint(lake, base), lake.fitted_version(base.name) if base.is_fitted else "")
        for base in feature.bases
    ]
    return digest([feature_fingerprint(feature), bases])


def current_fit(lake: Lake, feature: Feature) -> str | None:
    """Return the version of the fit in use; None if there is none, or if it was made for other declarations."""
    version = lake.fitted_version(feature.name)
    return version if version and version.startswith(fit_fingerprint(lake, feature)) else None


def digest(facts: object) -> str:
    """Return 16 hex digits that change if plain data changes."""
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()


def expected_metadata(lake: Lake, shard: str, feature: Feature, settings: Settings) -> dict[str, str] | None:
    """Return the metadata of an up-to-date table of a feature; None if the feature needs a fit first.

    Tables may come from different runs, and an image may start or stop failing between them. So the metadata
    includes a digest of the rows. Tables of fitted features name the fit, those of derived features the base tables.
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
    """Return a digest of the metadata of a derived feature's base tables."""
    return digest([lake.made_from(lake.feature_path(base.name, shard)) for base in feature.bases])


def is_feature_fresh(lake: Lake, shard: str, feature: Feature, settings: Settings | None = None) -> bool:
    """Check whether the tables of a feature and of its bases are up to date in a shard."""
    return not stale_reason(lake, shard, feature, settings)


def stale_reason(lake: Lake, shard: str, feature: Feature, settings: Settings | None = None) -> str:
    """Return why a feature's table of a shard is not up to date, in words; empty if it is."""
    return _stale_reason(lake, shard, feature, settings or lake.settings(), {})


def stale_reasons(lake: Lake, shard: str, features: Sequence[Feature], settings: Settings) -> dict[str, str]:
    """Return why tables of features are not up to date in a shard, by name; up-to-date features are left out."""
    known: dict[str, str] = {}
    reasons = {feature.name: _stale_reason(lake, shard, feature, settings, known) for feature in features}
    return {name: reason for name, reason in reasons.items() if reason}


def _stale_reason(lake: Lake, shard: str, feature: Feature, settings: Settings, known: dict[str, str]) -> str:
    """Return the reason from `known`, or find it out and add it: several features may have the same base."""
    if feature.name not in known:
        inherited = _base_reason(lake, shard, feature, settings, known)
        known[feature.name] = inherited or _own_reason(lake, shard, feature, settings)
    return known[feature.name]


def _base_reason(lake: Lake, shard: str, feature: Feature, settings: Settings, known: dict[str, str]) -> str:
    """Return why a base of a feature is not up to date, after its name; empty if all bases are."""
    for base in feature.bases:
        if why := _stale_reason(lake, shard, base, settings, known):
            return why if ": " in why else f"{base.name}: {why}"
    return ""


def _own_reason(lake: Lake, shard: str, feature: Feature, settings: Settings) -> str:
    """Return why a feature's table is not up to date, given that the base tables are."""
    expected = expected_metadata(lake, shard, feature, settings)
    if expected is None:
        return "not fitted yet"
    found = lake.made_from(lake.feature_path(feature.name, shard))
    if found is None:
        return "not computed yet"
    differs = {key for key, value in expected.items() if found.get(key) != value}
    default = "made from something else" if differs else ""
    return next((words for key, words in _REASONS.items() if key in differs), default)


_REASONS = {  # by metadata key; if several differ, the first counts
    "feature": "its declaration changed",
    "feature_version": "its version was raised",
    "dims": "its declaration changed",
    "weights": "its weights changed",
    "params": "its declaration changed",
    "precision": "another precision is set",
    "shard": "made for another shard",
    "shard_version": "images were added, changed or removed",
    "rows": "images recovered or failed since",
    "fitted": "its fit changed",
    "bases": "a base feature changed",
}


def stale_features(
    lake: Lake, shard: str, features: Sequence[Feature], settings: Settings | None = None
) -> list[Feature]:
    """Select the features whose table of a shard is missing or not up to date."""
    settings = settings or lake.settings()
    return [feature for feature in features if not is_feature_fresh(lake, shard, feature, settings)]
