"""Outliers: images far from their nearest neighbours in an embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.curation.listed_images import ListedImage, list_images
from imrec_core.curation.neighbours import Embedding, Report, iterate_neighbours, open_embedding
from imrec_core.errors import QueryError
from imrec_core.index.generation import Rows
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.sql.policy import SqlPolicy

NEIGHBOURS = 10
"""Nearest images whose mean distance tells an outlier."""


@dataclass(frozen=True)
class Outlier(ListedImage):
    """An image with its distance to the nearest other images.

    Attributes:
        distance: Mean Euclidean distance to the 10 nearest, in the points of the embedding.
        ratio: The distance divided by the median of all images of the lake; 1 is usual.
    """

    distance: float
    ratio: float


def neighbour_distances(embedding: Embedding, report: Report | None = None) -> NDArray[np.float64]:
    """Compute the mean distance `(len(embedding.rows),)` of each image to its nearest; NaN if it is the only one."""
    parts = [to_near.mean(axis=1) for _, _, to_near in iterate_neighbours(embedding, NEIGHBOURS, report)]
    return np.concatenate(parts).astype(np.float64) if parts else np.full(len(embedding.rows), np.nan)


def ratios_to_median(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide distances by their median; 1 for all if it is 0, as in a lake of copies."""
    median = np.median(distances) if len(distances) else np.nan
    return distances / median if median > 0 else np.where(distances > 0, np.inf, 1.0)


def find_outliers(
    lake: Lake, count: int = 20, *, by: str | None = None, where: str | None = None, report: Report | None = None
) -> list[Outlier]:
    """Find the images that are farthest from their nearest neighbours, farthest first.

    Args:
        count: Maximum number of images.
        by: Feature of the embedding. Default: the first feature of the lake.
        where: SQL condition over the rows, for the images to return; their neighbours are all images.
        report: Receives the progress; see `iterate_neighbours`.

    Raises:
        QueryError: The lake has fewer than two images that can be compared, or `where` is not a valid condition.
        UnknownName: There is no such feature.
    """
    generation = open_generation(lake)
    embedding = open_embedding(generation, by)
    rows, distances = embedding.rows, neighbour_distances(embedding, report)
    if len(rows) < 2:
        raise QueryError(f"{embedding.name}: {len(rows)} images can be compared; outliers need two or more")
    ratios = ratios_to_median(distances)
    positions = _selected(rows, None if where is None else generation.filter.rows(where, SqlPolicy.TRUSTED))
    farthest = positions[np.argsort(-distances[positions], kind="stable")][:count]
    return [
        Outlier(image.image_id, image.source, image.path, float(distances[i]), float(ratios[i]))
        for i, image in zip(farthest.tolist(), list_images(lake, generation, rows[farthest]), strict=True)
    ]


def _selected(rows: Rows, among: Rows | None) -> Rows:
    """Return the positions in `rows` of those in `among`."""
    return np.arange(len(rows)) if among is None else np.flatnonzero(np.isin(rows, among))
