"""Nearest neighbours of all images of a generation in one embedding, by the HNSW graph or by exact search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features import Feature
from imrec_core.features.reduction.neighbours import nearest
from imrec_core.index.generation import Generation, Rows
from imrec_core.maps.principal_points import Points, lifted

_EXACT_PRODUCTS = 1e11  # of an exact search of all rows: 1 s per core; above it the graph is faster
_BATCH = 4096  # rows that are queried at once
_BLOCK = 256  # rows whose neighbours' points are in memory: 3 MB of 10 neighbours with 256 dimensions

Distances = NDArray[np.float32]
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Embedding:
    """The images of a generation as points, by the feature in which a search finds its candidates.

    Attributes:
        name: Name of the feature that was asked for.
        feature: Feature of the points: the asked one, or the projection whose graph finds its candidates.
        graph: Name of the graph; None if there is none.
        rows: Live rows that can be compared, ascending.
    """

    generation: Generation
    name: str
    feature: Feature
    graph: str | None
    rows: Rows

    def points(self, rows: Rows) -> Points:
        """Read the points `(len(rows), dims)`.

        Their Euclidean distance has the order of the feature's metric, or is Euclidean where that has no lift.

        Raises:
            QueryError: The vectors of the feature vary in length.
        """
        return np.asarray(lifted(self.feature, self._matrix[rows]), np.float32)

    @property
    def _matrix(self) -> NDArray[Any]:
        return self.generation.matrix(self.feature.name)


def open_embedding(generation: Generation, by: str | None = None) -> Embedding:
    """Choose the points of a feature.

    Args:
        by: Name of the feature. Default: the first feature of the lake.

    Raises:
        UnknownName: There is no such feature.
        StaleIndex: The feature is not in the generation, or its declaration has changed since.
    """
    name = by or generation.default_feature
    asked = generation.feature(name)
    graph = generation.graph_of(asked, asked.metric)
    feature = generation.feature(generation.graphs[graph].feature) if graph else asked
    rows = generation.live
    if feature.blank is not None and len(rows):
        rows = rows[~feature.blank.find(generation.matrix(feature.name)[rows])]
    return Embedding(generation, name, feature, graph, rows)


def iterate_neighbours(
    embedding: Embedding, count: int, report: Report | None = None
) -> Iterator[tuple[Rows, Rows, Distances]]:
    """Find the nearest neighbours of every image, without the image itself, in batches.

    Large lakes are searched by the graph, which misses a few neighbours; small ones exactly.

    Args:
        count: Number of neighbours, 1 or more; fewer if there are fewer images.
        report: Called before each batch with the numbers of images compared so far and of all images. It may raise to
            stop the search.

    Yields:
        Rows `(n,)`, the rows of their neighbours `(n, count)`, nearest first, and their distances `(n, count)`.
    """
    rows = embedding.rows
    count = min(count, len(rows) - 1)
    if count < 1:
        return
    gallery = None
    for first in range(0, len(rows), _BATCH):
        if report is not None:
            report(first, len(rows))
        batch = rows[first : first + _BATCH]
        points = embedding.points(batch)
        found = None
        if embedding.graph and len(rows) ** 2 * points.shape[1] > _EXACT_PRODUCTS:
            found = embedding.generation.graph_nearest_each(embedding.graph, batch, count + 1)
        if found is None:
            gallery = embedding.points(rows) if gallery is None else gallery
            found = rows[nearest(points, gallery, count + 1)]
        yield batch, *_ordered(embedding, batch, points, found)


def _ordered(embedding: Embedding, rows: Rows, points: Points, found: Rows) -> tuple[Rows, Distances]:
    """Order neighbours by distance, and leave out the row itself, or the farthest if the row is not among them."""
    count = found.shape[1] - 1
    near, distances = np.empty((len(rows), count), np.int64), np.empty((len(rows), count), np.float32)
    for first in range(0, len(rows), _BLOCK):
        part = slice(first, first + _BLOCK)
        some = found[part]
        others = embedding.points(some.ravel()).reshape(*some.shape, -1)
        to_others = np.linalg.norm(others - points[part, None], axis=2)
        order = np.argsort(np.where(some == rows[part, None], -1.0, to_others), axis=1, kind="stable")
        is_found = (some == rows[part, None]).any(axis=1)
        order = np.where(is_found[:, None], order[:, 1:], order[:, :-1])
        near[part] = np.take_along_axis(some, order, axis=1)
        distances[part] = np.take_along_axis(to_others, order, axis=1)
    return near, distances
