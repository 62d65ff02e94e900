"""Makes maps, and brings them up to date."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imrec_core.errors import QueryError
from imrec_core.explore.clusters import NOISE, find_clusters, join
from imrec_core.explore.gallery import KEPT, Gallery, Progress, as_map, contents, gather, places_of
from imrec_core.explore.layout import METHODS, Positions, check_method, lay_out, place
from imrec_core.explore.maps import Map, check_name, open_map, save_map
from imrec_core.explore.nearest import Finder
from imrec_core.generation import Generation, open_generation
from imrec_core.lake import Lake
from imrec_core.scan import Rows

# Of 100,000 vectors, none of a picture, UMAP kept .22 of the 10 nearest, with half of them laid out .18 (2026-11).
SAMPLE = 100_000

# Of 1,066 photos t-SNE kept .485 of the 10 nearest by 15, .523 by 30, .538 by 45; of 10,000 parts of them .81, .84 and
# .84, each in 40 s of a core. UMAP keeps less by 30 than by 15: .415 after .440, .74 after .78 (2026-11).
NEIGHBOURS = {"umap": 15, "tsne": 30}

_MOST_NEIGHBOURS = 50


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
            f"{self.kept:.0%} of the {KEPT} nearest of each are among its {KEPT} nearest on the map",
            f"{self.clusters} clusters, {self.noise} images in none",
        ]
        return "\n".join([*lines, f"{self.byte_size / 1e6:.3g} MB, {self.seconds:.1f} s"])


def make_map(
    lake: Lake,
    feature: str | None = None,
    *,
    method: str = "umap",
    name: str | None = None,
    sample: int = SAMPLE,
    neighbours: int | None = None,
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
        neighbours: Of each image, by which it is placed; None for those of the method in `NEIGHBOURS`.
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
    neighbours = NEIGHBOURS[method] if neighbours is None else neighbours
    _check(sample, neighbours, cluster_size)
    if name is not None:
        check_name(name)
    generation = open_generation(lake)
    of = generation.feature(feature or generation.default_feature)
    gallery = gather(generation, of, neighbours, progress)
    fitted = _sample(len(gallery.rows), sample, seed)
    finder, near = None, gallery.near
    if len(fitted) < len(gallery.rows):
        finder = Finder(of, gallery.matrix, gallery.rows[fitted], gallery.points[fitted])
        near = finder.nearest(gallery.rows[fitted], gallery.points[fitted], neighbours)
    progress(f"{method} of {len(fitted)} images")
    positions = lay_out(method, gallery.points[fitted], near, seed)
    if finder is not None:
        positions = _with_others(gallery, finder, fitted, positions, progress)
    progress("clusters")
    clusters = find_clusters(positions, fitted, cluster_size)
    parameters = {"sample": sample, "neighbours": neighbours, "cluster_size": cluster_size, "seed": seed}
    name = name or map_name(of.name, method)
    made = as_map(gallery, name, method, parameters, positions, clusters, time.perf_counter() - started)
    return _saved(lake, made, len(fitted), updated=False)


def map_name(feature: str, method: str) -> str:
    """What a map is called where nobody names it."""
    return feature if method == METHODS[0] else f"{feature}-{method}"


def update_map(lake: Lake, name: str, *, progress: Progress = lambda line: None) -> MapReport:
    """Bring a map to the generation in use: images that are on it stay, new and changed ones are placed among them.

    Neighbours and the pictures of clusters are found anew; a cluster keeps its number.

    Raises:
        QueryError: Too few of its images are left to place others among them.
        UnknownName: No such map, or its feature is no more.
        MissingTable, StaleIndex, SchemaMismatch: There is no generation or no map, or none can be read.
    """
    started = time.perf_counter()
    before = open_map(lake, name, ["row", "image_id", "content", "x", "y", "cluster"])
    generation = open_generation(lake)
    of, neighbours = generation.feature(before.feature), before.parameters["neighbours"]
    places, rows = _stayed(before, generation)
    if len(rows) <= neighbours and len(rows) < len(generation.live):
        raise QueryError(f"map {name} shares {len(rows)} images with the lake; make it again with: imrec map")
    gallery = gather(generation, of, neighbours, progress)
    table = before.table.take(places)
    positions, clusters = np.column_stack([table["x"], table["y"]]), np.asarray(table["cluster"])
    fitted = np.searchsorted(gallery.rows, rows)
    if len(fitted) < len(gallery.rows):
        finder = Finder(of, gallery.matrix, rows, gallery.points[fitted])
        stayed, positions = positions, _with_others(gallery, finder, fitted, positions, progress)
        joined = join(stayed, clusters, positions)
        joined[fitted] = clusters
        clusters = joined
    seconds = time.perf_counter() - started
    made = as_map(gallery, name, before.method, before.parameters, positions, clusters, seconds)
    return _saved(lake, made, len(fitted), updated=True)


def _stayed(before: Map, generation: Generation) -> tuple[Rows, Rows]:
    """Images of a map that are there still and show the same: places in its table, and rows, which ascend."""
    places, rows = places_of(before, generation)
    is_same = np.asarray(before.table["content"])[places] == contents(generation, rows)
    places, rows = places[is_same], rows[is_same]
    order = np.argsort(rows)
    return places[order], rows[order]


def _check(sample: int, neighbours: int, cluster_size: int | None) -> None:
    if not 2 <= neighbours <= _MOST_NEIGHBOURS:
        raise QueryError(f"neighbours is {neighbours}; it must be 2 to {_MOST_NEIGHBOURS}")
    if sample <= neighbours:
        raise QueryError(f"sample is {sample}; it must be more than the {neighbours} neighbours of each image")
    if cluster_size is not None and cluster_size < 2:
        raise QueryError(f"cluster_size is {cluster_size}; it must be 2 or more")


def _sample(count: int, most: int, seed: int) -> Rows:
    """Places of the images that are laid out, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _with_others(gallery: Gallery, finder: Finder, fitted: Rows, positions: Positions, progress: Progress) -> Positions:
    """Positions of all, those that were not laid out by their neighbours among those that were."""
    others = np.setdiff1d(np.arange(len(gallery.rows)), fitted)
    progress(f"{len(others)} images placed among them")
    near = finder.nearest(gallery.rows[others], gallery.points[others], gallery.near.places.shape[1])
    everywhere = np.empty((len(gallery.rows), 2), np.float32)
    everywhere[fitted], everywhere[others] = positions, place(near, positions)
    return everywhere


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
