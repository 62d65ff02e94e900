"""Averages of vectors with their nearest: of queries (query expansion), and of all rows of a generation.

A vector becomes the mean of itself and its nearest rows, weighted by similarity³. For queries that is α query expansion
(Chum et al. 2007, doi:10.1109/ICCV.2007.4408891; Radenović et al. 2018, arXiv:1711.02512), for rows database-side
augmentation (Arandjelović & Zisserman 2012, doi:10.1109/CVPR.2012.6248018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features import Feature
from imrec_core.features.metrics import l2_normalise
from imrec_core.index.exact_search import Distances
from imrec_core.index.generation import Generation, Rows
from imrec_core.runtime.cpu import cpu_count

Matrix = NDArray[Any]

_POWER = 3  # of the similarity
_SCANNED = 5000  # rows up to which an exact scan is about as fast as a graph
_BLOCK = 1024
_SPARE = 10  # rows beside the nearest, in place of those that are equal to the vector


def average(
    generation: Generation,
    feature: Feature,
    vector: Matrix,
    count: int,
    is_related: Callable[[Distances], NDArray[np.bool_]] | None = None,
) -> NDArray[np.float32]:
    """Average a vector `(width,)` of length 1 with up to `count` nearest rows; the result has length 1.

    Rows that are equal to the vector are left out: an image of the lake has the same average as its file.

    Args:
        feature: Feature of the vector, with vectors of length 1 and the metric `cosine`.
        is_related: Returns which rows to use from their distances `(n,)`; None for all.
    """
    vector = np.asarray(vector, np.float32)
    rows = _candidates(generation, feature, vector, count + _SPARE)
    others = np.asarray(generation.matrix(feature.name)[rows], np.float32)
    distances = feature.metric(vector, others)
    is_used = distances > 0
    if is_related is not None:
        is_used &= is_related(distances)
    used = np.flatnonzero(is_used)
    used = used[np.argsort(distances[used], kind="stable")][:count]
    weights = np.clip(1 - distances[used], 0, None) ** _POWER
    return np.asarray(l2_normalise(vector + weights @ others[used]), np.float32)


def _candidates(generation: Generation, feature: Feature, vector: Matrix, count: int) -> Rows:
    """Return live rows that include the `count` nearest, as far as the graph finds them."""
    graph = generation.graph_of(feature, feature.metric)
    if graph is not None and len(generation) > _SCANNED:
        rows = generation.graph_nearest(graph, vector, max(count, generation.graphs[graph].candidates))
    else:
        rows = generation.exact_nearest(feature.name, feature.metric, vector[None], count)[0]
    return np.asarray(rows[generation.is_live[rows]])


def averaged_rows(generation: Generation, feature: Feature, first: int) -> Iterator[NDArray[np.float32]]:
    """Yield the averages of the rows from `first` on, in blocks `(n, width)`.

    Args:
        feature: Feature that holds the averages.
    """
    assert feature.averaged is not None
    base, count = feature.averaged, feature.params["neighbourhood"]
    matrix = generation.matrix(base.name)
    with ThreadPoolExecutor(cpu_count()) as pool:
        for start in range(first, len(matrix), _BLOCK):
            block = np.asarray(matrix[start : start + _BLOCK], np.float32)
            yield np.stack(list(pool.map(lambda vector: average(generation, base, vector, count), block)))
