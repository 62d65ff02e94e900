"""Answer: which images are most like this one?

Candidates come from the graph of each chosen feature; their union is re-ranked by the exact distance in every
chosen feature, and the calibrated scores are fused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core import fusion
from imrec_core.decode import ImageBatch, decode, from_pillow
from imrec_core.encoders import load_encoder
from imrec_core.errors import BadWeights, EmptyQuery, ImageError, QueryError, UnreadableImage
from imrec_core.features import Feature, decoded_side
from imrec_core.features.declare import Arrays
from imrec_core.generation import Generation, Rows, graph_name, open_generation
from imrec_core.hits import Hit, Hits, Part
from imrec_core.lake import Lake
from imrec_core.metrics import Metric
from imrec_core.models import MODELS
from imrec_core.text import Text, encode_text

Vectors = dict[str, NDArray[Any]]

_SCAN_AT_MOST = 20_000  # rows left by `where` that are scanned rather than looked for in a graph
_BLOCK = 16_384  # rows held in float32 at a time


@dataclass(frozen=True)
class ImageId:
    """An image of the gallery as a query: nothing is decoded, no network runs."""

    value: str


Query = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | ImageId | Text
By = str | Sequence[str] | Mapping[str, float]


@dataclass(frozen=True)
class _Chosen:
    """One feature of a search with its metric and weight."""

    name: str
    feature: Feature
    metric: Metric
    weight: float


class Recommender:
    """Search over the generation in use; a newer one is picked up between searches.

    Safe to use from several threads.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._generation = open_generation(lake)
        self._published = lake.current_generation()
        self._read_settings()
        self._reopening = threading.Lock()
        self._fits: dict[tuple[str, str], Arrays] = {}

    @classmethod
    def open(cls, lake: str | os.PathLike[str] | Lake = "data_lake") -> Recommender:
        """Open a lake for searching.

        Raises:
            MissingTable: It was never built.
            StaleIndex: No generation can be read.
        """
        return cls(lake if isinstance(lake, Lake) else Lake(lake))

    @property
    def generation(self) -> Generation:
        """The generation in use, opened anew where another was published."""
        published = self.lake.current_generation()
        if published != self._published:
            with self._reopening:
                if published != self._published:
                    self._generation = open_generation(self.lake)
                    self._read_settings()
                    self._published = published
        return self._generation

    def _read_settings(self) -> None:
        self._settings = self.lake.settings()
        self._min_side = decoded_side(self.lake)

    def __len__(self) -> int:
        return len(self.generation)

    def search(
        self,
        query: Query | None = None,
        *,
        like: Query | list[Query] | None = None,
        k: int = 5,
        by: By | None = None,
        where: str | None = None,
        exact: bool = False,
    ) -> Hits:
        """The images most like one image.

        Args:
            query: A path, bytes, Pillow image, RGB array `(h, w, 3)`, `ImageId` of the gallery, the vector of the one
                feature in `by`, or `Text` for features that understand it.
            like: The same by its other name; may be a list of one.
            k: Hits wanted; fewer come where the gallery has no more.
            by: `"feature"`, `"feature:metric"`, several of them, or a mapping of them to weights. Default: the
                first feature of the lake, for `Text` the first that understands it.
            where: SQL condition over the rows, for example `width >= 800 AND source = 'holiday'`.
            exact: Look at every row instead of asking the graphs.

        Returns:
            Best first; equal ones in the order of the rows. An `ImageId` is not a hit for itself.

        Raises:
            QueryError: The request cannot be answered; the subclass and the message say why.
            ImageError: The query image cannot be decoded.
            UnknownName: No such feature, metric or image.
        """
        if isinstance(like, list):
            if len(like) != 1:
                raise QueryError(f"{len(like)} images were given; this version searches for one at a time")
            like = like[0]
        if query is not None and like is not None:
            raise QueryError("give the image as `query` or as `like`, not as both")
        asked = query if query is not None else like
        if asked is None:
            raise EmptyQuery("give an image to search for: a path, bytes, a picture, an array or an ImageId")
        if not isinstance(k, int) or k < 1:
            raise QueryError(f"k is {k!r}; it must be a whole number of 1 or more")
        generation = self.generation
        chosen = self._chosen(generation, _understanding(generation) if by is None and isinstance(asked, Text) else by)
        vectors = self._vectors(generation, asked, chosen)
        own_row = generation.row_of(asked.value) if isinstance(asked, ImageId) else None
        rows, plan = _candidates(generation, chosen, vectors, k + (own_row is not None), where, exact)
        if own_row is not None:
            rows = rows[rows != own_row]
        return self._ranked(generation, chosen, vectors, rows, k, plan, self._shown(generation, asked))

    # -- the request ------------------------------------------------------------------------------------

    def _chosen(self, generation: Generation, by: By | None) -> list[_Chosen]:
        if by is None:
            by = generation.default_feature
        weights = {by: 1.0} if isinstance(by, str) else by if isinstance(by, Mapping) else dict.fromkeys(by, 1.0)
        if not weights:
            raise EmptyQuery("`by` is empty; name at least one feature")
        try:
            numbers = [float(weight) for weight in weights.values()]
        except (TypeError, ValueError) as error:
            raise BadWeights(f"weights are {list(weights.values())}; expected numbers") from error
        fusion.checked_weights(numbers)
        chosen = []
        for name, weight in zip(weights, numbers, strict=True):
            feature_name, _, metric_name = name.partition(":")
            feature = generation.feature(feature_name)
            metric = feature.find_metric(metric_name) if metric_name else feature.metric
            chosen.append(_Chosen(name, feature, metric, weight))
        return chosen

    def _vectors(self, generation: Generation, query: Query, chosen: list[_Chosen]) -> Vectors:
        """The query's vector in every chosen feature and in those whose graphs stand in for them."""
        wanted = {c.feature.name: c.feature for c in chosen}
        for graph in (generation.graph_of(c.feature, c.metric) for c in chosen):
            if graph is not None:
                feature = generation.feature(generation.graphs[graph].feature)
                wanted[feature.name] = feature
        if isinstance(query, ImageId):
            row = generation.row_of(query.value)
            return {name: np.array(generation.matrix(name)[row]) for name in wanted}
        if isinstance(query, np.ndarray) and query.ndim == 1:
            vectors = self._given(query, chosen)
            for feature in wanted.values():  # of the graph that stands in for the one asked for
                self._describe(generation, feature, None, vectors)
            return vectors
        if isinstance(query, Text):
            described = [described for feature in wanted.values() for described in _origins(feature)]
            vectors = {feature.name: _in_words(feature, query) for feature in described}
            for feature in wanted.values():
                self._describe(generation, feature, None, vectors)
            return vectors
        images = ImageBatch([self._pixels(query)])
        vectors = {}
        for feature in wanted.values():
            self._describe(generation, feature, images, vectors)
        for c in chosen:
            if c.feature.orientations and c.metric.takes_several:
                vectors[graph_name(c.feature, c.metric)] = c.feature.orientations(images)[0]
        return vectors

    def _describe(self, generation: Generation, feature: Feature, images: ImageBatch | None, vectors: Vectors) -> None:
        """Add the query's vector in a feature to those known, and those that it is computed from."""
        if feature.name in vectors:
            return
        for base in feature.bases:
            self._describe(generation, base, images, vectors)
        fitted = self._fitted(generation, feature) if feature.is_fitted else None
        if feature.projection:
            bases = [vectors[base.name][None] for base in feature.bases]
            vectors[feature.name] = feature.checked(feature.projection.project(bases, fitted or {}), 1)[0]
        elif images is not None:
            vectors[feature.name] = self._described(feature, images, fitted)

    def _fitted(self, generation: Generation, feature: Feature) -> Arrays:
        key = feature.name, generation.features[feature.name]["fitted"]
        if key not in self._fits:
            self._fits[key] = self.lake.load_fitted(*key)
        return self._fits[key]

    def _given(self, vector: NDArray[Any], chosen: list[_Chosen]) -> Vectors:
        feature = chosen[0].feature
        if len(chosen) > 1 or vector.shape != (feature.width,):
            raise QueryError(
                f"a vector of {vector.shape[0]} numbers was given for {', '.join(c.name for c in chosen)}; "
                f"expected one feature, and {feature.width} numbers for {feature.name}"
            )
        allowed = "u" if feature.dtype == "uint64" else "fiu"
        if vector.dtype.kind not in allowed or not np.isfinite(vector).all():
            raise QueryError(f"the vector is {vector.dtype}; {feature.name} has finite numbers of type {feature.dtype}")
        with np.errstate(invalid="ignore"):
            if not np.isfinite(chosen[0].metric(vector, vector[None])).all():
                raise QueryError(f"{chosen[0].metric.name} is not defined for that vector; is a number in it negative?")
        return {feature.name: vector}

    def _described(self, feature: Feature, images: ImageBatch, fitted: Arrays | None) -> NDArray[Any]:
        if feature.model is None:
            return np.asarray(feature(images, fitted)[0])
        encoder = load_encoder(feature.model, precision=self._settings.precision)
        return np.asarray(feature.checked(encoder(images.prepared(feature.model.preprocess)), 1)[0])

    def _pixels(self, query: Any) -> NDArray[np.uint8]:
        if isinstance(query, np.ndarray):
            return query
        if isinstance(query, Image.Image):
            return from_pillow(query)
        min_side = self._min_side
        if isinstance(query, bytes):
            return decode(query, max_pixels=self._settings.max_pixels, min_side=min_side).pixels
        try:
            data = Path(query).read_bytes()
            return decode(data, max_pixels=self._settings.max_pixels, min_side=min_side).pixels
        except OSError as error:
            raise UnreadableImage(f"{query}: {error.strerror or error}") from error
        except ValueError as error:  # a NUL in the name
            raise UnreadableImage(f"{query!r}: {error}") from error
        except ImageError as error:
            raise type(error)(f"{query}: {error}") from error
        except TypeError as error:
            raise QueryError(f"a query of type {type(query).__name__} is not understood") from error

    # -- the answer -------------------------------------------------------------------------------------

    def _ranked(
        self,
        generation: Generation,
        chosen: list[_Chosen],
        vectors: Vectors,
        rows: Rows,
        k: int,
        plan: str,
        shown: Path | Image.Image | None,
    ) -> Hits:
        distances = [_distances(generation, c, vectors, rows) for c in chosen]
        scores = [
            generation.calibration(c.feature.name, c.metric.name).score(d)
            for c, d in zip(chosen, distances, strict=True)
        ]
        fused = fusion.fuse(scores, [c.weight for c in chosen])
        # Far away the score is flat: there the distance of the first feature decides, and with one feature always.
        order = np.lexsort((rows, distances[0], -fused if len(chosen) > 1 else np.zeros(len(rows))))[:k]
        found = generation.rows.select(["image_id", "source", "path"]).take(rows[order]).to_pylist()
        hits = []
        for rank, (i, row) in enumerate(zip(order, found, strict=True), start=1):
            parts = {c.name: Part(float(d[i]), float(s[i])) for c, d, s in zip(chosen, distances, scores, strict=True)}
            path = self._path(row)
            hits.append(Hit(rank, row["image_id"], row["source"], str(path), float(fused[i]), parts))
        return Hits(tuple(hits), plan, generation.id, shown)

    def _path(self, row: Mapping[str, str]) -> Path:
        root = self._settings.sources.get(row["source"])
        return root / row["path"] if root else Path(row["path"])

    def _shown(self, generation: Generation, query: Query) -> Path | Image.Image | None:
        """The query as a contact sheet shows it."""
        if isinstance(query, ImageId):
            return self._path(generation.rows.slice(generation.row_of(query.value), 1).to_pylist()[0])
        if isinstance(query, np.ndarray):
            return Image.fromarray(query[..., :3]) if query.ndim == 3 else None
        if isinstance(query, Text):
            return None
        if isinstance(query, bytes):
            return Image.fromarray(np.ascontiguousarray(self._pixels(query)[..., :3]))
        return query if isinstance(query, Image.Image) else Path(query)


def _understanding(generation: Generation) -> str:
    """The first feature that understands text.

    Raises:
        QueryError: There is none.
    """
    for name in generation.features:
        model = generation.feature(name).model
        if model is not None and model.text:
            return name
    able = ", ".join(name for name, model in MODELS.items() if model.text)
    raise QueryError(f"no feature of this lake understands text; add one: imrec build --features …, of {able}")


def _origins(feature: Feature) -> list[Feature]:
    """Those that a feature comes from and that are described by themselves; it alone where it is one."""
    return [origin for base in feature.bases for origin in _origins(base)] or [feature]


def _in_words(feature: Feature, text: Text) -> NDArray[Any]:
    """The vector of a text in a feature's space.

    Raises:
        QueryError: The feature does not understand text.
    """
    if feature.model is None or not feature.model.text:
        raise QueryError(f"{feature.name} does not understand text; search by a feature with a text tower")
    return np.asarray(feature.checked(encode_text(feature.model, [text.value]), 1)[0])


def _candidates(
    generation: Generation, chosen: list[_Chosen], vectors: Vectors, k: int, where: str | None, exact: bool
) -> tuple[Rows, str]:
    """Rows to rank exactly, ascending, and how they were found."""
    total = len(generation)
    kept = generation.filter.rows(where) if where else None
    left = total if kept is None else len(kept)
    every = (np.arange(total) if kept is None else kept, f"exact scan of {left} rows")
    if exact or (kept is not None and left <= _SCAN_AT_MOST):
        return every
    fetched = max(k, *(_at_least(generation, c) for c in chosen))
    if kept is not None:
        fetched = int(1.5 * fetched * total / left)  # so that enough are left after the filter
    if 2 * fetched >= total:
        return every
    found = [_nearest(generation, c, vectors, fetched) for c in chosen]
    rows = np.unique(np.concatenate(found))
    if kept is not None:
        rows = np.intersect1d(rows, kept, assume_unique=True)
        if len(rows) < k:
            return every
    return rows, f"{len(rows)} candidates from {', '.join(_finder(generation, c) for c in chosen)}, ranked exactly"


def _at_least(generation: Generation, chosen: _Chosen) -> int:
    graph = generation.graph_of(chosen.feature, chosen.metric)
    return generation.graphs[graph].candidates if graph else 100


def _nearest(generation: Generation, chosen: _Chosen, vectors: Vectors, count: int) -> Rows:
    graph = generation.graph_of(chosen.feature, chosen.metric)
    if graph is None:
        query = _as_query(chosen, vectors)
        return np.asarray(generation.scan(chosen.feature.name, chosen.metric, query[None], count)[0])
    return generation.from_graph(graph, vectors[generation.graphs[graph].feature], count)


def _as_query(chosen: _Chosen, vectors: Vectors) -> NDArray[Any]:
    """The query as the metric takes it; a turned one comes from the picture where there is one, else from the hash."""
    turned = vectors.get(graph_name(chosen.feature, chosen.metric))
    return chosen.feature.as_query(vectors[chosen.feature.name], chosen.metric) if turned is None else turned


def _finder(generation: Generation, chosen: _Chosen) -> str:
    graph = generation.graph_of(chosen.feature, chosen.metric)
    return f"a scan of {chosen.feature.name}" if graph is None else f"the graph of {graph}"


def _distances(generation: Generation, chosen: _Chosen, vectors: Vectors, rows: Rows) -> NDArray[np.float32]:
    """Exact distances of the query to rows."""
    matrix, vector = generation.matrix(chosen.feature.name), _as_query(chosen, vectors)
    every_row = len(rows) == len(matrix)  # then blocks are views, not copies
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(rows), _BLOCK)]
    parts = [chosen.metric(vector, matrix[b] if every_row else matrix[rows[b]]) for b in blocks]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
