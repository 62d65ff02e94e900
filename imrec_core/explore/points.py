"""The vectors of a feature as points whose Euclidean distance is, or comes near, the feature's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core import scan
from imrec_core.features import Feature
from imrec_core.metrics import METRICS
from imrec_core.reduction.pca import Moments, principal_axes
from imrec_core.scan import Rows

Points = NDArray[np.float32]

DIMS = 100
"""Principal components that are kept, at most."""

_LEARNT = 100_000  # rows that the components are learnt from: 2 s of 1,280 numbers, and more change nothing


def lifted(feature: Feature, vectors: NDArray[Any]) -> Points:
    """Vectors `(n, width)` as points `(n, any)` that lie the nearer the more alike they are by the default metric.

    Square roots of distributions, the bits of hashes, directions of what is compared by angle. Where no such points are
    known the numbers are taken as they are.
    """
    metric = feature.metric
    bits = METRICS["hamming"]
    points = (bits if vectors.dtype == np.uint64 else metric).lifted(vectors)
    if metric.space != "cosine":
        return points
    return np.asarray(points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12))


def principal_points(feature: Feature, matrix: NDArray[Any], rows: Rows, dims: int = DIMS) -> Points:
    """The rows of a matrix on the principal axes of their points, widest first, `(len(rows), dims or fewer)`.

    Read in blocks: only what comes out is held.

    Args:
        matrix: Memory-mapped, as stored.
        rows: Ascending, one or more.
    """
    learnt = rows if len(rows) <= _LEARNT else rows[:: -(-len(rows) // _LEARNT)]
    total: Moments | None = None
    for _, block in scan.blocks(matrix, learnt):
        moments = Moments.of(lifted(feature, block))
        total = total.merged(moments) if total else moments
    assert total is not None
    axes, _ = principal_axes(total, min(dims, len(total.mean)))
    turned, middle = axes.T.astype(np.float32), total.mean.astype(np.float32)
    points = np.empty((len(rows), turned.shape[1]), np.float32)
    for part, block in scan.blocks(matrix, rows):
        points[part] = (lifted(feature, block) - middle) @ turned
    return points
