"""Fitting: what a feature learns from many images, kept while it still holds.

A derived feature learns from its bases' vectors, in one pass over the shards; a feature of the pixels, such as one
with a codebook, from a sample of pictures. What is learnt is kept under `fitted/<feature>/<version>`; the version is
part of what a table was made from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from numpy.typing import NDArray

from imrec_core.errors import DeclarationError, LakeError, MissingTable
from imrec_core.extraction.sampling import sampled_pictures
from imrec_core.extraction.staleness import current_fit, digest, fit_fingerprint, manifest_version, stale_features
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake

# A fit stays as it is until this many times the rows it was made from are there: what was learnt from a sample holds
# for more of the same, and a new fit makes every row that depends on it anew.
_GROWTH = 2.0


@dataclass(frozen=True)
class FitReport:
    """What a fit did.

    Attributes:
        version: Of what is in use now.
        fitted: Whether it was learnt now; otherwise what was there still holds.
        facts: What there is to show: rows, variance kept, `curves`, ….
    """

    name: str
    version: str
    fitted: bool
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


def fit(lake: Lake, feature: Feature) -> FitReport:
    """Learn what a feature needs from the whole lake, unless what is there still holds.

    Raises:
        MissingTable: A base feature is not there for every shard.
        LakeError: There are too few images.
        DeclarationError: The feature needs nothing learnt.
    """
    started = time.perf_counter()
    if not feature.is_fitted:
        raise DeclarationError(f"{feature.name} is computed from each picture alone; there is nothing to fit")
    version = current_fit(lake, feature)
    if version is not None and holds(lake, feature, version):
        return FitReport(feature.name, version, False, 0.0, lake.fitted_facts(feature.name, version))
    check_rows_suffice(lake, feature)
    shards = lake.live_shards()
    if feature.projection:
        blocks = _blocks(lake, feature, shards)
        arrays, facts = feature.projection.fit(blocks, lake.study_path(feature.name))
    else:
        assert feature.learnt is not None
        arrays, facts = feature.learnt.learn(sampled_pictures(lake, feature.learnt.images))
    facts = {**facts, "lake_images": _rows(lake)}
    inputs = [manifest_version(lake, shard) for shard in shards]
    version = f"{fit_fingerprint(lake, feature)}-{digest(inputs)}"
    lake.save_fitted(feature.name, version, arrays, facts)
    return FitReport(feature.name, version, True, time.perf_counter() - started, facts)


def check_rows_suffice(lake: Lake, feature: Feature) -> None:
    """Refuse a fit for which the lake has too few images.

    Raises:
        LakeError: It has.
    """
    least = feature.projection.least_rows if feature.projection else feature.learnt.least_images  # type: ignore[union-attr]
    if _rows(lake) < least:
        raise LakeError(f"{feature.name} needs at least {least} images to learn from; the lake has {_rows(lake)}")


def holds(lake: Lake, feature: Feature, version: str) -> bool:
    """Whether a fit still stands for the lake: same declarations, same bases, not many more rows than it was made of.

    A sample of pictures that was as large as it is ever taken stands for good.
    """
    if not version.startswith(fit_fingerprint(lake, feature)):
        return False
    rows = int(lake.fitted_facts(feature.name, version)["lake_images"])  # type: ignore[call-overload]
    return _rows(lake) < _GROWTH * rows or (feature.learnt is not None and rows >= feature.learnt.images)


def _rows(lake: Lake) -> int:
    return sum(lake.row_count(lake.catalog_path(shard)) for shard in lake.live_shards())


def _blocks(lake: Lake, feature: Feature, shards: Sequence[str]) -> list[Callable[[], list[NDArray[Any]]]]:
    for shard in shards:
        missing = stale_features(lake, shard, feature.bases)
        if missing:
            raise MissingTable(f"{missing[0].name} is not up to date for shard {shard!r}; run: imrec build")

    def read(shard: str) -> list[NDArray[Any]]:
        paths = [lake.feature_path(base.name, shard) for base in feature.bases]
        return [schemas.to_matrix(lake.read_table(path, ["vector"])["vector"]) for path in paths]

    return [partial(read, shard) for shard in shards]
