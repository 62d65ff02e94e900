"""Map layout: UMAP or t-SNE positions of a sample; other points are placed among their nearest neighbours."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import MissingDependency, UnknownName
from imrec_core.maps.neighbours import Nearest
from imrec_core.maps.principal_points import Points

Positions = NDArray[np.float32]

METHODS = ("umap", "tsne")

_FEW = 8  # images; with fewer, the first two components are the layout
_PERPLEXITY = 3  # neighbours per unit of perplexity, as van der Maaten and Hinton advise
_PLACED_BY = 3  # neighbours: with half of 100,000 rows placed, .32 of the 10 nearest were kept, .28 by 15 (2026-11)
_WIDEST_GAP = 0.03  # of the larger of width and height


def check_method(method: str) -> None:
    """Require a known method whose library is installed.

    Raises:
        UnknownName: There is no such method.
        MissingDependency: UMAP or openTSNE is not installed.
    """
    if method not in METHODS:
        raise UnknownName("map method", method, METHODS)
    from importlib.util import find_spec

    if find_spec("umap" if method == "umap" else "openTSNE") is None:
        raise MissingDependency("umap-learn" if method == "umap" else "openTSNE", extra="map")


def lay_out(method: str, points: Points, near: Nearest, seed: int) -> Positions:
    """Lay out points in two dimensions, keeping neighbours together.

    Args:
        method: One of `METHODS`.
        points: Principal components `(n, dims)`; the first two are the initial positions.
        near: Nearest neighbours of each point.

    Returns:
        Positions `(n, 2)`; equal for equal seeds.
    """
    start = _start(points, seed)
    if len(points) < _FEW:
        return start
    positions = (_umap if method == "umap" else _tsne)(start, near, seed)
    return _narrow_gaps(positions)


def _narrow_gaps(positions: NDArray[Any]) -> Positions:
    """Narrow empty bands that cross the whole map, so that the points fill the plot.

    The distance between separate clusters has no meaning in either method: Wattenberg et al. 2016, How to use t-SNE
    effectively, doi:10.23915/distill.00002.
    """
    size = float(np.ptp(positions, axis=0).max())
    if size == 0:
        return np.asarray(positions, np.float32)
    # Shifts by multiples of a power of two lose no bits; near neighbours may differ in the last bits only.
    step = 2.0 ** (np.floor(np.log2(size)) - 12)
    closed = np.empty(positions.shape, np.float32)
    for axis in range(2):
        along = positions[:, axis].astype(np.float64)
        order = np.argsort(along, kind="stable")
        too_wide = np.maximum(np.diff(along[order], prepend=along[order[0]]) - _WIDEST_GAP * size, 0)
        shift = np.cumsum(np.floor(too_wide / step) * step)
        closed[order, axis] = along[order] - shift + np.round(shift.mean() / step) * step
    return closed


def place_by_neighbours(near: Nearest, positions: Positions) -> Positions:
    """Place points at the weighted mean of their nearest neighbours.

    Args:
        near: Nearest neighbours of each point among the placed ones.
        positions: Positions of the placed points, `(placed, 2)`.

    Returns:
        Positions `(n, 2)`.
    """
    weights = _weights(near.distances[:, :_PLACED_BY])
    return np.asarray(np.einsum("nk,nkd->nd", weights, positions[near.indices[:, :_PLACED_BY]]), np.float32)


def _weights(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight neighbours by an exponential decay from the nearest one, as UMAP does; rows sum to 1.

    The scale of a row is the mean distance beyond its nearest neighbour.
    """
    beyond = distances - distances[:, :1]
    weights = np.exp(-beyond / np.maximum(beyond.mean(axis=1, keepdims=True), 1e-12))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _start(points: Points, seed: int) -> Positions:
    """Scale the first two components to unit deviation; a little noise separates equal points."""
    start = np.random.default_rng(seed).normal(0, 1e-3, (len(points), 2))
    for axis in range(min(2, points.shape[1])):
        spread = points[:, axis].std()
        start[:, axis] += points[:, axis] / spread if spread > 1e-6 else 0
    return start.astype(np.float32)


def _umap(start: Positions, near: Nearest, seed: int) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # for example that `transform` is unavailable, which `place_by_neighbours` replaces
        import umap

        # UMAP counts a point among its own neighbours.
        own = np.arange(len(start))[:, None]
        places = np.hstack([own, near.indices])
        distances = np.hstack([np.zeros((len(start), 1), np.float32), near.distances])
        fit = umap.UMAP(
            n_neighbors=places.shape[1],
            precomputed_knn=(places, distances),
            force_approximation_algorithm=True,  # else UMAP recomputes the neighbours of small data
            init=start,
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(fit.fit_transform(start))


def _tsne(start: Positions, near: Nearest, seed: int) -> NDArray[Any]:
    import openTSNE
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    affinities = PerplexityBasedNN(
        perplexity=max(near.indices.shape[1] / _PERPLEXITY, 1.5),
        knn_index=PrecomputedNeighbors(near.indices, near.distances.astype(np.float64)),
    )
    fit = openTSNE.TSNE(initialization=1e-4 * start.astype(np.float64), random_state=seed, n_jobs=1)
    return np.asarray(fit.fit(affinities=affinities))
