"""Where each picture lies on a map: UMAP or t-SNE of a sample, the others among those that they are most like."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import MissingDependency, UnknownName
from imrec_core.explore.nearest import Nearest
from imrec_core.explore.points import Points

Positions = NDArray[np.float32]

METHODS = ("umap", "tsne")

_FEW = 8  # images below which there are no neighbourhoods to draw
_PERPLEXITY = 3  # neighbours for each of t-SNE's, as van der Maaten and Hinton advise
_PLACED_BY = 3  # neighbours: of 100,000 rows, half of them placed, .32 of the 10 nearest were kept; by 15 .28 (2026-11)
_WIDEST_GAP = 0.03  # of the width or height, whichever is more


def check_method(method: str) -> None:
    """Refuse a method that is none, or whose library is not installed.

    Raises:
        UnknownName: There is none of that name.
        MissingDependency: UMAP or openTSNE is not installed.
    """
    if method not in METHODS:
        raise UnknownName("way to draw a map", method, METHODS)
    from importlib.util import find_spec

    if find_spec("umap" if method == "umap" else "openTSNE") is None:
        raise MissingDependency("umap-learn" if method == "umap" else "openTSNE", extra="map")


def lay_out(method: str, points: Points, near: Nearest, seed: int) -> Positions:
    """Positions `(n, 2)` in which those that are near each other stay so; the same for the same seed.

    Args:
        method: One of `METHODS`.
        points: Principal components `(n, dims)`; the map begins with the first two.
        near: Of each point the nearest others.
    """
    start = _start(points, seed)
    if len(points) < _FEW:
        return start
    positions = (_umap if method == "umap" else _tsne)(start, near, seed)
    return _closed_up(positions)


def _closed_up(positions: NDArray[Any]) -> Positions:
    """The same with bands that are empty from edge to edge made narrow, which else make all that is drawn small.

    How far apart islands lie says nothing in either method: Wattenberg et al. 2016, How to use t-SNE effectively,
    doi:10.23915/distill.00002.
    """
    size = float(np.ptp(positions, axis=0).max())
    if size == 0:
        return np.asarray(positions, np.float32)
    step = 2.0 ** (
        np.floor(np.log2(size)) - 12
    )  # shifts by whole ones lose no bit: neighbours may lie in the last ones
    closed = np.empty(positions.shape, np.float32)
    for axis in range(2):
        along = positions[:, axis].astype(np.float64)
        order = np.argsort(along, kind="stable")
        too_wide = np.maximum(np.diff(along[order], prepend=along[order[0]]) - _WIDEST_GAP * size, 0)
        shift = np.cumsum(np.floor(too_wide / step) * step)
        closed[order, axis] = along[order] - shift + np.round(shift.mean() / step) * step
    return closed


def place(near: Nearest, positions: Positions) -> Positions:
    """Positions of points among their nearest neighbours, each the more counting the nearer it is, `(n, 2)`.

    Args:
        near: Of each point its nearest ones among those placed.
        positions: Of these, `(placed, 2)`.
    """
    weights = _weights(near.distances[:, :_PLACED_BY])
    return np.asarray(np.einsum("nk,nkd->nd", weights, positions[near.places[:, :_PLACED_BY]]), np.float32)


def _weights(distances: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row as UMAP falls off from the nearest one, with the mean distance beyond it as scale; they sum to 1."""
    beyond = distances - distances[:, :1]
    weights = np.exp(-beyond / np.maximum(beyond.mean(axis=1, keepdims=True), 1e-12))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _start(points: Points, seed: int) -> Positions:
    """The first two components, each a few units wide; a little noise keeps apart what is equal."""
    start = np.random.default_rng(seed).normal(0, 1e-3, (len(points), 2))
    for axis in range(min(2, points.shape[1])):
        spread = points[:, axis].std()
        start[:, axis] += points[:, axis] / spread if spread > 1e-6 else 0
    return start.astype(np.float32)


def _umap(start: Positions, near: Nearest, seed: int) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # among others that new points cannot be placed, which `place` does
        import umap

        # UMAP counts a point among its own neighbours.
        own = np.arange(len(start))[:, None]
        places = np.hstack([own, near.places])
        distances = np.hstack([np.zeros((len(start), 1), np.float32), near.distances])
        fit = umap.UMAP(
            n_neighbors=places.shape[1],
            precomputed_knn=(places, distances),
            force_approximation_algorithm=True,  # else those are computed anew where there are few
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
        perplexity=max(near.places.shape[1] / _PERPLEXITY, 1.5),
        knn_index=PrecomputedNeighbors(near.places, near.distances.astype(np.float64)),
    )
    fit = openTSNE.TSNE(initialization=1e-4 * start.astype(np.float64), random_state=seed, n_jobs=1)
    return np.asarray(fit.fit(affinities=affinities))
