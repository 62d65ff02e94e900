"""Fit features to a lake: from base vectors for a derived feature, from a sample of images for a pixel feature.

A fit is stored under `fitted/<feature>/<version>` and kept while it is valid. Tables record the version they were made
with.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from numpy.typing import NDArray

from imrec_core.errors import DamagedTable, DeclarationError, LakeError, MissingTable
from imrec_core.extraction.sampling import sample_images
from imrec_core.extraction.staleness import current_fit, digest, fit_fingerprint, manifest_version, stale_features
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake

# A fit is kept until the lake has this many times the images it was made from: a fit to a sample is valid for more of
# the same, and a new fit makes all rows that depend on it stale.
_GROWTH = 2.0


@dataclass(frozen=True)
class FitReport:
    """Result of a fit.

    Attributes:
        name: Name of the feature.
        version: Version in use now.
        fitted: Whether a new fit was made; False if the existing one was kept.
        facts: Statistics for display: rows, variance kept, `curves`, ...
    """

    name: str
    version: str
    fitted: bool
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


def fit(lake: Lake, feature: Feature, *, force: bool = False) -> FitReport:
    """Fit a feature to the whole lake, unless the fit in use is still valid.

    Args:
        force: Whether to make a new fit in any case. All tables of the feature are then stale.

    Raises:
        MissingTable: A base feature is not up to date in every shard.
        LakeError: The lake has too few images.
        DeclarationError: The feature needs no fit.
    """
    started = time.perf_counter()
    if not feature.is_fitted:
        raise DeclarationError(f"{feature.name} is computed from each image alone; there is nothing to fit")
    version = valid_fit(lake, feature)
    if version is not None and not force:
        return FitReport(feature.name, version, False, 0.0, lake.fitted_facts(feature.name, version))
    check_rows_suffice(lake, feature)
    shards = lake.live_shards()
    if feature.projection:
        blocks = _blocks(lake, feature, shards)
        arrays, facts = feature.projection.fit(blocks, lake.study_path(feature.name))
    else:
        assert feature.learnt is not None
        arrays, facts = feature.learnt.learn(sample_images(lake, feature.learnt.images))
    facts = {**facts, "lake_images": _count_images(lake)}
    inputs = [manifest_version(lake, shard) for shard in shards]
    if force:  # an iterative method may learn something else from the same inputs
        inputs.append(uuid.uuid4().hex)
    version = f"{fit_fingerprint(lake, feature)}-{digest(inputs)}"
    lake.save_fitted(feature.name, version, arrays, facts)
    return FitReport(feature.name, version, True, time.perf_counter() - started, facts)


def check_rows_suffice(lake: Lake, feature: Feature) -> None:
    """Check that the lake has enough images to fit a feature.

    Raises:
        LakeError: It has too few.
    """
    least, images = _least_images(feature), _count_images(lake)
    if images < least:
        raise LakeError(f"{feature.name} needs at least {least} images to learn from; the lake has {images}")


def has_enough_images(lake: Lake, feature: Feature) -> bool:
    """Return whether the lake has enough images to fit a feature."""
    return _count_images(lake) >= _least_images(feature)


def _least_images(feature: Feature) -> int:
    return feature.projection.least_rows if feature.projection else feature.learnt.least_images  # type: ignore[union-attr]


def valid_fit(lake: Lake, feature: Feature, images: int | None = None) -> str | None:
    """Return the version of the fit in use; None if a fit is due.

    Args:
        images: Number of images of the lake, if known.
    """
    version = current_fit(lake, feature)
    return version if version is not None and holds(lake, feature, version, images) else None


def holds(lake: Lake, feature: Feature, version: str, images: int | None = None) -> bool:
    """Check whether a fit is valid: same declarations, same fits of the bases, and the lake has not grown much since.

    Growth does not matter to a fit from a sample of the maximum size.

    Args:
        images: Number of images of the lake, if known.
    """
    if not version.startswith(fit_fingerprint(lake, feature)):
        return False
    fitted_images = _fitted_images(lake, feature, version)
    images = _count_images(lake) if images is None else images
    return images < _GROWTH * fitted_images or (feature.learnt is not None and fitted_images >= feature.learnt.images)


def _fitted_images(lake: Lake, feature: Feature, version: str) -> int:
    """Return the number of images of the lake at the time of a fit; 0 if its record is missing or damaged."""
    try:
        return int(lake.fitted_facts(feature.name, version)["lake_images"])  # type: ignore[call-overload,no-any-return]
    except (OSError, ValueError, KeyError, TypeError, DamagedTable):
        return 0


def _count_images(lake: Lake) -> int:
    return sum(lake.row_count(lake.catalog_path(shard)) for shard in lake.live_shards())


def _blocks(lake: Lake, feature: Feature, shards: Sequence[str]) -> list[Callable[[], list[NDArray[Any]]]]:
    """Return functions that read the base vectors of one shard each.

    Raises:
        MissingTable: A base feature is not up to date in a shard.
    """
    for shard in shards:
        missing = stale_features(lake, shard, feature.bases)
        if missing:
            raise MissingTable(f"{missing[0].name} is not up to date for shard {shard!r}; run: imrec build")

    def read(shard: str) -> list[NDArray[Any]]:
        paths = [lake.feature_path(base.name, shard) for base in feature.bases]
        return [schemas.to_matrix(lake.read_table(path, ["vector"])["vector"]) for path in paths]

    return [partial(read, shard) for shard in shards]
