"""Gallery: the images to map, with their principal components and nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.features import Feature
from imrec_core.index.exact_search import Rows
from imrec_core.index.generation import Generation
from imrec_core.maps.neighbours import Finder, Nearest
from imrec_core.maps.principal_points import Points, principal_points

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Gallery:
    """Images of a generation with their nearest neighbours.

    Attributes:
        rows: Rows in the generation, ascending.
        points: Principal components of the rows `(len(rows), dims)`.
        near: Nearest neighbours of each row, as positions in `rows`.
    """

    generation: Generation
    feature: Feature
    rows: Rows
    points: Points
    near: Nearest

    @property
    def matrix(self) -> NDArray[Any]:
        """Vectors of all rows of the generation, memory-mapped."""
        return self.generation.matrix(self.feature.name)


def load_gallery(
    generation: Generation, feature: Feature, neighbours: int, progress: Progress, rows: Rows | None = None
) -> Gallery:
    """Compute the points and the nearest neighbours of the images of a generation.

    Args:
        rows: Rows to use, ascending; None for all. Neighbours come from the same rows.

    Raises:
        QueryError: There are no images.
    """
    rows = generation.live if rows is None else rows
    if not len(rows):
        raise QueryError(
            f"generation {generation.id} has no images to map; add images to a source and run: imrec build"
        )
    progress(f"computing principal components of {len(rows)} vectors of {feature.name}")
    matrix = generation.matrix(feature.name)
    points = principal_points(feature, matrix, rows)
    progress(f"finding nearest neighbours by {feature.metric.name}")
    near = Finder(feature, matrix, rows, points).nearest(rows, points, neighbours)
    return Gallery(generation, feature, rows, points, near)
