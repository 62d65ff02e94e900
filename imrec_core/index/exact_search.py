"""Exact search: distances by any metric to the rows of a matrix, and the nearest rows, with ties in row order.

The matrix is memory-mapped and read in blocks, so that memory use does not depend on its size.
`features.reduction.neighbours` has another search, for vectors in memory: Euclidean, one matrix product, unordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def blocks(matrix: Matrix, rows: Rows | None = None) -> Iterator[tuple[slice, Matrix]]:
    """Read the vectors of some rows, or of all rows, in blocks.

    Args:
        matrix: Vectors `(n, width)`, memory-mapped.
        rows: Row numbers, ascending; None for all rows.

    Yields:
        Slice of the rows, and their vectors.
    """
    total = len(matrix) if rows is None else len(rows)
    step = max(1, BLOCK_BYTES // (4 * matrix.shape[1]))
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
    best = [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries]
    for part, block in blocks(matrix, rows):
        numbers = np.arange(part.start, part.stop) if rows is None else rows[part]
        for i, to_block in enumerate(metric.of_many(queries, block)):
            if is_removed is not None:
                to_block = np.where(is_removed[numbers], np.inf, to_block)
            near = smallest(count, to_block)
            joined = np.concatenate([best[i][0], to_block[near]])
            order = smallest(count, joined)
            best[i] = joined[order], np.concatenate([best[i][1], numbers[near]])[order]
    return np.stack([numbers for _, numbers in best])


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
