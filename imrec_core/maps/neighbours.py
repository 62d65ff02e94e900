"""Nearest-neighbour search for maps: candidates by principal components, re-ranked by the feature's metric."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from imrec_core.features import Feature
from imrec_core.features.reduction.neighbours import nearest
from imrec_core.index.exact_search import Rows, smallest
from imrec_core.maps.principal_points import Points
from imrec_core.runtime.cpu import cpu_count

_CANDIDATES = 100  # by principal components, of which 10 to 50 remain after re-ranking
_M, _EF_CONSTRUCTION, _EF = 16, 100, 128
_EXACT = 2_000  # rows up to which the search is exact
_BATCH = 2_048


@dataclass(frozen=True)
class Nearest:
    """Nearest neighbours of some rows.

    Attributes:
        indices: Positions among the searched rows `(n, count)`, nearest first.
        distances: Distances by the feature's metric `(n, count)`.
    """

    indices: Rows
    distances: NDArray[np.float32]


class Finder:
    """Nearest-neighbour search over some rows of a feature, with repeatable results.

    Args:
        matrix: Vectors of all rows, as stored; memory-mapped.
        rows: Rows to search, ascending.
        points: Principal components of these rows `(len(rows), dims)`.
    """

    def __init__(self, feature: Feature, matrix: NDArray[Any], rows: Rows, points: Points) -> None:
        self._feature, self._matrix, self._rows, self._points = feature, matrix, rows, points
        self._index: Any = None
        if len(rows) > _EXACT:
            self._index = hnswlib.Index(space="l2", dim=points.shape[1])
            self._index.init_index(len(rows), M=_M, ef_construction=_EF_CONSTRUCTION, random_seed=0)
            self._index.add_items(points, num_threads=1)  # several threads give a different graph on every build
            self._index.set_ef(_EF)

    def nearest(self, rows: Rows, points: Points, count: int) -> Nearest:
        """Find the `count` nearest searched rows of each query row, excluding the row itself.

        Returns fewer if there are fewer rows. Above 2,000 rows the search is approximate.

        Args:
            rows: Query rows `(n,)`.
            points: Principal components of the query rows.
        """
        count = min(count, len(self._rows) - int(np.isin(rows, self._rows).any()))
        parts = [slice(at, at + _BATCH) for at in range(0, len(rows), _BATCH)]
        with ThreadPoolExecutor(cpu_count()) as pool:
            found = list(pool.map(lambda part: self._search_batch(rows[part], points[part], count), parts))
        return Nearest(np.concatenate([f.indices for f in found]), np.concatenate([f.distances for f in found]))

    def _search_batch(self, rows: Rows, points: Points, count: int) -> Nearest:
        indices = np.empty((len(rows), count), np.int64)
        distances = np.empty((len(rows), count), np.float32)
        for i, (row, candidates) in enumerate(zip(rows, self._candidates(points), strict=True)):
            candidates = candidates[self._rows[candidates] != row]
            among = self._matrix[self._rows[candidates]]
            metric = self._feature.metric
            found = metric(self._feature.as_query(self._matrix[row], metric), among)
            near = smallest(count, found, candidates)
            indices[i], distances[i] = candidates[near], found[near]
        return Nearest(indices, distances)

    def _candidates(self, points: Points) -> Rows:
        if self._index is None:
            return np.broadcast_to(np.arange(len(self._rows)), (len(points), len(self._rows)))
        try:
            labels, _ = self._index.knn_query(points, k=_CANDIDATES, num_threads=1)
        except RuntimeError:  # hnswlib reaches fewer than k rows where many vectors are equal
            return nearest(points, self._points, _CANDIDATES)
        return np.asarray(labels, np.int64)
