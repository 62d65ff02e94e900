"""Exact search: distances by any metric to the rows of a matrix, and the nearest rows, with ties in row order.

The matrix is memory-mapped and read in blocks, so that memory use does not depend on its size.
`features.reduction.neighbours` has another search, for vectors in memory: Euclidean, one matrix product, unordered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.metrics import Metric

Matrix = NDArray[Any]
Rows = NDArray[np.int64]
Distances = NDArray[np.float32]
Queries = Sequence[Matrix] | Matrix

BLOCK_BYTES = 16_000_000
"""Size of a block of rows in float32, the widest type in which metrics read them."""

_BLOCK_ROWS = 1 << 16  # at most, so that the distances of a block stay in the cache


def blocks(matrix: Matrix, rows: Rows | None = None) -> Iterator[tuple[slice, Matrix]]:
    """Read the vectors of some rows, or of all rows, in blocks.

    Args:
        matrix: Vectors `(n, width)`, memory-mapped.
        rows: Row numbers, ascending; None for all rows.

    Yields:
        Slice of the rows, and their vectors.
    """
    total = len(matrix) if rows is None else len(rows)
    step = min(max(1, BLOCK_BYTES // (4 * matrix.shape[1])), _BLOCK_ROWS)
    is_slice = rows is None or total == len(matrix)  # slices are views, without a copy
    for first in range(0, total, step):
        part = slice(first, min(first + step, total))
        yield part, matrix[part] if is_slice else matrix[rows[part]]  # type: ignore[index]


def distances(metric: Metric | FeatureMetric, queries: Queries, matrix: Matrix, rows: Rows | None = None) -> Distances:
    """Compute the distances `(queries, rows)`, reading every block once for all queries.

    Args:
        metric: A metric; with its feature, vectors with nothing to compare are infinitely far.
        queries: Query vectors, in the form that the metric expects.
        matrix: Vectors, as for `blocks`.
        rows: Row numbers, as for `blocks`.
    """
    found = np.empty((len(queries), len(matrix) if rows is None else len(rows)), np.float32)
    for part, block in blocks(matrix, rows):
        found[:, part] = metric.of_many(queries, block)
    return found


def nearest(
    metric: Metric | FeatureMetric,
    queries: Queries,
    matrix: Matrix,
    count: int,
    rows: Rows | None = None,
    is_removed: NDArray[np.bool_] | None = None,
) -> Rows:
    """Find the `count` nearest rows of each query, nearest first, with ties in row order.

    The arguments not described here are those of `distances`.

    Args:
        is_removed: Mask over all rows `(len(matrix),)` of those to rank last. Computing their distances is faster than
            to skip them.

    Returns:
        Row numbers `(queries, count)`, or fewer columns if there are fewer rows.
    """
    best = [_Nearest(count) for _ in queries]
    for part, block in blocks(matrix, rows):
        for one, to_block in zip(best, metric.of_many(queries, block), strict=True):
            one.add(part, to_block, rows, is_removed)
    return np.stack([one.rows for one in best])


def nearest_by(
    distance: Callable[[Matrix], Distances],
    matrix: Matrix,
    count: int,
    rows: Rows | None = None,
    is_removed: NDArray[np.bool_] | None = None,
) -> Rows:
    """Find the `count` rows of least distance, as `nearest` does.

    Args:
        distance: Computes the distances `(n,)` of vectors `(n, width)`.

    Returns:
        Row numbers `(count,)`, or fewer if there are fewer rows.
    """
    best = _Nearest(count)
    for part, block in blocks(matrix, rows):
        best.add(part, distance(block), rows, is_removed)
    return best.rows


class _Nearest:
    """The nearest rows of the blocks so far.

    Of further blocks only the rows nearer than the last of them are sorted. That is as fast as to compare the distances
    with one number, where `smallest` of each block takes as long as the distances themselves.

    Attributes:
        rows: Row numbers, nearest first, with ties in row order.
    """

    def __init__(self, count: int) -> None:
        self._count, self._distances, self.rows = count, np.empty(0, np.float32), np.empty(0, np.int64)

    def add(self, part: slice, distances: Distances, rows: Rows | None, is_removed: NDArray[np.bool_] | None) -> None:
        """Take the rows of a block; the arguments are those of `blocks` and `nearest`."""
        if is_removed is not None:
            distances = np.where(is_removed[part if rows is None else rows[part]], np.float32(np.inf), distances)
        if len(self.rows) < self._count:
            near = smallest(self._count, distances)
        else:
            near = np.flatnonzero(distances < self._distances[-1])
            if not len(near):
                return
        numbers = near + part.start if rows is None else rows[part][near]
        joined = np.concatenate([self._distances, distances[near]])
        order = smallest(self._count, joined)
        self._distances, self.rows = joined[order], np.concatenate([self.rows, numbers])[order]


def smallest(count: int, first: Matrix, *then: Matrix) -> Rows:
    """Find the positions of the `count` smallest values, in ascending order.

    Ties are ordered by the arrays of `then`, and last by position. Only values up to the limit are sorted: sorting all
    of 100,000 values takes twenty times as long.
    """
    if count < len(first):
        limit = np.partition(first, count - 1)[count - 1]
        near = np.flatnonzero(first <= limit)
    else:
        near = np.arange(len(first))
    order = np.lexsort([key[near] for key in (*reversed(then), first)])
    return near[order][:count]
