"""Images, words and vectors that are asked for, as vectors like those of the gallery."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.catalog import image_id
from imrec_core.decode import WELL_KNOWN, ImageBatch, decode, decode_file, from_pillow
from imrec_core.encoders import encoder_of
from imrec_core.errors import BadWeights, EmptyQuery, ImageError, QueryError, UnreadableImage
from imrec_core.features import Feature, decoded_side
from imrec_core.features.declare import Arrays
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.generation import Generation
from imrec_core.hits import Shown
from imrec_core.lake import Lake
from imrec_core.machine import cpu_count
from imrec_core.queries import Described, ImageId, Kept, Query, Vectors
from imrec_core.stages import stage
from imrec_core.storage import AnyPath, is_remote, is_url, place
from imrec_core.text import Text, encode_text

_DECODED = 8  # pictures that are held at a time
_NO_WEIGHT = 1e-6  # of the heaviest; what weighs less does not count


class Describer:
    """Turns queries into vectors, as the images of one lake were.

    Keeps what is fitted; to be made anew when the settings of the lake are.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self.settings = lake.settings()
        self._roots = {name: f"{root}/" for name, root in self.settings.sources.items()}
        self._min_side = decoded_side(lake)
        self._fits: dict[tuple[str, str], Arrays] = {}
        self._loading = threading.Lock()

    def describe_all(
        self,
        generation: Generation,
        likes: Sequence[tuple[Query, float]],
        unlikes: Sequence[tuple[Query, float]],
        chosen: Sequence[WeightedFeature],
    ) -> tuple[list[Described], list[Described]]:
        """Likes and unlikes as vectors, those of weight 0 left out; weights are relative to the heaviest like.

        Raises:
            EmptyQuery: There is no like.
            BadWeights: All likes weigh 0.
            QueryError: An image is given twice, or both as a like and as an unlike.
            ImageError: An image cannot be decoded.
        """
        if not likes:
            raise EmptyQuery("give an image to search for: a path, bytes, a picture, an array or an ImageId")
        heaviest = max(weight for _, weight in likes)
        if not heaviest:
            raise BadWeights("all likes weigh 0; at least one must weigh more")
        if len(likes) + len(unlikes) > 1:
            self._refuse_repeats(generation, [query for query, _ in likes], [query for query, _ in unlikes])
        wanted = _wanted(generation, chosen)

        def described(queries: Sequence[tuple[Query, float]]) -> list[Described]:
            every = [  # what does not count must be sound too
                Described(min(weight / heaviest, 1 / _NO_WEIGHT), self._vectors(generation, query, chosen, wanted))
                for query, weight in queries
            ]
            return [query for query in every if query.weight >= _NO_WEIGHT]

        return described(likes), described(unlikes)

    def _refuse_repeats(self, generation: Generation, likes: Sequence[Query], unlikes: Sequence[Query]) -> None:
        seen: dict[object, bool] = {}
        for query, is_like in [(q, True) for q in likes] + [(q, False) for q in unlikes]:
            identity = self._identity(generation, query)
            if identity not in seen:
                seen[identity] = is_like
            elif seen[identity] != is_like:
                raise QueryError(f"{_named(query)} is both a like and an unlike; it can be one of them")
            else:
                raise QueryError(f"{_named(query)} is given twice; give it once, with a weight where it counts more")

    def _identity(self, generation: Generation, query: Query) -> object:
        """Equal for queries that are the same image: by id, by file, by content of what lies in memory."""
        if isinstance(query, ImageId):
            return "row", generation.row_of(query.value)
        if isinstance(query, np.ndarray):
            content = np.ascontiguousarray(query).tobytes() if query.dtype != object else repr(query).encode()
            return query.dtype.str, query.shape, hashlib.blake2b(content).digest()
        if isinstance(query, Image.Image):
            return id(query)
        if isinstance(query, bytes | Text):
            return query
        if isinstance(query, Kept):
            return "content", query.content_hash
        try:
            file, full = _spelled_out(query)
        except (TypeError, ValueError):
            return id(query)  # of no known kind: refused where it is read
        for name, root in self.settings.sources.items():
            above = _spelled_out(root)[1].rstrip("/") + "/"
            if full.startswith(above):
                try:
                    return "row", generation.row_of(image_id(name, full.removeprefix(above)))
                except QueryError:  # a file that is not in this generation
                    continue
        return file

    def describe_each(
        self, generation: Generation, queries: Sequence[Query], chosen: Sequence[WeightedFeature]
    ) -> list[Described | ImageError]:
        """Each query by itself, or why it cannot be decoded; pictures are described several at a time."""
        wanted = _wanted(generation, chosen)
        found: dict[int, Described | ImageError] = {}
        pictures = [i for i, query in enumerate(queries) if _is_picture(query)]
        with ThreadPoolExecutor(cpu_count()) as pool:
            for some in (pictures[i : i + _DECODED] for i in range(0, len(pictures), _DECODED)):
                decoded = dict(zip(some, pool.map(lambda i: self._pixels_or_error(queries[i]), some), strict=True))
                found |= {i: error for i, error in decoded.items() if isinstance(error, ImageError)}
                readable = {i: pixels for i, pixels in decoded.items() if isinstance(pixels, np.ndarray)}
                vectors = self._of_pictures(generation, list(readable.values()), chosen, wanted)
                found |= {i: Described(1.0, of_one) for i, of_one in zip(readable, vectors, strict=True)}
        for i, query in enumerate(queries):
            if i not in found:
                found[i] = Described(1.0, self._vectors(generation, query, chosen, wanted))
        return [found[i] for i in range(len(queries))]

    # -- vectors ----------------------------------------------------------------------------------------

    def describe_pictures(
        self, generation: Generation, pictures: Sequence[NDArray[np.uint8]], chosen: Sequence[FeatureMetric]
    ) -> list[Described]:
        """Decoded pictures, all at a time, for exact distances: without what graphs would be asked with."""
        wanted = list({c.feature.name: c.feature for c in chosen}.values())
        return [Described(1.0, of_one) for of_one in self._of_pictures(generation, pictures, chosen, wanted)]

    def _vectors(
        self, generation: Generation, query: Query, chosen: Sequence[WeightedFeature], wanted: Sequence[Feature]
    ) -> Vectors:
        if isinstance(query, ImageId):
            row = generation.row_of(query.value)
            return {feature.name: np.array(generation.matrix(feature.name)[row]) for feature in wanted}
        if isinstance(query, Kept):
            return self._of_kept(generation, query, chosen, wanted)
        if _is_picture(query):
            return self._of_pictures(generation, [self._decoded(query)], chosen, wanted)[0]
        if isinstance(query, Text):
            with stage("encode"):
                given = {f.name: _in_words(f, query) for feature in wanted for f in _origins(feature)}
        else:
            given = _given(query, chosen)  # type: ignore[arg-type]  # a vector, as nothing else is left
        vectors = {name: vector[None] for name, vector in given.items()}
        for feature in wanted:  # that of the graph too, which may be another
            self._describe(generation, feature, None, vectors)
        return {name: vector[0] for name, vector in vectors.items()}

    def _of_kept(
        self, generation: Generation, kept: Kept, chosen: Sequence[WeightedFeature], wanted: Sequence[Feature]
    ) -> Vectors:
        """The vectors of a picture that may be asked again; only those that it lacks are computed."""
        with kept.describing:
            if kept.described_for != generation.id:
                kept.vectors, kept.described_for = {}, generation.id
            turned = [c for c in chosen if c.feature.orientations and c.metric.takes_several]
            lacking = [feature for feature in wanted if feature.name not in kept.vectors]
            if lacking or any(str(c) not in kept.vectors for c in turned):
                pixels = self._decoded(kept)
                kept.vectors |= self._of_pictures(generation, [pixels], turned, lacking)[0]
            return dict(kept.vectors)

    def _of_pictures(
        self,
        generation: Generation,
        pictures: Sequence[NDArray[np.uint8]],
        chosen: Sequence[FeatureMetric],
        wanted: Sequence[Feature],
    ) -> list[Vectors]:
        if not pictures:
            return []
        with stage("encode"):
            images = ImageBatch(list(pictures))
            vectors: Vectors = {}
            for feature in wanted:
                self._describe(generation, feature, images, vectors)
            for c in chosen:
                if c.feature.orientations and c.metric.takes_several:
                    vectors[str(c)] = c.feature.orientations(images)
        return [{name: matrix[i] for name, matrix in vectors.items()} for i in range(len(pictures))]

    def _describe(self, generation: Generation, feature: Feature, images: ImageBatch | None, vectors: Vectors) -> None:
        """Add the vectors `(n, width)` of a feature to those known, and those that it is computed from."""
        if feature.name in vectors:
            return
        for base in feature.bases:
            self._describe(generation, base, images, vectors)
        fitted = self._fitted(generation, feature) if feature.is_fitted else None
        if feature.projection:
            bases = [vectors[base.name] for base in feature.bases]
            vectors[feature.name] = feature.checked(feature.projection.project(bases, fitted or {}), len(bases[0]))
        elif images is not None:
            vectors[feature.name] = self._described(feature, images, fitted)

    def _fitted(self, generation: Generation, feature: Feature) -> Arrays:
        key = feature.name, generation.features[feature.name]["fitted"]
        if key not in self._fits:
            self._fits[key] = self._lake.load_fitted(*key)
        return self._fits[key]

    def _described(self, feature: Feature, images: ImageBatch, fitted: Arrays | None) -> NDArray[Any]:
        if feature.model is None:
            return feature(images, fitted)
        encoder = encoder_of(feature.model, self.settings)
        return feature.checked(encoder(images.prepared(feature.model.preprocess)), len(images))

    def _pixels_or_error(self, query: Query) -> NDArray[np.uint8] | ImageError:
        try:
            return self._pixels(query)
        except ImageError as error:
            return error

    def _decoded(self, query: Query) -> NDArray[np.uint8]:
        with stage("decode"):
            return self._pixels(query)

    def _pixels(self, query: Any) -> NDArray[np.uint8]:
        if isinstance(query, np.ndarray):
            return query
        if isinstance(query, Image.Image):
            try:
                with self._loading:  # Pillow reads a file when it is needed, and one picture may be asked for twice
                    return from_pillow(query)
            except OSError as error:
                raise UnreadableImage(f"the Pillow image: {error}") from error
        min_side = self._min_side
        if isinstance(query, Kept):
            return self._pixels_of_kept(query)
        if isinstance(query, bytes):
            return decode(query, max_pixels=self.settings.max_pixels, min_side=min_side).pixels
        try:
            return decode_file(query, max_pixels=self.settings.max_pixels, min_side=min_side).pixels
        except TypeError as error:
            raise QueryError(f"a query of type {type(query).__name__} is not understood") from error

    def _pixels_of_kept(self, kept: Kept) -> NDArray[np.uint8]:
        try:
            picture = decode(kept.data, max_pixels=kept.max_pixels, min_side=self._min_side, formats=WELL_KNOWN)
        except ImageError as error:
            raise type(error)(f"{kept.name}: {error}") from error
        kept.size = picture.width, picture.height
        return picture.pixels

    # -- pictures ---------------------------------------------------------------------------------------

    def path(self, source: str, path: str) -> str:
        """The file of an image of the gallery."""
        return self._roots.get(source, "") + path  # a `Path` for each hit would cost as much as ranking them

    def shown(self, generation: Generation, query: Query) -> Shown | None:
        """The query as a contact sheet shows it; None for words, vectors and pictures that are kept by others."""
        if isinstance(query, ImageId):
            row = generation.row_of(query.value)
            source, path = (generation.columns(name)[name][row].as_py() for name in ("source", "path"))
            return place(self.path(source, path))
        if isinstance(query, np.ndarray):
            return Image.fromarray(query[..., :3]) if query.ndim == 3 else None
        if isinstance(query, Text | Kept):
            return None
        if isinstance(query, bytes):
            return Image.fromarray(np.ascontiguousarray(self._pixels(query)[..., :3]))
        return query if isinstance(query, Image.Image) else place(query)


def _spelled_out(file: str | os.PathLike[str] | AnyPath) -> tuple[str, str]:
    """A file without links, and as it is written but in full; equal where two spellings mean the same file."""
    if is_remote(file) or (isinstance(file, str) and is_url(file)):
        return str(file), str(file)
    return os.path.realpath(file), Path(os.path.abspath(file)).as_posix()  # type: ignore[arg-type]


def _is_picture(query: Query) -> bool:
    """Whether a query is described from pixels; what is of no known kind is refused where it is read."""
    return not (isinstance(query, ImageId | Text) or (isinstance(query, np.ndarray) and query.ndim == 1))


def _named(query: Query) -> str:
    """A query in a message."""
    if isinstance(query, ImageId):
        return f"image {query.value!r}"
    if isinstance(query, Text):
        return f"text {query.value!r}"
    if isinstance(query, np.ndarray):
        return "the same vector" if query.ndim == 1 else "the same picture"
    return "the same picture" if isinstance(query, bytes | Image.Image | Kept) else str(query)


def _wanted(generation: Generation, chosen: Sequence[WeightedFeature]) -> list[Feature]:
    """The features that a query must have vectors of."""
    wanted = {c.feature.name: c.feature for c in chosen}
    for graph in (generation.graph_of(c.feature, c.metric) for c in chosen):
        if graph is not None:
            feature = generation.feature(generation.graphs[graph].feature)
            wanted[feature.name] = feature
    return list(wanted.values())


def _given(vector: NDArray[Any], chosen: Sequence[WeightedFeature]) -> Vectors:
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
