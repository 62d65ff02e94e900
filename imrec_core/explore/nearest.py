"""Which rows are nearest to each: candidates by principal components, ranked by the feature's own distance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from imrec_core.explore.points import Points
from imrec_core.features import Feature
from imrec_core.machine import cpu_count
from imrec_core.reduction.neighbours import nearest
from imrec_core.scan import Rows, smallest

_CANDIDATES = 100  # by the components, for 10 to 20 by the distance
_M, _EF_CONSTRUCTION, _EF = 16, 100, 128
_EXACT = 2_000  # rows up to which all are compared with all
_BATCH = 2_048


@dataclass(frozen=True)
class Nearest:
    """The nearest rows of some.

    Attributes:
        places: Where they are among those that were looked at, `(n, count)`, nearest first.
        distances: By the feature's own metric, `(n, count)`.
    """

    places: Rows
    distances: NDArray[np.float32]


class Finder:
    """Finds the nearest among some rows of a feature, the same ones each time.

    Args:
        matrix: Of all rows, as stored; memory-mapped.
        rows: Those to look at, ascending.
        points: Their principal components `(len(rows), dims)`.
    """

    def __init__(self, feature: Feature, matrix: NDArray[Any], rows: Rows, points: Points) -> None:
        self._feature, self._matrix, self._rows, self._points = feature, matrix, rows, points
        self._index: Any = None
        if len(rows) > _EXACT:
            self._index = hnswlib.Index(space="l2", dim=points.shape[1])
            self._index.init_index(len(rows), M=_M, ef_construction=_EF_CONSTRUCTION, random_seed=0)
            self._index.add_items(points, num_threads=1)  # with two no build is like another
            self._index.set_ef(_EF)

    def nearest(self, rows: Rows, points: Points, count: int) -> Nearest:
        """The `count` nearest of those looked at to each of some rows, itself left out.

        Fewer where there are fewer. Those found by a graph are nearly the nearest.

        Args:
            rows: Asked for, `(n,)`.
            points: Their principal components.
        """
        count = min(count, len(self._rows) - int(np.isin(rows, self._rows).any()))
        starts = range(0, len(rows), _BATCH)
        with ThreadPoolExecutor(cpu_count()) as pool:
            parts = pool.map(lambda at: self._of_part(rows[at : at + _BATCH], points[at : at + _BATCH], count), starts)
            found = list(parts)
        return Nearest(np.concatenate([f.places for f in found]), np.concatenate([f.distances for f in found]))

    def _of_part(self, rows: Rows, points: Points, count: int) -> Nearest:
        places = np.empty((len(rows), count), np.int64)
        distances = np.empty((len(rows), count), np.float32)
        for i, (row, candidates) in enumerate(zip(rows, self._candidates(points), strict=True)):
            candidates = candidates[self._rows[candidates] != row]
            among = self._matrix[self._rows[candidates]]
            metric = self._feature.metric
            found = metric(self._feature.as_query(self._matrix[row], metric), among)
            near = smallest(count, found, candidates)
            places[i], distances[i] = candidates[near], found[near]
        return Nearest(places, distances)

    def _candidates(self, points: Points) -> Rows:
        if self._index is None:
            return np.broadcast_to(np.arange(len(self._rows)), (len(points), len(self._rows)))
        try:
            labels, _ = self._index.knn_query(points, k=_CANDIDATES, num_threads=1)
        except RuntimeError:  # where many are equal, fewer than that can be reached
            return nearest(points, self._points, _CANDIDATES)
        return np.asarray(labels, np.int64)
