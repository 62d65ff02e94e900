"""Vectors of a feature as points whose Euclidean distance equals or approximates the feature's metric."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.features import Feature
from imrec_core.features.metrics import METRICS, l2_normalise
from imrec_core.features.reduction.pca import Moments, principal_axes
from imrec_core.index import exact_search
from imrec_core.index.exact_search import Rows

Points = NDArray[np.float32]

DIMS = 100
"""Maximum number of principal components."""

_LEARNT = 100_000  # rows to fit the components on: 2 s at 1,280 dimensions; more rows change nothing


def lifted(feature: Feature, vectors: NDArray[Any]) -> Points:
    """Convert vectors `(n, width)` to points `(n, any)` that are nearer, the smaller their distance by the metric.

    Distributions become square roots, hashes become bits, vectors of a cosine metric get length 1. Vectors of metrics
    without a lift stay as they are.

    Raises:
        QueryError: The vectors of the feature vary in length.
    """
    if feature.is_variable:
        raise QueryError(f"{feature.name} has vectors of varying length, which have no positions; use another feature")
    metric = feature.metric
    bits = METRICS["hamming"]
    points = (bits if vectors.dtype == np.uint64 else metric).lifted(vectors)
    return l2_normalise(points) if metric.space == "cosine" else points


def principal_points(feature: Feature, matrix: NDArray[Any], rows: Rows, dims: int = DIMS) -> Points:
    """Project rows of a matrix on the principal axes of their points, largest variance first.

    The matrix is read in blocks; only the result is held in memory.

    Args:
        matrix: Vectors of all rows, memory-mapped, as stored.
        rows: Rows to project, ascending, one or more.

    Returns:
        Points `(len(rows), dims)`, or of fewer dimensions if the vectors have fewer.
    """
    learnt = rows if len(rows) <= _LEARNT else rows[:: -(-len(rows) // _LEARNT)]
    total: Moments | None = None
    for _, block in exact_search.blocks(matrix, learnt):
        moments = Moments.of(lifted(feature, block))
        total = total.merged(moments) if total else moments
    assert total is not None
    axes, _ = principal_axes(total, min(dims, len(total.mean)))
    turned, middle = axes.T.astype(np.float32), total.mean.astype(np.float32)
    points = np.empty((len(rows), turned.shape[1]), np.float32)
    for part, block in exact_search.blocks(matrix, rows):
        points[part] = (lifted(feature, block) - middle) @ turned
    return points
