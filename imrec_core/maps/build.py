"""Building maps and updating them to a newer generation."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imrec_core.errors import QueryError
from imrec_core.index.exact_search import Rows
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.maps.alignment import align_rows, content_keys
from imrec_core.maps.clustering import NOISE, assign_clusters, find_clusters
from imrec_core.maps.gallery import Gallery, Progress, load_gallery
from imrec_core.maps.layout import METHODS, Positions, check_method, lay_out, place_by_neighbours
from imrec_core.maps.map_table import Map, check_name, load_map, save_map
from imrec_core.maps.neighbours import Finder
from imrec_core.maps.summary import KEPT, assemble_map

# Of 100,000 synthetic vectors UMAP kept .22 of the 10 nearest, with half of them laid out .18 (2026-11).
SAMPLE = 100_000

# Of 1,066 photos t-SNE kept .485 of the 10 nearest with 15 neighbours, .523 with 30, .538 with 45; of 10,000 crops of
# them .81, .84 and .84, each in 40 s on one core. UMAP keeps less with 30 than with 15: .415 and .440, .74 and .78
# (2026-11).
NEIGHBOURS = {"umap": 15, "tsne": 30}

_MOST_NEIGHBOURS = 50


@dataclass(frozen=True)
class MapReport:
    """Result of building or updating a map.

    Attributes:
        rows: Images on the map.
        fitted: Images that were laid out together; the others were placed among them.
        clusters, noise: Number of clusters, and of images in none.
        kept: Share of each image's 10 nearest neighbours that are among its 10 nearest on the map.
        updated: The map was updated: images that were on it before kept their positions.
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
        """Convert to plain values, for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """Format the report as text."""
        others = self.rows - self.fitted
        lines = [
            f"map {self.name}: {self.rows} images of generation {self.generation} by {self.feature}:{self.metric}",
            f"{self.fitted} {'kept their positions' if self.updated else f'laid out by {self.method}'}"
            + (f", {others} placed among them" if others else ""),
            f"{self.kept:.0%} of each image's {KEPT} nearest are among its {KEPT} nearest on the map",
            f"{self.clusters} clusters, {self.noise} images in no cluster",
        ]
        return "\n".join([*lines, f"{self.byte_size / 1e6:.3g} MB, {self.seconds:.1f} s"])


def build_map(
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
    """Lay out the images of the current generation and save the result as a map of the lake.

    Equal arguments on the same generation give an equal map.

    Args:
        feature: Feature to compare images by, in its default metric; None for the generation's default feature.
        method: `umap` or `tsne`.
        name: Name of the map, which replaces any map of that name; None derives it with `map_name`.
        sample: Maximum number of images to lay out; the others are placed among their nearest neighbours.
        neighbours: Neighbours per image; None for the default of the method in `NEIGHBOURS`.
        cluster_size: Minimum number of images in a cluster; None derives it from the number of images.
        progress: Called with a line for each step.

    Raises:
        UnknownName: There is no such feature or method.
        MissingDependency: The library of the method is not installed.
        QueryError: The name is invalid, a number is too small, or the generation has no images.
        MissingTable, StaleIndex: There is no readable generation.
    """
    started = time.perf_counter()
    check_method(method)
    neighbours = NEIGHBOURS[method] if neighbours is None else neighbours
    _check(sample, neighbours, cluster_size)
    if name is not None:
        check_name(name)
    generation = open_generation(lake)
    of = generation.feature(feature or generation.default_feature)
    gallery = load_gallery(generation, of, neighbours, progress)
    fitted = _sample(len(gallery.rows), sample, seed)
    finder, near = None, gallery.near
    if len(fitted) < len(gallery.rows):
        finder = Finder(of, gallery.matrix, gallery.rows[fitted], gallery.points[fitted])
        near = finder.nearest(gallery.rows[fitted], gallery.points[fitted], neighbours)
    progress(f"laying out {len(fitted)} images with {method}")
    positions = lay_out(method, gallery.points[fitted], near, seed)
    if finder is not None:
        positions = _place_others(gallery, finder, fitted, positions, progress)
    progress("finding clusters")
    clusters = find_clusters(positions, fitted, cluster_size)
    parameters = {"sample": sample, "neighbours": neighbours, "cluster_size": cluster_size, "seed": seed}
    name = name or map_name(of.name, method)
    made = assemble_map(gallery, name, method, parameters, positions, clusters, time.perf_counter() - started)
    return _save(lake, made, len(fitted), updated=False)


def map_name(feature: str, method: str) -> str:
    """Derive the default name of a map: the feature, with the method unless it is UMAP."""
    return feature if method == METHODS[0] else f"{feature}-{method}"


def update_map(lake: Lake, name: str, *, progress: Progress = lambda line: None) -> MapReport:
    """Update a map to the current generation, without moving its images.

    New and changed images are placed among the unchanged ones. Neighbours and medoids are recomputed; clusters keep
    their numbers.

    Raises:
        QueryError: Too few images of the map are left to place others among them.
        UnknownName: There is no such map, or the generation has no such feature.
        MissingTable, StaleIndex, SchemaMismatch: There is no readable generation or map.
    """
    started = time.perf_counter()
    before = load_map(lake, name, ["row", "image_id", "content", "x", "y", "cluster"])
    generation = open_generation(lake)
    of, neighbours = generation.feature(before.feature), before.parameters["neighbours"]
    places, rows = _unchanged_images(before, generation)
    if len(rows) <= neighbours and len(rows) < len(generation.live):
        raise QueryError(
            f"map {name}: {len(rows)} of its images are unchanged, expected more than {neighbours}; "
            "rebuild it with: imrec map"
        )
    gallery = load_gallery(generation, of, neighbours, progress)
    table = before.table.take(places)
    positions, clusters = np.column_stack([table["x"], table["y"]]), np.asarray(table["cluster"])
    fitted = np.searchsorted(gallery.rows, rows)
    if len(fitted) < len(gallery.rows):
        finder = Finder(of, gallery.matrix, rows, gallery.points[fitted])
        old_positions, positions = positions, _place_others(gallery, finder, fitted, positions, progress)
        all_clusters = assign_clusters(old_positions, clusters, positions)
        all_clusters[fitted] = clusters
        clusters = all_clusters
    seconds = time.perf_counter() - started
    made = assemble_map(gallery, name, before.method, before.parameters, positions, clusters, seconds)
    return _save(lake, made, len(fitted), updated=True)


def _unchanged_images(before: Map, generation: Generation) -> tuple[Rows, Rows]:
    """Find the images of a map whose content is unchanged: positions in its table, and rows, ascending."""
    places, rows = align_rows(before, generation)
    is_same = np.asarray(before.table["content"])[places] == content_keys(generation, rows)
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
    """Draw the images to lay out: positions, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _place_others(
    gallery: Gallery, finder: Finder, fitted: Rows, positions: Positions, progress: Progress
) -> Positions:
    """Place the remaining images among the fitted ones; return the positions of all `(n, 2)`."""
    others = np.setdiff1d(np.arange(len(gallery.rows)), fitted)
    progress(f"placing {len(others)} more images")
    near = finder.nearest(gallery.rows[others], gallery.points[others], gallery.near.indices.shape[1])
    all_positions = np.empty((len(gallery.rows), 2), np.float32)
    all_positions[fitted], all_positions[others] = positions, place_by_neighbours(near, positions)
    return all_positions


def _save(lake: Lake, made: Map, fitted: int, *, updated: bool) -> MapReport:
    size = save_map(lake, made)
    noise = int((made.table["cluster"].to_numpy() == NOISE).sum())
    return MapReport(
        made.name,
        made.feature,
        made.metric,
        made.method,
        made.generation,
        len(made.table),
        fitted,
        len(made.clusters),
        noise,
        made.kept,
        updated,
        size,
        made.seconds,
    )
