"""The images of a map with their points and neighbours, and the table that a finished map stores of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.explore.clusters import Clusters, medoid
from imrec_core.explore.layout import Positions
from imrec_core.explore.maps import Cluster, Map
from imrec_core.explore.nearest import Finder, Nearest
from imrec_core.explore.points import Points, principal_points
from imrec_core.features import Feature
from imrec_core.features.reduction.neighbours import nearest, share_kept
from imrec_core.index.exact_search import Rows
from imrec_core.index.generation import Generation

KEPT = 10
"""Number of neighbours in the quality score of a map."""

_JUDGED = 1_000  # rows in the sample for the quality score

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


def gather(
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


def as_map(
    gallery: Gallery,
    name: str,
    method: str,
    parameters: dict[str, Any],
    positions: Positions,
    clusters: Clusters,
    seconds: float,
) -> Map:
    """Assemble a map from positions `(n, 2)` and clusters `(n,)` of the images."""
    generation, near = gallery.generation, gallery.near
    ids = generation.live_table(["image_id"])["image_id"]
    columns: dict[str, Any] = {
        "row": gallery.rows,
        "image_id": ids,
        "content": contents(generation, gallery.rows),
        "x": positions[:, 0],
        "y": positions[:, 1],
        "cluster": clusters,
        "neighbours": _lists(gallery.rows[near.places]),
        "distances": _lists(near.distances),
    }
    return Map(
        name,
        gallery.feature.name,
        gallery.feature.metric.name,
        method,
        generation.id,
        parameters,
        _share_kept(near, positions),
        round(seconds, 2),
        pa.table(columns),
        _summaries(gallery, positions, clusters, ids),
    )


def _lists(values: NDArray[Any]) -> pa.Array:
    """Convert a matrix to an array of lists, one per row."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))


def _share_kept(near: Nearest, positions: Positions) -> float:
    """Compute the share of nearest neighbours that are nearest on the map too, over a sample of images."""
    count = min(KEPT, near.places.shape[1])
    if not count:
        return 1.0
    judged = np.arange(min(_JUDGED, len(positions))) * len(positions) // min(_JUDGED, len(positions))
    found = nearest(positions[judged], positions, count, own=judged)
    return round(share_kept(near.places[judged, :count], found), 4)


def _summaries(gallery: Gallery, positions: Positions, clusters: Clusters, ids: pa.ChunkedArray) -> tuple[Cluster, ...]:
    order = np.argsort(clusters, kind="stable")
    bounds = np.searchsorted(clusters[order], np.arange(clusters.max() + 2))
    found = []
    for number, (first, last) in enumerate(pairwise(bounds)):
        if first == last:  # all images of the cluster have been removed
            continue
        members = order[first:last]
        row = medoid(gallery.feature, gallery.matrix, gallery.rows[members])
        x, y = np.median(positions[members], axis=0).tolist()
        image_id = ids[int(np.searchsorted(gallery.rows, row))].as_py()
        found.append(Cluster(number, len(members), x, y, image_id, row))
    return tuple(found)


def contents(generation: Generation, rows: Rows) -> NDArray[np.uint64]:
    """Return the first 64 bits of the content hash of each row `(len(rows),)`."""
    hashes = pl.Series(generation.columns("content_hash")["content_hash"].take(pa.array(rows)), dtype=pl.String)
    return hashes.str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64, strict=False).fill_null(0).to_numpy()


def places_of(made: Map, generation: Generation) -> tuple[Rows, Rows]:
    """Find the images of a map that are still in a generation.

    Returns:
        Their positions in the map's table, ascending, and their rows in the generation.
    """
    if made.generation == generation.id:
        return np.arange(len(made.table)), np.asarray(made.table["row"])
    live = generation.live_table(["image_id"])["image_id"]
    found = pc.index_in(made.table["image_id"], live)
    places = np.flatnonzero(np.asarray(found.is_valid()))
    return places, generation.live[np.asarray(found.drop_null())]
