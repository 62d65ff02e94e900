"""What is learnt from many images, and the features that are derived with it.

A derived feature learns from its bases' vectors, in one pass over the shards; a feature of the pixels, such as one
with a codebook, from a sample of pictures. What is learnt is kept under `fitted/<feature>/<version>`; the version is
part of what a table was made from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core import tables
from imrec_core.decode import ImageBatch, Pixels, decode
from imrec_core.errors import DeclarationError, ImageError, LakeError, MissingTable, SchemaMismatch
from imrec_core.extract import read_image
from imrec_core.features import Feature, decoded_side
from imrec_core.freshness import (
    digest,
    expected_of,
    fit_key,
    is_feature_fresh,
    made_of,
    manifest_version,
    stale_features,
    usable_fit,
)
from imrec_core.lake import Lake, source_of
from imrec_core.machine import cpu_count
from imrec_core.settings import Source
from imrec_core.storage import is_away

Matrix = NDArray[Any]

# A fit stays as it is until this many times the rows it was made from are there: what was learnt from a sample holds
# for more of the same, and a new fit makes every row that depends on it anew.
_GROWTH = 2.0
_BATCH = 16  # sampled pictures decoded together
_SEED = 20_26


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
    version = usable_fit(lake, feature)
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
    version = f"{fit_key(lake, feature)}-{digest(inputs)}"
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
    if not version.startswith(fit_key(lake, feature)):
        return False
    rows = int(lake.fitted_facts(feature.name, version)["lake_images"])  # type: ignore[call-overload]
    return _rows(lake) < _GROWTH * rows or (feature.learnt is not None and rows >= feature.learnt.images)


def _rows(lake: Lake) -> int:
    return sum(lake.row_count(lake.catalog_path(shard)) for shard in lake.live_shards())


def _blocks(lake: Lake, feature: Feature, shards: Sequence[str]) -> list[Callable[[], list[Matrix]]]:
    for shard in shards:
        missing = stale_features(lake, shard, feature.bases)
        if missing:
            raise MissingTable(f"{missing[0].name} is not up to date for shard {shard!r}; run: imrec build")

    def read(shard: str) -> list[Matrix]:
        return [_matrix(lake.read_table(lake.feature_path(base.name, shard), ["vector"])) for base in feature.bases]

    return [partial(read, shard) for shard in shards]


def _matrix(table: pa.Table) -> Matrix:
    return tables.to_matrix(table["vector"])


# -- a sample of pictures -----------------------------------------------------------------------------------


def sampled_pictures(lake: Lake, count: int) -> Iterator[ImageBatch]:
    """Up to `count` pictures of the lake, decoded, a few at a time; the same ones for the same manifests.

    Those that cannot be read or decoded are left out, and so are sources that are away.
    """
    settings = lake.settings()
    sources = {name: settings.source(name) for name, root in settings.sources.items() if not is_away(root)}
    shards = [shard for shard in lake.live_shards() if source_of(shard) in sources]
    counts = [lake.row_count(lake.catalog_path(shard)) for shard in shards]
    chosen = np.sort(np.random.default_rng(_SEED).permutation(sum(counts))[:count])
    places: list[tuple[Source, dict[str, Any]]] = []
    for shard, first, rows in zip(shards, np.cumsum([0, *counts]), counts, strict=False):
        inside = chosen[(chosen >= first) & (chosen < first + rows)] - first
        taken = lake.read_table(lake.catalog_path(shard)).take(pa.array(inside)).to_pylist()
        places += [(sources[source_of(shard)], place) for place in taken]
    min_side = decoded_side(lake)

    def pixels(chosen: tuple[Source, dict[str, Any]]) -> Pixels | None:
        try:
            return decode(read_image(*chosen), max_pixels=settings.max_pixels, min_side=min_side).pixels
        except ImageError:
            return None

    with ThreadPoolExecutor(cpu_count()) as pool:
        for first in range(0, len(places), _BATCH):
            decoded = [image for image in pool.map(pixels, places[first : first + _BATCH]) if image is not None]
            if decoded:
                yield ImageBatch(decoded)


# -- derived features ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProjectionReport:
    """What projecting did for one shard; `computed` is False where its table was up to date."""

    shard: str
    feature: str
    rows: int
    computed: bool
    seconds: float = 0.0
    table_bytes: int = 0


def project_shard(lake: Lake, shard: str, feature: Feature) -> ProjectionReport:
    """Make a derived feature of one shard from its bases' vectors, where it is missing or stale.

    Raises:
        MissingTable: Nothing is fitted yet, or a base is not there.
        SchemaMismatch: The bases are of different images.
    """
    started = time.perf_counter()
    path = lake.feature_path(feature.name, shard)
    if feature.projection is None:
        raise DeclarationError(f"{feature.name} is not computed from other features")
    expected = expected_of(lake, shard, feature, lake.settings())
    if expected is None:
        raise MissingTable(f"{feature.name} is not fitted yet; run: imrec build")
    if is_feature_fresh(lake, shard, feature):
        return ProjectionReport(shard, feature.name, lake.row_count(path), False)
    missing = stale_features(lake, shard, feature.bases)
    if missing:
        raise MissingTable(f"{missing[0].name} is not up to date for shard {shard!r}; run: imrec build")
    # Noted before anything is read: a scan in between then makes this stale.
    made_from = expected | {"bases": made_of(lake, shard, feature)}
    bases = [lake.read_table(lake.feature_path(base.name, shard)) for base in feature.bases]
    ids = bases[0]["image_id"]
    if not all(table["image_id"].equals(ids) for table in bases):
        raise SchemaMismatch(f"the bases of {feature.name} have different images in shard {shard!r}; run: imrec build")
    vectors = feature.projection.project(
        [_matrix(table) for table in bases], lake.load_fitted(feature.name, expected["fitted"])
    )
    projected = pa.table(
        [ids.combine_chunks(), tables.to_vectors(feature.checked(vectors, len(ids)))], schema=feature.schema
    )
    size = lake.write_table(path, projected, made_from)
    return ProjectionReport(shard, feature.name, len(ids), True, time.perf_counter() - started, size)
