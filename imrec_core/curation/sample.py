"""Samples of a lake: random ones, and diverse ones that cover an embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.curation.listed_images import ListedImage, list_images
from imrec_core.curation.neighbours import Embedding, open_embedding
from imrec_core.errors import QueryError
from imrec_core.index.generation import Rows
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.maps.principal_points import Points, principal_points
from imrec_core.sql.policy import SqlPolicy

_AHEAD = 8  # points whose distances are computed at once
_DIMS = 256  # of the points; more are projected, so that half a million take 0.5 GB


@dataclass(frozen=True)
class Sample:
    """Some images of a lake.

    Attributes:
        images: A random sample in the order of the rows; a diverse one in the order of choice, so that its beginning is
            a diverse sample, too.
        radius: Distance in the embedding within which every other image has one of the sample; None for a random one.
    """

    images: list[ListedImage]
    radius: float | None


def draw_sample(
    lake: Lake,
    count: int,
    *,
    diverse: bool = False,
    seed: int = 0,
    by: str | None = None,
    where: str | None = None,
) -> Sample:
    """Draw a sample of the images of a lake.

    Args:
        count: Number of images, 1 or more; all of them if there are fewer.
        diverse: Choose by greedy k-center (Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5): each image is the one
            farthest from those before. Unusual images come first, copies last.
        seed: Seed of a random sample; a diverse one has none.
        by: Feature of the embedding for a diverse sample. Default: the first feature of the lake.
        where: SQL condition over the rows to draw from.

    Raises:
        QueryError: `count` is below 1, `where` is not a valid condition, or no image satisfies it.
        UnknownName: There is no such feature.
    """
    if count < 1:
        raise QueryError(f"the size of the sample is {count}; expected 1 or more")
    generation = open_generation(lake)
    rows = generation.live if where is None else generation.filter.rows(where, SqlPolicy.TRUSTED)
    if not len(rows):
        raise QueryError("no image to draw from" + (f": none satisfies {where!r}" if where else "; run: imrec build"))
    radius = None
    if diverse:
        embedding = open_embedding(generation, by)
        rows = np.intersect1d(rows, embedding.rows)
        if not len(rows):
            raise QueryError(f"{embedding.name}: no image to draw from can be compared; leave out --diverse")
        chosen, radius = k_center(_points(embedding, rows), count)
    else:
        some = np.random.default_rng(seed).choice(len(rows), min(count, len(rows)), replace=False)
        chosen = np.sort(some)
    return Sample(list_images(lake, generation, rows[chosen]), radius)


def _points(embedding: Embedding, rows: Rows) -> Points:
    if embedding.points(rows[:1]).shape[1] <= _DIMS:
        return embedding.points(rows)
    matrix = embedding.generation.matrix(embedding.feature.name)
    return principal_points(embedding.feature, matrix, rows, _DIMS)


def k_center(points: Points, count: int) -> tuple[Rows, float]:
    """Choose points so that every point is near a chosen one, by the greedy algorithm.

    Its radius is at most twice the smallest possible. The first is the point nearest to the mean; ties go to the first
    point. The distances to several of the farthest points are computed at once, because most of them are chosen next:
    this takes a third of the time (100,000 random points, 2026-12).

    Args:
        points: `(n, dims)`, `n` 1 or more.

    Returns:
        Positions `(min(count, n),)` in the order of choice, and the largest distance of a point to its nearest chosen.
    """
    squares = np.einsum("ij,ij->i", points, points)
    chosen = np.empty(min(count, len(points)), np.int64)
    chosen[0] = np.argmin(squares - 2 * (points @ points.mean(axis=0)))
    to_chosen = np.full(len(points), np.inf, np.float32)
    ahead, distances = chosen[:1], _squared_distances(points, squares, chosen[:1])
    for i in range(len(chosen)):
        if i:
            chosen[i] = np.argmax(to_chosen)
        if chosen[i] not in ahead:
            ahead = np.argpartition(-to_chosen, min(_AHEAD, len(points)) - 1)[:_AHEAD]
            distances = _squared_distances(points, squares, ahead)
        np.minimum(to_chosen, distances[np.flatnonzero(ahead == chosen[i])[0]], out=to_chosen)
        to_chosen[chosen[i]] = -1  # never again, although copies are as near
    return chosen, float(np.sqrt(max(to_chosen.max(), 0)))


def _squared_distances(points: Points, squares: NDArray[np.float32], some: Rows) -> NDArray[np.float32]:
    """Compute the squared distances `(len(some), n)` of some points to all points."""
    found = squares - 2 * (points[some] @ points.T) + squares[some, None]
    return np.asarray(np.maximum(found, 0, out=found), np.float32)
