"""Plots of `imrec plot`, each returned as the bytes of a PNG or SVG file. `plots/` draws them from plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import QueryError, UnknownName
from imrec_core.evaluation.confusion import confusion
from imrec_core.evaluation.labels import Labels
from imrec_core.evaluation.rankers import resolve_rankers, sample
from imrec_core.evaluation.retrieval import MAX_QUERIES
from imrec_core.features import Feature
from imrec_core.features.colour import bin_colours, layout_of
from imrec_core.features.feature_metric import FeatureMetric, split_name
from imrec_core.index.calibration import Calibration
from imrec_core.index.calibration_pairs import RandomPairs
from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import place
from imrec_core.plots.comparisons import Bins, ImageWithVector, draw_hashes, draw_histograms
from imrec_core.plots.confusion import draw_confusion
from imrec_core.plots.distributions import Distances, Threshold, Values, draw_distances, draw_values
from imrec_core.plots.tiles import load_image
from imrec_core.search.hits import FeatureScore, Hit, Hits
from imrec_core.search.query import Query, Text
from imrec_core.search.recommender import Recommender

CUT = 0.001
"""Default false match rate of the threshold."""

_SIDE = 240  # pixels of an image
_ROWS = 5000  # maximum number of vectors: 25 MB with 1,280 dims


# -- a query and its hits -----------------------------------------------------------------------------------


def plot_histograms(
    recommender: Recommender,
    image: Query,
    by: str | None = None,
    *,
    k: int = 5,
    where: str | None = None,
    format: str = "png",
) -> bytes:
    """Plot the query and its hits with their histograms, the query's as a line over each.

    Args:
        image: Query as for `Recommender.search`, not a text.
        by: A histogram, `feature` or `feature:metric`. Default: the first histogram of the lake.
        k, where: As for `Recommender.search`.
        format: `png` or `svg`.

    Raises:
        QueryError: The feature is not a histogram, or the lake has none.
        ImageError, UnknownName: As `Recommender.search`.
    """
    generation = recommender.generation
    feature = _resolve_feature(generation, by, _is_histogram, "histogram")
    layout = layout_of(feature)
    bins = Bins()
    if layout:
        starts = [0, layout.levels[0], sum(layout.levels[:2])]
        channels = () if layout.joint else tuple(zip(_CHANNELS[layout.space], starts, strict=True))
        bins = Bins(bin_colours(layout), channels, layout.joint)
    hits = recommender.search(image, by=by or feature.name, k=k, where=where)
    query = ImageWithVector(_query_image(hits), ("query",), np.asarray(recommender.vector(image, feature.name)))
    about = _about(generation, by or feature.name)
    found = [
        ImageWithVector(
            _hit_image(hit),
            (
                f"{hit.rank}   {hit.score:.3f} {hit.likeness}",
                f"distance {_feature_score(hit).distance:.4g}",
                _name(hit),
            ),
            vector,
        )
        for hit, vector in zip(hits, _vectors(generation, feature, hits), strict=True)
    ]
    return draw_histograms(query, found, bins, about=about, format=format)


_CHANNELS = {
    "rgb": ("red", "green", "blue"),
    "hsv": ("hue", "saturation", "value"),
    "lab": ("lightness", "a*: green to red", "b*: blue to yellow"),
}


def plot_hashes(
    recommender: Recommender,
    image: Query,
    by: str | None = None,
    *,
    k: int = 5,
    where: str | None = None,
    format: str = "png",
) -> bytes:
    """Plot the query and its hits over grids of their hash bits; bits that differ are marked.

    Args:
        by: A binary hash. Default: the first of the lake. The other arguments are those of `plot_histograms`.

    Raises:
        QueryError: The feature is not a hash, its metric compares rotated images, or the lake has none.
        ImageError, UnknownName: As `Recommender.search`.
    """
    generation = recommender.generation
    feature = _resolve_feature(generation, by, _is_hash, "hash of one length")
    metric = FeatureMetric.parse(by or feature.name, generation.feature).metric
    if metric.takes_several:
        raise QueryError(
            f"{metric.name} rotates the query for each hit; to compare bits, use {feature.name} without it"
        )
    hits = recommender.search(image, by=by or feature.name, k=k, where=where)
    query = ImageWithVector(_query_image(hits), ("query",), _bits(recommender.vector(image, feature.name)))
    found = [
        ImageWithVector(
            _hit_image(hit),
            (
                f"{hit.rank}   {_feature_score(hit).distance:.0f} of {feature.dims} bits",
                _one_in(_feature_score(hit).false_match_rate),
                _name(hit),
            ),
            vector,
        )
        for hit, vector in zip(hits, _vectors(generation, feature, hits), strict=True)
    ]
    return draw_hashes(query, found, about=_about(generation, by or feature.name), format=format)


def plot_distances(
    recommender: Recommender,
    image: Query | None = None,
    by: Sequence[str] = (),
    *,
    k: int = 5,
    rate: float = CUT,
    where: str | None = None,
    format: str = "png",
) -> bytes:
    """Plot the distances of random pairs by each feature, with a match threshold and the distances of hits.

    Args:
        image: Query as for `Recommender.search`, by all features in `by` together; None for no hits.
        by: `feature` or `feature:metric`. Default: all features of the lake; with an image, the first one.
        k, where: As for `Recommender.search`.
        rate: False match rate of the threshold, above 0 and at most 1. Hits beyond it are shown too.
        format: `png` or `svg`.

    Raises:
        QueryError: The rate is out of range, the image is a text, or the request is invalid.
        ImageError, UnknownName: As `Recommender.search`.
    """
    if isinstance(image, Text):
        raise QueryError("expected an image: text queries have no calibrated false match rate")
    if not 0 < rate <= 1:
        raise QueryError(f"the false match rate is {rate}; it must be above 0 and at most 1")
    generation = recommender.generation
    first = generation.default_feature
    names = list(by) or (list(generation.features) if image is None else [first])
    hits = [] if image is None else recommender.search(image, by=names, k=k, where=where)
    pairs = RandomPairs.of(generation)
    panels = [
        distances_panel(
            str(pair),
            pairs.distances(generation, pair),
            generation.calibration(pair.feature.name, pair.metric.name),
            rate,
            [hit.parts[name].distance for hit in hits],
        )
        for name, pair in resolve_rankers(generation, names).items()
    ]
    title = f"Distances of random pairs, and of {len(hits)} hits" if hits else "Distances of random pairs"
    return draw_distances(panels, title=title, about=_about(generation), format=format)


def distances_panel(
    name: str,
    pairs: NDArray[Any],
    calibration: Calibration,
    rate: float | None = None,
    hits: Sequence[float] = (),
) -> Distances:
    """Prepare the panel of one feature for `draw_distances`.

    Args:
        name: `feature:metric`.
        pairs: Distances of random pairs `(n,)`.
        rate: False match rate of the threshold; None for no threshold.
        hits: Distances of hits.
    """
    copies = calibration.positive_pairs
    return Distances(
        name,
        pairs,
        (copies.distances, copies.shares) if copies and copies.distances else None,
        None if rate is None else Threshold(calibration.threshold(rate), rate),
        hits,
        "bits" if split_name(name)[1] in _OF_BITS else "",
    )


_OF_BITS = ("hamming", "hamming_dihedral")


def _about(generation: Generation, by: str | None = None) -> str:
    """Describe what a plot shows: feature and metric, number of images, generation."""
    parts = [] if by is None else [str(FeatureMetric.parse(by, generation.feature))]
    return "  ·  ".join([*parts, f"{len(generation.live):,} images", f"generation {generation.id}"])


def _one_in(rate: float) -> str:
    """Describe a false match rate: one in how many random pairs is as near."""
    return f"1 pair in {float(f'{1 / rate:.1g}'):,.0f}" if rate > 0 else "no pair as near"


def _is_histogram(feature: Feature) -> bool:
    return feature.is_histogram


def _is_hash(feature: Feature) -> bool:
    return feature.dtype == "uint64" and not feature.is_variable


def _resolve_feature(generation: Generation, by: str | None, is_one: Callable[[Feature], bool], kind: str) -> Feature:
    """Resolve a feature of a kind; without a name, the first of the lake."""
    names = [name for name in generation.features if is_one(generation.feature(name))]
    if by is None and not names:
        raise QueryError(f"the lake has no {kind}; add one: imrec build --features +NAME (see: imrec features)")
    feature = generation.feature(split_name(by or names[0])[0])
    if not is_one(feature):
        raise QueryError(f"{feature.name} is no {kind}; of this lake it can be {' or '.join(names) or 'none'}")
    return feature


def _query_image(hits: Hits) -> Image.Image | None:
    return None if hits.query is None else load_image(hits.query, _SIDE)


def _hit_image(hit: Hit) -> Image.Image | None:
    return load_image(place(hit.path), _SIDE)


def _name(hit: Hit) -> str:
    return hit.path.rpartition("/")[2]


def _feature_score(hit: Hit) -> FeatureScore:
    (part,) = hit.parts.values()
    return part


def _vectors(generation: Generation, feature: Feature, hits: Hits) -> list[NDArray[Any]]:
    matrix = generation.matrix(feature.name)
    vectors = [np.asarray(matrix[generation.row_of(hit.image_id)]) for hit in hits]
    return [_bits(vector) for vector in vectors] if _is_hash(feature) else vectors


def _bits(packed: NDArray[Any]) -> NDArray[np.bool_]:
    """Unpack a hash into bits `(64 · width,)`, most significant first."""
    return np.unpackbits(np.asarray(packed, ">u8").view(np.uint8)).astype(np.bool_)


# -- the whole lake -----------------------------------------------------------------------------------------


def plot_values(generation: Generation, names: Sequence[str] = (), *, format: str = "png") -> bytes:
    """Plot the distributions of values of features and of numeric columns.

    Args:
        names: Features and columns. Default: all features. A fixed random sample of 5,000 vectors is used if there are
            more.
        format: `png` or `svg`.

    Raises:
        UnknownName: A name is neither a feature nor a numeric column.
        QueryError: A column has no values.
    """
    rows = sample(generation.live, _ROWS)
    sampled = "" if len(rows) == len(generation.live) else f"a sample of {len(rows):,} vectors of "
    panels = [_values(generation, name, rows) for name in names or generation.features]
    return draw_values(panels, about=sampled + _about(generation), format=format)


def _values(generation: Generation, name: str, rows: NDArray[np.int64]) -> Values:
    if name in generation.features:
        matrix = generation.matrix(name)[rows]
        if generation.feature(name).is_variable:
            return Values(f"{name}: hashes per image", matrix[:, 0].astype(np.float64))
        return Values(name, np.array([_bits(row) for row in matrix]) if matrix.dtype == np.uint64 else matrix)
    kinds = {field.name: field.type for field in pq.read_schema(generation.rows_path)}
    numeric = [n for n, kind in kinds.items() if pa.types.is_integer(kind) or pa.types.is_floating(kind)]
    if name not in numeric:
        if name in generation.facts["features"] or name in generation.facts["missing"]:
            generation.feature(name)  # raises an error with the reason why it cannot be used
        raise UnknownName("feature or column of numbers", name, [*generation.features, *numeric])
    values = generation.live_table([name])[name].drop_null().to_numpy().astype(np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        raise QueryError(f"the column {name} has no values yet")
    return Values(name, values)


def plot_confusion(
    generation: Generation,
    labels: Labels,
    by: str | None = None,
    *,
    k: int = 5,
    queries: int = MAX_QUERIES,
    format: str = "png",
) -> bytes:
    """Plot the confusion matrix of labels; arguments are those of `confusion.confusion`."""
    by = by or generation.default_feature
    found = confusion(generation, labels, by, k=k, queries=queries)
    return draw_confusion(
        found.names,
        found.counts,
        queries=found.queries,
        title=f"Confusion matrix: labels of the {k} nearest images, in % of a row",
        about=_about(generation, by),
        format=format,
    )
