"""What is learnt from the vectors of many images, and the features that are made with it.

`FITTERS` maps a fitter's name (as a `Projection` gives it) to the function that learns. What is learnt is kept
under `fitted/<feature>/<version>`; the version is part of what a derived table was made from.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.linalg
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from imrec_core import tables
from imrec_core.errors import DeclarationError, LakeError, MissingTable
from imrec_core.features import Feature, find_feature
from imrec_core.freshness import feature_made_from, is_fresh, manifest_version, stale_features
from imrec_core.lake import Lake

Matrix = NDArray[Any]

# A projection stays as it is until this many times the rows it was fitted on are there: the axes of a sample hold
# for more of the same, and a new fit makes every derived row and graph anew.
_GROWTH = 2.0


@dataclass
class Moments:
    """Count, mean and scatter of rows seen so far; of two, `merged` gives those of all rows (Chan et al. 1983).

    Attributes:
        mean: `(dims,)` float64.
        scatter: `(dims, dims)` float64, the sum over rows of the outer product of row minus mean with itself.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Matrix) -> Moments:
        """Of a block of rows `(n, dims)`; the products are taken in float32, the sums of blocks in float64."""
        values = np.asarray(rows, dtype=np.float32)
        mean = values.mean(axis=0, dtype=np.float64) if len(values) else np.zeros(values.shape[1])
        centred = values - mean.astype(np.float32)
        return cls(len(values), mean, (centred.T @ centred).astype(np.float64))

    def merged(self, other: Moments) -> Moments:
        count = self.count + other.count
        if not count:
            return self
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        scatter = self.scatter + other.scatter
        scatter += np.outer(shift, shift) * (self.count * other.count / count)
        return Moments(count, mean, scatter)


@dataclass(frozen=True)
class FitReport:
    """What a fit did.

    Attributes:
        version: Of what is in use now.
        fitted: Whether it was learnt now; otherwise what was there still holds.
        facts: What there is to show: rows, variance kept, ….
    """

    name: str
    version: str
    fitted: bool
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


def fit_pca(feature: Feature, blocks: Sequence[Callable[[], Matrix]]) -> tuple[dict[str, Matrix], dict[str, Any]]:
    """Principal axes from one pass over blocks of rows, by the eigenvectors of their covariance.

    Returns:
        `mean` `(base dims,)` and `axes` `(dims, base dims)`, widest first, float32; the entry of an axis that is
        largest in size is positive. And the facts: rows, share of the variance kept.
    """
    base = find_feature(_projection(feature).base)
    moments = Moments(0, np.zeros(base.width), np.zeros((base.width, base.width)))
    for block in blocks:
        moments = moments.merged(Moments.of(block()))
    if moments.count < 2:
        raise LakeError(f"{feature.name} needs at least 2 images, there are {moments.count}")
    covariance = moments.scatter / moments.count
    widest = (base.width - feature.dims, base.width - 1)
    with threadpool_limits(1, user_api="blas"):  # 0.13 s; 0.25 s for all vectors, more with two threads
        variances, vectors = scipy.linalg.eigh(covariance, subset_by_index=widest, driver="evr")
    axes = vectors[:, ::-1].T
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    spectrum = variances[::-1] / max(np.trace(covariance), 1e-30)
    arrays = {"mean": moments.mean.astype(np.float32), "axes": axes.astype(np.float32)}
    facts = {"rows": moments.count, "dims": feature.dims, "variance_kept": float(spectrum.sum())}
    return arrays, facts | {"spectrum": spectrum.round(6).tolist()}


FITTERS = {"pca": fit_pca}


def fit(lake: Lake, feature: Feature) -> FitReport:
    """Learn what a derived feature needs from the whole lake, unless what is there still holds.

    Raises:
        MissingTable: The base feature is not there for every shard.
        LakeError: There are too few images.
    """
    started = time.perf_counter()
    version = lake.fitted_version(feature.name)
    if version and holds(lake, feature, version):
        return FitReport(feature.name, version, False, 0.0, lake.fitted_facts(feature.name, version))
    projection = _projection(feature)
    base = find_feature(projection.base)
    shards = lake.live_shards()
    for shard in shards:
        if stale_features(lake, shard, [base]):
            raise MissingTable(f"{base.name} is not up to date for shard {shard!r}; run: imrec build")

    def read(shard: str) -> Matrix:
        return tables.to_matrix(lake.read_table(lake.feature_path(base.name, shard), ["vector"])["vector"])

    arrays, facts = FITTERS[projection.fitter](feature, [partial(read, shard) for shard in shards])
    facts |= _made_with(feature)
    inputs = [manifest_version(lake, shard) for shard in shards]
    version = hashlib.blake2b(repr((sorted(_made_with(feature).items()), inputs)).encode(), digest_size=8).hexdigest()
    lake.save_fitted(feature.name, version, arrays, facts)
    return FitReport(feature.name, version, True, time.perf_counter() - started, facts)


def holds(lake: Lake, feature: Feature, version: str) -> bool:
    """Whether a fit still stands for the lake: same declarations, and not many more rows than it was fitted on."""
    facts = lake.fitted_facts(feature.name, version)
    if not _made_with(feature).items() <= facts.items():
        return False
    base = _projection(feature).base
    paths = [lake.feature_path(base, shard) for shard in lake.live_shards()]
    rows = sum(lake.row_count(path) for path in paths)
    return rows < _GROWTH * int(facts["rows"])  # type: ignore[call-overload, no-any-return]


def _made_with(feature: Feature) -> dict[str, Any]:
    projection = _projection(feature)
    base = find_feature(projection.base)
    return {
        "fitter": projection.fitter,
        "base": base.name,
        "base_version": base.version,
        "base_weights": base.model.sha256 if base.model else "",
        "feature_version": feature.version,
        "feature_dims": feature.dims,
    }


def _projection(feature: Feature) -> Any:
    if feature.projection is None:
        raise DeclarationError(f"{feature.name} is not computed from another feature")
    return feature.projection


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
    """Make a derived feature of one shard from its base's vectors, where it is missing or stale.

    Raises:
        MissingTable: Nothing is fitted yet, or the base is not there.
    """
    started = time.perf_counter()
    version = lake.fitted_version(feature.name)
    if version is None:
        raise MissingTable(f"{feature.name} is not fitted yet; run: imrec build")
    path = lake.feature_path(feature.name, shard)
    if is_projected(lake, shard, feature):
        return ProjectionReport(shard, feature.name, lake.row_count(path), False)
    projection = _projection(feature)
    base = find_feature(projection.base)
    if stale_features(lake, shard, [base]):
        raise MissingTable(f"{base.name} is not up to date for shard {shard!r}; run: imrec build")
    made_from = _projected_from(lake, shard, feature, version)  # first: a scan in between then makes us stale
    table = lake.read_table(lake.feature_path(base.name, shard))
    vectors = projection.project(tables.to_matrix(table["vector"]), lake.load_fitted(feature.name, version))
    vectors = feature.checked(vectors, len(table))
    projected = pa.table([table["image_id"], tables.to_vectors(vectors)], schema=feature.schema)
    size = lake.write_table(path, projected, made_from)
    return ProjectionReport(shard, feature.name, len(table), True, time.perf_counter() - started, size)


def is_projected(lake: Lake, shard: str, feature: Feature) -> bool:
    """Whether a derived feature's table of this shard is up to date."""
    version = lake.fitted_version(feature.name)
    path = lake.feature_path(feature.name, shard)
    return version is not None and is_fresh(lake, path, _projected_from(lake, shard, feature, version))


def _projected_from(lake: Lake, shard: str, feature: Feature, version: str) -> dict[str, str]:
    """What the metadata of an up-to-date table of a derived feature says."""
    base = lake.made_from(lake.feature_path(_projection(feature).base, shard)) or {}
    of_base = {f"base_{name}": base[name] for name in ("rows", "precision", "backend") if name in base}
    return feature_made_from(shard, manifest_version(lake, shard), feature) | of_base | {"fitted": version}


def is_feature_fresh(lake: Lake, shard: str, feature: Feature) -> bool:
    """Whether a feature's table of this shard is up to date, derived or not."""
    return is_projected(lake, shard, feature) if feature.projection else not stale_features(lake, shard, [feature])
