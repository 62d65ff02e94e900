"""The images of a map: what is known of each before it is placed, and what a map says of them when they are."""

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
from imrec_core.generation import Generation
from imrec_core.reduction.neighbours import nearest, share_kept
from imrec_core.scan import Rows

KEPT = 10
"""Neighbours by which it is judged how well a map keeps them."""

_JUDGED = 1_000  # rows that it is judged by

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Gallery:
    """Images, and who is near whom.

    Attributes:
        rows: In the generation, ascending.
        points: Their principal components.
        near: Places among `rows`.
    """

    generation: Generation
    feature: Feature
    rows: Rows
    points: Points
    near: Nearest

    @property
    def matrix(self) -> NDArray[Any]:
        return self.generation.matrix(self.feature.name)


def gather(
    generation: Generation, feature: Feature, neighbours: int, progress: Progress, rows: Rows | None = None
) -> Gallery:
    """Images of a generation, with their nearest neighbours among them.

    Args:
        rows: Ascending; None for all.

    Raises:
        QueryError: There is no image.
    """
    rows = generation.live if rows is None else rows
    if not len(rows):
        raise QueryError(f"generation {generation.id} has no image; there is nothing to map")
    progress(f"principal components of {len(rows)} vectors of {feature.name}")
    matrix = generation.matrix(feature.name)
    points = principal_points(feature, matrix, rows)
    progress(f"nearest neighbours of each, by {feature.metric.name}")
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
    """The map on which the images of a gallery lie at some positions `(n, 2)`, in clusters `(n,)`."""
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
    """Rows of equal length as lists."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))


def _share_kept(near: Nearest, positions: Positions) -> float:
    """Of some images: how many of the nearest are still among the nearest on the map."""
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
        if first == last:  # all of its images were removed since
            continue
        members = order[first:last]
        row = medoid(gallery.feature, gallery.matrix, gallery.rows[members])
        x, y = np.median(positions[members], axis=0).tolist()
        image_id = ids[int(np.searchsorted(gallery.rows, row))].as_py()
        found.append(Cluster(number, len(members), x, y, image_id, row))
    return tuple(found)


def contents(generation: Generation, rows: Rows) -> NDArray[np.uint64]:
    """What the files of some rows hold, as numbers that differ where they do `(len(rows),)`."""
    hashes = pl.Series(generation.columns("content_hash")["content_hash"].take(pa.array(rows)), dtype=pl.String)
    return hashes.str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64, strict=False).fill_null(0).to_numpy()


def places_of(made: Map, generation: Generation) -> tuple[Rows, Rows]:
    """Which images of a map a generation still has.

    Returns:
        Their places in the map's table, ascending, and the row that each has in the generation.
    """
    if made.generation == generation.id:
        return np.arange(len(made.table)), np.asarray(made.table["row"])
    live = generation.live_table(["image_id"])["image_id"]
    found = pc.index_in(made.table["image_id"], live)
    places = np.flatnonzero(np.asarray(found.is_valid()))
    return places, generation.live[np.asarray(found.drop_null())]
