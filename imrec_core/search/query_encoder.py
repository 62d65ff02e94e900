"""Encoding of queries: images, texts and vectors as search compares them."""

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

from imrec_core.catalog.ids import image_id
from imrec_core.errors import BadWeights, EmptyQuery, ImageError, QueryError, UnreadableImage
from imrec_core.extraction.embed import EncodedQuery, ImageEncoder, Vectors, orientations_key, oriented_features
from imrec_core.features import Feature, decoded_side
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.images.decode import WELL_KNOWN, decode, decode_file, from_pillow
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import AnyPath, is_remote, is_url, place
from imrec_core.models.text_encoder import encode_text
from imrec_core.runtime.cpu import cpu_count
from imrec_core.runtime.timing import timed
from imrec_core.search.hits import Shown
from imrec_core.search.query import ImageId, Query, Text, UploadedImage

_DECODED = 8  # pictures that are held at a time
_NO_WEIGHT = 1e-6  # of the heaviest; what weighs less does not count


class QueryEncoder:
    """Encodes queries as the images of one lake were encoded.

    Keeps what an `ImageEncoder` keeps. Make a new one when the settings of the lake have changed.
    """

    def __init__(self, lake: Lake) -> None:
        self._images = ImageEncoder(lake)
        self.settings = self._images.settings
        self._roots = {name: f"{root}/" for name, root in self.settings.sources.items()}
        self._min_side = decoded_side(lake)
        self._loading = threading.Lock()

    def encode_all(
        self,
        generation: Generation,
        likes: Sequence[tuple[Query, float]],
        unlikes: Sequence[tuple[Query, float]],
        chosen: Sequence[WeightedFeature],
    ) -> tuple[list[EncodedQuery], list[EncodedQuery]]:
        """Encode likes and unlikes, with weights relative to the heaviest like.

        Those of weight 0 are checked and left out.

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

        def described(queries: Sequence[tuple[Query, float]]) -> list[EncodedQuery]:
            every = [  # what does not count must be sound too
                EncodedQuery(min(weight / heaviest, 1 / _NO_WEIGHT), self._vectors(generation, query, chosen, wanted))
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
        if isinstance(query, UploadedImage):
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

    def encode_each(
        self, generation: Generation, queries: Sequence[Query], chosen: Sequence[WeightedFeature]
    ) -> list[EncodedQuery | ImageError]:
        """Encode each query by itself, images several at a time.

        Returns:
            For each query, the encoded query, or why its image cannot be decoded.
        """
        wanted = _wanted(generation, chosen)
        found: dict[int, EncodedQuery | ImageError] = {}
        pictures = [i for i, query in enumerate(queries) if _is_picture(query)]
        with ThreadPoolExecutor(cpu_count()) as pool:
            for some in (pictures[i : i + _DECODED] for i in range(0, len(pictures), _DECODED)):
                decoded = dict(zip(some, pool.map(lambda i: self._pixels_or_error(queries[i]), some), strict=True))
                found |= {i: error for i, error in decoded.items() if isinstance(error, ImageError)}
                readable = {i: pixels for i, pixels in decoded.items() if isinstance(pixels, np.ndarray)}
                vectors = self._images.encode(
                    list(readable.values()), wanted, generation.fit_versions, oriented=_oriented(chosen)
                )
                found |= {i: EncodedQuery(1.0, of_one) for i, of_one in zip(readable, vectors, strict=True)}
        for i, query in enumerate(queries):
            if i not in found:
                found[i] = EncodedQuery(1.0, self._vectors(generation, query, chosen, wanted))
        return [found[i] for i in range(len(queries))]

    # -- vectors ----------------------------------------------------------------------------------------

    def _vectors(
        self, generation: Generation, query: Query, chosen: Sequence[WeightedFeature], wanted: Sequence[Feature]
    ) -> Vectors:
        if isinstance(query, ImageId):
            row = generation.row_of(query.value)
            return {feature.name: np.array(generation.matrix(feature.name)[row]) for feature in wanted}
        if isinstance(query, UploadedImage):
            return self._of_kept(generation, query, chosen, wanted)
        if _is_picture(query):
            pixels = self._decoded(query)
            return self._images.encode([pixels], wanted, generation.fit_versions, oriented=_oriented(chosen))[0]
        if isinstance(query, Text):
            with timed("encode"):
                given = {f.name: _in_words(f, query) for feature in wanted for f in _origins(feature)}
        else:
            given = _given(query, chosen)  # type: ignore[arg-type]  # a vector, as nothing else is left
        return self._images.project(given, wanted, generation.fit_versions)

    def _of_kept(
        self, generation: Generation, kept: UploadedImage, chosen: Sequence[WeightedFeature], wanted: Sequence[Feature]
    ) -> Vectors:
        """The vectors of a picture that may be asked again; only those that it lacks are computed."""
        with kept.describing:
            if kept.described_for != generation.id:
                kept.vectors, kept.described_for = {}, generation.id
            oriented = _oriented(chosen)
            lacking = [feature for feature in wanted if feature.name not in kept.vectors]
            if lacking or any(orientations_key(feature) not in kept.vectors for feature in oriented):
                pixels = self._decoded(kept)
                kept.vectors |= self._images.encode([pixels], lacking, generation.fit_versions, oriented=oriented)[0]
            return dict(kept.vectors)

    def _pixels_or_error(self, query: Query) -> NDArray[np.uint8] | ImageError:
        try:
            return self._pixels(query)
        except ImageError as error:
            return error

    def _decoded(self, query: Query) -> NDArray[np.uint8]:
        with timed("decode"):
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
        if isinstance(query, UploadedImage):
            return self._pixels_of_kept(query)
        if isinstance(query, bytes):
            return decode(query, max_pixels=self.settings.max_pixels, min_side=min_side).pixels
        try:
            return decode_file(query, max_pixels=self.settings.max_pixels, min_side=min_side).pixels
        except TypeError as error:
            raise QueryError(f"a query of type {type(query).__name__} is not understood") from error

    def _pixels_of_kept(self, kept: UploadedImage) -> NDArray[np.uint8]:
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
        if isinstance(query, Text | UploadedImage):
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
    return "the same picture" if isinstance(query, bytes | Image.Image | UploadedImage) else str(query)


def _oriented(chosen: Sequence[WeightedFeature]) -> list[Feature]:
    return oriented_features(chosen)


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
