"""The images of a map with their points and neighbours, and the table that a finished map stores of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.features.reduction.neighbours import nearest, share_kept
from imrec_core.maps.alignment import content_keys
from imrec_core.maps.clustering import Clusters, medoid
from imrec_core.maps.gallery import Gallery
from imrec_core.maps.layout import Positions
from imrec_core.maps.map_table import Cluster, Map
from imrec_core.maps.neighbours import Nearest

KEPT = 10
"""Number of neighbours in the quality score of a map."""

_JUDGED = 1_000  # rows in the sample for the quality score


def assemble_map(
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
        "content": content_keys(generation, gallery.rows),
        "x": positions[:, 0],
        "y": positions[:, 1],
        "cluster": clusters,
        "neighbours": _lists(gallery.rows[near.indices]),
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
    count = min(KEPT, near.indices.shape[1])
    if not count:
        return 1.0
    judged = np.arange(min(_JUDGED, len(positions))) * len(positions) // min(_JUDGED, len(positions))
    found = nearest(positions[judged], positions, count, own=judged)
    return round(share_kept(near.indices[judged, :count], found), 4)


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
