"""Maps of a gallery: images that are alike lie near each other, in clusters, each with its nearest neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.explore.clusters import NOISE, Clusters, find_clusters, medoid, vote
from imrec_core.explore.layout import METHODS, Positions, check_method, lay_out, place
from imrec_core.explore.maps import Cluster, Map, check_name, map_names, open_map, save_map
from imrec_core.explore.nearest import Finder, Nearest
from imrec_core.explore.points import Points, principal_points
from imrec_core.features import Feature
from imrec_core.generation import Generation, open_generation
from imrec_core.lake import Lake
from imrec_core.reduction.neighbours import nearest, share_kept
from imrec_core.scan import Rows

__all__ = ["METHODS", "Cluster", "Map", "MapReport", "make_map", "map_names", "open_map"]

SAMPLE, NEIGHBOURS = 50_000, 15

_JUDGED, _KEPT = 1_000, 10  # rows that say how well neighbours are kept, and how many of these
_MOST_NEIGHBOURS = 50

Progress = Callable[[str], None]


@dataclass(frozen=True)
class MapReport:
    """What a map became.

    Attributes:
        rows: Images on it.
        fitted: Of these were laid out together; the others were placed among them.
        clusters, noise: How many there are, and images that are in none.
        kept: Share of the 10 nearest images of each that are among its 10 nearest on the map.
        updated: Images that were on the map before stayed where they were.
    """

    name: str
    feature: str
    metric: str
    method: str
    generation: str
    rows: int
    fitted: int
    clusters: int
    noise: int
    kept: float
    updated: bool
    byte_size: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def in_words(self) -> str:
        """As a person reads it."""
        others = self.rows - self.fitted
        lines = [
            f"map {self.name}: {self.rows} images of generation {self.generation} by {self.feature}:{self.metric}",
            f"{self.fitted} {'stayed where they were' if self.updated else f'laid out by {self.method}'}"
            + (f", {others} placed among them" if others else ""),
            f"{self.kept:.0%} of the {_KEPT} nearest of each are among its {_KEPT} nearest on the map",
            f"{self.clusters} clusters, {self.noise} images in none",
        ]
        return "\n".join([*lines, f"{self.byte_size / 1e6:.3g} MB, {self.seconds:.1f} s"])


@dataclass(frozen=True)
class _Gallery:
    """The images of a map: what is known of each before it is placed."""

    generation: Generation
    feature: Feature
    rows: Rows
    points: Points
    near: Nearest

    @property
    def matrix(self) -> NDArray[Any]:
        return self.generation.matrix(self.feature.name)


def make_map(
    lake: Lake,
    feature: str | None = None,
    *,
    method: str = "umap",
    name: str | None = None,
    sample: int = SAMPLE,
    neighbours: int = NEIGHBOURS,
    cluster_size: int | None = None,
    seed: int = 0,
    progress: Progress = lambda line: None,
) -> MapReport:
    """Lay out the images of the generation in use and keep the result as a map of the lake.

    The same generation and the same arguments give the same map.

    Args:
        feature: By which images are alike, in its default metric; None for the generation's first.
        method: `umap` or `tsne`.
        name: Of the map; by itself that of the feature, and of the method where it is not UMAP. One that is there is
            replaced.
        sample: Images that are laid out, at most; the others are placed among those that they are most like.
        neighbours: Of each image, by which it is placed.
        cluster_size: Images in a cluster, at least; None goes by how many there are.
        progress: Told each step.

    Raises:
        UnknownName: No such feature or method.
        MissingDependency: The library of the method is not installed.
        QueryError: The name cannot be one, a number is too small, or the generation has no image.
        MissingTable, StaleIndex: There is no generation, or none can be read.
    """
    started = time.perf_counter()
    check_method(method)
    _check(sample, neighbours, cluster_size)
    if name is not None:
        check_name(name)
    generation = open_generation(lake)
    of = generation.feature(feature or generation.default_feature)
    gallery = _gallery(generation, of, neighbours, progress)
    fitted = _sample(len(gallery.rows), sample, seed)
    finder, near = None, gallery.near
    if len(fitted) < len(gallery.rows):
        finder = Finder(of, gallery.matrix, gallery.rows[fitted], gallery.points[fitted])
        near = finder.nearest(gallery.rows[fitted], gallery.points[fitted], neighbours)
    progress(f"{method} of {len(fitted)} images")
    positions = lay_out(method, gallery.points[fitted], near, seed)
    progress("clusters")
    clusters = find_clusters(positions, cluster_size)
    if finder is not None:
        positions, clusters = _with_others(gallery, finder, fitted, positions, clusters, progress)
    parameters = {"sample": sample, "neighbours": neighbours, "cluster_size": cluster_size, "seed": seed}
    name = name or (of.name if method == "umap" else f"{of.name}-{method}")
    made = _as_map(gallery, name, method, parameters, positions, clusters, time.perf_counter() - started)
    return _saved(lake, made, len(fitted), updated=False)


def _check(sample: int, neighbours: int, cluster_size: int | None) -> None:
    if not 2 <= neighbours <= _MOST_NEIGHBOURS:
        raise QueryError(f"neighbours is {neighbours}; it must be 2 to {_MOST_NEIGHBOURS}")
    if sample <= neighbours:
        raise QueryError(f"sample is {sample}; it must be more than the {neighbours} neighbours of each image")
    if cluster_size is not None and cluster_size < 2:
        raise QueryError(f"cluster_size is {cluster_size}; it must be 2 or more")


def _gallery(generation: Generation, feature: Feature, neighbours: int, progress: Progress) -> _Gallery:
    rows = generation.live
    if not len(rows):
        raise QueryError(f"generation {generation.id} has no image; there is nothing to map")
    progress(f"principal components of {len(rows)} vectors of {feature.name}")
    matrix = generation.matrix(feature.name)
    points = principal_points(feature, matrix, rows)
    progress(f"nearest neighbours of each, by {feature.metric.name}")
    near = Finder(feature, matrix, rows, points).nearest(rows, points, neighbours)
    return _Gallery(generation, feature, rows, points, near)


def _sample(count: int, most: int, seed: int) -> Rows:
    """Places of the images that are laid out, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _with_others(
    gallery: _Gallery, finder: Finder, fitted: Rows, positions: Positions, clusters: Clusters, progress: Progress
) -> tuple[Positions, Clusters]:
    """Positions and clusters of all, those that were not laid out by their neighbours among those that were."""
    others = np.setdiff1d(np.arange(len(gallery.rows)), fitted)
    progress(f"{len(others)} images placed among them")
    near = finder.nearest(gallery.rows[others], gallery.points[others], gallery.near.places.shape[1])
    everywhere = np.empty((len(gallery.rows), 2), np.float32)
    everywhere[fitted], everywhere[others] = positions, place(near, positions)
    of_all = np.empty(len(gallery.rows), np.int32)
    of_all[fitted], of_all[others] = clusters, vote(near, clusters)
    return everywhere, of_all


def _as_map(
    gallery: _Gallery,
    name: str,
    method: str,
    parameters: dict[str, Any],
    positions: Positions,
    clusters: Clusters,
    seconds: float,
) -> Map:
    generation, near = gallery.generation, gallery.near
    ids = generation.live_table(["image_id"])["image_id"]
    columns: dict[str, Any] = {
        "row": gallery.rows,
        "image_id": ids,
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
    count = min(_KEPT, near.places.shape[1])
    if not count:
        return 1.0
    judged = np.arange(min(_JUDGED, len(positions))) * len(positions) // min(_JUDGED, len(positions))
    found = nearest(positions[judged], positions, count, own=judged)
    return round(share_kept(near.places[judged, :count], found), 4)


def _summaries(
    gallery: _Gallery, positions: Positions, clusters: Clusters, ids: pa.ChunkedArray
) -> tuple[Cluster, ...]:
    order = np.argsort(clusters, kind="stable")
    bounds = np.searchsorted(clusters[order], np.arange(clusters.max() + 2))
    found = []
    for number, (first, last) in enumerate(pairwise(bounds)):
        members = order[first:last]
        row = medoid(gallery.feature, gallery.matrix, gallery.rows[members])
        x, y = np.median(positions[members], axis=0).tolist()
        image_id = ids[int(np.searchsorted(gallery.rows, row))].as_py()
        found.append(Cluster(number, len(members), x, y, image_id, row))
    return tuple(found)


def _saved(lake: Lake, made: Map, fitted: int, *, updated: bool) -> MapReport:
    size = save_map(lake, made)
    in_none = int((made.table["cluster"].to_numpy() == NOISE).sum())
    return MapReport(
        made.name,
        made.feature,
        made.metric,
        made.method,
        made.generation,
        len(made.table),
        fitted,
        len(made.clusters),
        in_none,
        made.kept,
        updated,
        size,
        made.seconds,
    )
