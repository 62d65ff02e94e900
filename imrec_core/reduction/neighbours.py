"""How well a reduction keeps who is near whom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]
Rows = NDArray[np.int64]

_BATCH = 128  # queries at a time: 26 MB of distances to 50,000 rows


def nearest(queries: Matrix, gallery: Matrix, count: int, *, own: Rows | None = None) -> Rows:
    """The `count` rows of the gallery that are nearest to each query, in no order.

    The distance is Euclidean; of vectors of length 1 it gives the order of the cosine.

    Args:
        own: The row that each query itself is, which is then left out; `(n,)`.

    Returns:
        `(n, count)`.
    """
    lengths = np.einsum("ij,ij->i", gallery, gallery)
    found = np.empty((len(queries), count), dtype=np.int64)
    for first in range(0, len(queries), _BATCH):
        batch = slice(first, first + _BATCH)
        squares = lengths - 2 * (queries[batch] @ gallery.T)
        if own is not None:
            squares[np.arange(len(squares)), own[batch]] = np.inf
        found[batch] = np.argpartition(squares, count - 1, axis=1)[:, :count]
    return found


def share_kept(truth: Rows, found: Rows) -> float:
    """Share of the rows in `truth` `(n, count)` that `found` `(n, any)` has for the same query."""
    among = [np.isin(wanted, got).mean() for wanted, got in zip(truth, found)]
    return float(np.mean(among))
