"""The space of an HNSW graph: all dims of the lifted vectors, or for a large graph the leading components of them.

A graph over few dims is built several times as fast and takes a fraction of the memory. It gives candidates, which
searches rank by exact distances over all dims. Recall@10 of the 100 and 200 nearest by so many components, over 60,000
images of `tests/benchmarks/half_million.py` (`tests/benchmarks/graphs.py`, 2026-12):

- content vectors (256 dims): 64 .942 and .979, 80 .971 and .992, 96 .987 and .997
- RGB histograms (512 dims): 64 .985 and .995, 96 .996 and 1.0
- HSV histograms (256 dims): 64 .994 and .999, 96 1.0
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import DamagedGeneration
from imrec_core.features import Feature
from imrec_core.features.metrics import METRICS, Metric, l2_normalise
from imrec_core.features.reduction.pca import Moments, principal_axes
from imrec_core.index.integrity import GenerationFiles, mark_damaged
from imrec_core.index.manifest import HnswIndexInfo, axes_file_name

Matrix = NDArray[Any]

_LARGE = 10_000  # rows from which a graph is reduced
_DIMS, _FEW_DIMS = 96, 64
_FEW_SHARE, _LEAST_SHARE = 0.8, 0.5  # of the variance, for few dims and for any reduction
_SAMPLE = 8000  # rows that axes are fitted to
_ORDERED = ("pca", "content_pca")  # methods whose dims are in order of variance
_SEED = 20_26


@dataclass(frozen=True)
class GraphSpace:
    """How the vectors of a feature become the points of its graph.

    Attributes:
        dims: Number of dims of the points; 0 for all of the lifted vectors.
        axes: Principal axes `(dims, lifted dims)`; None for the leading dims of the lifted vectors.
    """

    metric: Metric
    dims: int = 0
    axes: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """Name of the space for hnswlib."""
        return "l2" if self.dims else str(self.metric.space)

    def points(self, vectors: Matrix) -> NDArray[np.float32]:
        """Map vectors `(n, width)` to points of the graph."""
        lifted = self.metric.lifted(vectors)
        if not self.dims:
            return lifted
        if self.metric.space == "cosine":
            lifted = l2_normalise(lifted)
        if self.axes is None:
            return np.ascontiguousarray(lifted[:, : self.dims])
        return np.asarray(lifted @ self.axes.T, np.float32)

    def save_axes(self, path: Path) -> None:
        """Write the axes, if there are any; never overwrite a file that another generation shares."""
        if self.axes is not None:
            path.unlink(missing_ok=True)
            with path.open("wb") as file:
                np.save(file, self.axes)


def reduced_space(feature: Feature, metric: Metric, matrix: Matrix) -> GraphSpace:
    """Choose the space of a new graph: reduced for many rows, where few components have most of the variance.

    Args:
        matrix: Vectors of the feature `(rows, width)`.
    """
    whole = GraphSpace(metric)
    if len(matrix) < _LARGE or metric.space not in ("l2", "cosine"):
        return whole
    rows = np.sort(np.random.default_rng(_SEED).choice(len(matrix), min(_SAMPLE, len(matrix)), replace=False))
    lifted = metric.lifted(matrix[rows])
    if lifted.shape[1] < 2 * _DIMS:
        return whole
    moments = Moments.of(l2_normalise(lifted) if metric.space == "cosine" else lifted)
    is_ordered = (feature.averaged or feature).params.get("method") in _ORDERED
    axes, variances = (None, np.diag(moments.scatter) / moments.count) if is_ordered else principal_axes(moments, _DIMS)
    shares = np.cumsum(variances) / max(np.trace(moments.scatter) / moments.count, 1e-30)
    if shares[_DIMS - 1] < _LEAST_SHARE:
        return whole
    dims = _FEW_DIMS if shares[_FEW_DIMS - 1] >= _FEW_SHARE else _DIMS
    return GraphSpace(metric, dims, None if axes is None else axes[:dims].astype(np.float32))


def load_space(files: GenerationFiles, info: HnswIndexInfo) -> GraphSpace:
    """Load the space of a graph.

    Raises:
        DamagedGeneration: The file of the axes is missing or damaged.
    """
    metric, axes = METRICS[info.metric], None
    if info.has_axes:
        name = axes_file_name(info)
        files.require_whole(name)
        try:
            with (files.folder / name).open("rb") as file:
                axes = np.load(file)
        except (OSError, ValueError, EOFError) as error:
            mark_damaged(files.folder / name)
            raise DamagedGeneration(files.folder / name, f"cannot be loaded ({error})") from error
    return GraphSpace(metric, info.dims, axes)
