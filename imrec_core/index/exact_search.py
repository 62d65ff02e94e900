"""Exact distances to many rows of a matrix, block by block, so that its size does not matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.metrics import Metric

Matrix = NDArray[Any]
Rows = NDArray[np.int64]
Distances = NDArray[np.float32]
Queries = Sequence[Matrix] | Matrix

BLOCK_BYTES = 16_000_000
"""Size of a block of rows in float32, the widest form in which a metric looks at them."""


def blocks(matrix: Matrix, rows: Rows | None = None) -> Iterator[tuple[slice, Matrix]]:
    """Parts of the rows, or of all, and their vectors.

    Args:
        matrix: Memory-mapped.
        rows: Ascending; None for all.
    """
    total = len(matrix) if rows is None else len(rows)
    step = max(1, BLOCK_BYTES // (4 * matrix.shape[1]))
    is_slice = rows is None or total == len(matrix)  # then vectors are seen, not copied
    for first in range(0, total, step):
        part = slice(first, min(first + step, total))
        yield part, matrix[part] if is_slice else matrix[rows[part]]  # type: ignore[index]


def distances(metric: Metric, queries: Queries, matrix: Matrix, rows: Rows | None = None) -> Distances:
    """Distances `(queries, rows)`; every block is read once for all queries.

    Args:
        queries: As the metric takes them.
        matrix, rows: As for `blocks`.
    """
    found = np.empty((len(queries), len(matrix) if rows is None else len(rows)), np.float32)
    for part, block in blocks(matrix, rows):
        found[:, part] = metric.of_many(queries, block)
    return found


def nearest(
    metric: Metric,
    queries: Queries,
    matrix: Matrix,
    count: int,
    rows: Rows | None = None,
    but: NDArray[np.bool_] | None = None,
) -> Rows:
    """The `count` nearest rows of each query `(queries, count)`, nearest first, equal ones in row order.

    Fewer come where there are fewer.

    Args:
        but: Of all rows those that are to come last, `(len(matrix),)`; looking at them costs less than to leave them
            out. The other arguments are those of `distances`.
    """
    best = [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries]
    for part, block in blocks(matrix, rows):
        numbers = np.arange(part.start, part.stop) if rows is None else rows[part]
        for i, found in enumerate(metric.of_many(queries, block)):
            if but is not None:
                found = np.where(but[numbers], np.inf, found)
            near = smallest(count, found)
            joined = np.concatenate([best[i][0], found[near]])
            order = smallest(count, joined)
            best[i] = joined[order], np.concatenate([best[i][1], numbers[near]])[order]
    return np.stack([numbers for _, numbers in best])


def smallest(count: int, first: Matrix, *then: Matrix) -> Rows:
    """Places of the `count` smallest values, in order; of equal ones by the next arrays, then as they stand.

    Not all are sorted: of 100,000 values that takes twenty times as long as what is looked for.
    """
    if count < len(first):
        limit = np.partition(first, count - 1)[count - 1]
        near = np.flatnonzero(first <= limit)
    else:
        near = np.arange(len(first))
    order = np.lexsort([key[near] for key in (*reversed(then), first)])
    return near[order][:count]
