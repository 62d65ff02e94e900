"""Encoding of queries: the vectors of images, texts and stored rows by the features of a search."""

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
from imrec_core.features.image_hash import HashObject, MultiHashObject
from imrec_core.images.decode import decode, decode_file
from imrec_core.images.rgb import from_pillow, over_white
from imrec_core.index.generation import Generation
from imrec_core.index.neighbourhoods import average
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import AnyPath, is_remote, is_url, place
from imrec_core.models.text_encoder import encode_text
from imrec_core.runtime.cpu import cpu_count
from imrec_core.runtime.timing import timed
from imrec_core.search.given_vectors import check_hash, check_vector
from imrec_core.search.hits import DisplayImage
from imrec_core.search.query import ImageId, Query, Text, UploadedImage

_DECODED = 8  # decoded images in memory
_MIN_WEIGHT = 1e-6  # relative to the heaviest like; queries with less are ignored


class QueryEncoder:
    """Encodes queries as the images of one lake were encoded.

    It caches the models and settings of its `ImageEncoder`. After a change of the settings, create a new one.
    """

    def __init__(self, lake: Lake) -> None:
        self._images = ImageEncoder(lake)
        self.settings = self._images.settings
        self._roots = {name: f"{root}/" for name, root in self.settings.roots.items()}
        self._min_side = decoded_side(lake)
        self._loading = threading.Lock()

    def encode_all(
        self,
        generation: Generation,
        likes: Sequence[tuple[Query, float]],
        unlikes: Sequence[tuple[Query, float]],
        weighted: Sequence[WeightedFeature],
    ) -> tuple[list[EncodedQuery], list[EncodedQuery]]:
        """Encode likes and unlikes, with weights relative to the heaviest like.

        Queries of weight 0 are checked and left out.

        Raises:
            EmptyQuery: There is no like.
            BadWeights: The weights of all likes are 0.
            QueryError: A query is invalid, given twice, or both a like and an unlike.
            ImageError: An image cannot be decoded.
        """
        if not likes:
            raise EmptyQuery("give an image to search for: a path, bytes, a Pillow image, an array or an ImageId")
        heaviest = max(weight for _, weight in likes)
        if not heaviest:
            raise BadWeights("all likes weigh 0; at least one must weigh more")
        if len(likes) + len(unlikes) > 1:
            self._check_repeats(generation, [query for query, _ in likes], [query for query, _ in unlikes])
        features = _needed_features(generation, weighted)

        def encode(queries: Sequence[tuple[Query, float]]) -> list[EncodedQuery]:
            encoded = [  # a query of weight 0 must be valid too
                EncodedQuery(
                    min(weight / heaviest, 1 / _MIN_WEIGHT), self._vectors(generation, query, weighted, features)
                )
                for query, weight in queries
            ]
            return [query for query in encoded if query.weight >= _MIN_WEIGHT]

        return encode(likes), encode(unlikes)

    def _check_repeats(self, generation: Generation, likes: Sequence[Query], unlikes: Sequence[Query]) -> None:
        seen: dict[object, bool] = {}
        for query, is_like in [(q, True) for q in likes] + [(q, False) for q in unlikes]:
            identity = self._identity(generation, query)
            if identity not in seen:
                seen[identity] = is_like
            elif seen[identity] != is_like:
                raise QueryError(f"{_query_name(query)} is both a like and an unlike; remove one of them")
            else:
                raise QueryError(f"{_query_name(query)} is given twice; give it once, with a larger weight if needed")

    def _identity(self, generation: Generation, query: Query) -> object:
        """Return a key that is equal for queries of the same image: by row, by file, or by the content in memory."""
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
        if isinstance(query, HashObject | MultiHashObject):
            return type(query), str(query)
        try:
            file, full = _full_paths(query)
        except (TypeError, ValueError):
            return id(query)  # of an unknown type: refused when it is decoded
        for name, root in self.settings.sources.items():
            folder = _full_paths(root)[1].rstrip("/") + "/"
            if full.startswith(folder):
                try:
                    return "row", generation.row_of(image_id(name, full.removeprefix(folder)))
                except QueryError:  # the file is not in this generation
                    continue
        return file

    def encode_each(
        self, generation: Generation, queries: Sequence[Query], weighted: Sequence[WeightedFeature]
    ) -> list[EncodedQuery | ImageError]:
        """Encode each query by itself, several images at a time.

        Returns:
            For each query, the encoded query, or the error if its image cannot be decoded.

        Raises:
            QueryError: A query is invalid.
        """
        features = _needed_features(generation, weighted)
        encoded: dict[int, EncodedQuery | ImageError] = {}
        images = [i for i, query in enumerate(queries) if _is_image(query)]
        with ThreadPoolExecutor(cpu_count()) as pool:
            for some in (images[i : i + _DECODED] for i in range(0, len(images), _DECODED)):
                decoded = dict(zip(some, pool.map(lambda i: self._pixels_or_error(queries[i]), some), strict=True))
                encoded |= {i: error for i, error in decoded.items() if isinstance(error, ImageError)}
                readable = {i: pixels for i, pixels in decoded.items() if isinstance(pixels, np.ndarray)}
                vectors = self._encode(generation, list(readable.values()), features, weighted)
                encoded |= {i: EncodedQuery(1.0, of_one) for i, of_one in zip(readable, vectors, strict=True)}
        for i, query in enumerate(queries):
            if i not in encoded:
                encoded[i] = EncodedQuery(1.0, self._vectors(generation, query, weighted, features))
        return [encoded[i] for i in range(len(queries))]

    # -- vectors ----------------------------------------------------------------------------------------

    def _vectors(
        self, generation: Generation, query: Query, weighted: Sequence[WeightedFeature], features: Sequence[Feature]
    ) -> Vectors:
        if isinstance(query, ImageId):
            row = generation.row_of(query.value)
            return {feature.name: np.array(generation.matrix(feature.name)[row]) for feature in features}
        if isinstance(query, UploadedImage):
            return self._uploaded_vectors(generation, query, weighted, features)
        if _is_image(query):
            return self._encode(generation, [self._decode(query)], features, weighted)[0]
        if isinstance(query, Text):
            with timed("encode"):
                vectors = {f.name: _text_vector(f, query) for feature in features for f in _extracted_bases(feature)}
        elif isinstance(query, HashObject | MultiHashObject):
            vectors = check_hash(query, weighted)
        else:
            vectors = check_vector(query, weighted)  # type: ignore[arg-type]  # the only remaining type
        vectors = self._images.project(vectors, _computed(features), generation.fit_versions)
        return _with_averages(generation, vectors, features)

    def _encode(
        self,
        generation: Generation,
        images: Sequence[NDArray[np.uint8]],
        features: Sequence[Feature],
        weighted: Sequence[WeightedFeature],
    ) -> list[Vectors]:
        """Encode decoded images as the rows of a generation."""
        oriented = oriented_features(weighted)
        encoded = self._images.encode(images, _computed(features), generation.fit_versions, oriented=oriented)
        return [_with_averages(generation, vectors, features) for vectors in encoded]

    def _uploaded_vectors(
        self,
        generation: Generation,
        upload: UploadedImage,
        weighted: Sequence[WeightedFeature],
        features: Sequence[Feature],
    ) -> Vectors:
        """Return the vectors of an uploaded image; only missing ones are computed."""
        with upload.lock:
            if upload.encoded_for != generation.id:
                upload.vectors, upload.encoded_for = {}, generation.id
            oriented = oriented_features(weighted)
            missing = [feature for feature in features if feature.name not in upload.vectors]
            if missing or any(orientations_key(feature) not in upload.vectors for feature in oriented):
                pixels = self._decode(upload)
                upload.vectors |= self._encode(generation, [pixels], missing, weighted)[0]
            return dict(upload.vectors)

    def _pixels_or_error(self, query: Query) -> NDArray[np.uint8] | ImageError:
        try:
            return self._pixels(query)
        except ImageError as error:
            return error

    def _decode(self, query: Query) -> NDArray[np.uint8]:
        with timed("decode"):
            return self._pixels(query)

    def _pixels(self, query: Any) -> NDArray[np.uint8]:
        if isinstance(query, np.ndarray):
            return over_white(query) if query.shape[2:] == (4,) and query.dtype == np.uint8 else query
        if isinstance(query, Image.Image):
            try:
                with self._loading:  # Pillow reads the file lazily, and two threads may search for the same image
                    return from_pillow(query)
            except OSError as error:
                raise UnreadableImage(f"the Pillow image: {error}") from error
        if isinstance(query, UploadedImage):
            return self._uploaded_pixels(query)
        read = decode if isinstance(query, bytes) else decode_file
        try:
            return read(
                query,
                max_pixels=self.settings.max_pixels,
                min_side=self._min_side,
                allow_truncated=self.settings.allow_truncated,
            ).pixels
        except TypeError as error:
            raise QueryError(
                f"unsupported query type {type(query).__name__}; expected a path, the bytes of a file (bytes, "
                "bytearray, memoryview, BytesIO), a Pillow image, an array or tensor (uint8 pixels or a vector), "
                "an ImageHash, ImageId or Text"
            ) from error

    def _uploaded_pixels(self, upload: UploadedImage) -> NDArray[np.uint8]:
        try:
            image = decode(upload.data, max_pixels=upload.max_pixels, min_side=self._min_side)
        except ImageError as error:
            raise type(error)(f"{upload.name}: {error}") from error
        upload.size = image.width, image.height
        return image.pixels

    # -- display ----------------------------------------------------------------------------------------

    def path(self, source: str, path: str) -> str:
        """Return the full path of an image, from its source and its path in it."""
        return self._roots.get(source, "") + path  # a `Path` per hit takes as long as ranking the hits

    def display_image(self, generation: Generation, query: Query) -> DisplayImage | None:
        """Return the query as a contact sheet shows it; None for texts, vectors and uploads."""
        if isinstance(query, ImageId):
            row = generation.row_of(query.value)
            source, path = (generation.columns(name)[name][row].as_py() for name in ("source", "path"))
            return place(self.path(source, path))
        if isinstance(query, np.ndarray):
            return Image.fromarray(query[..., :3]) if query.ndim == 3 else None
        if isinstance(query, Text | UploadedImage | HashObject | MultiHashObject):
            return None
        if isinstance(query, bytes):
            return Image.fromarray(np.ascontiguousarray(self._pixels(query)[..., :3]))
        return query if isinstance(query, Image.Image) else place(query)


def _full_paths(file: str | os.PathLike[str] | AnyPath) -> tuple[str, str]:
    """Return the real path of a file and its absolute path; the first is equal for two spellings of one file."""
    if is_remote(file) or (isinstance(file, str) and is_url(file)):
        return str(file), str(file)
    return os.path.realpath(file), Path(os.path.abspath(file)).as_posix()  # type: ignore[arg-type]


def _is_image(query: Query) -> bool:
    """Return whether a query is encoded from pixels; queries of unknown types are refused when they are decoded."""
    is_vector = isinstance(query, np.ndarray) and query.ndim == 1
    return not (is_vector or isinstance(query, ImageId | Text | HashObject | MultiHashObject))


def _query_name(query: Query) -> str:
    if isinstance(query, ImageId):
        return f"image {query.value!r}"
    if isinstance(query, Text):
        return f"text {query.value!r}"
    if isinstance(query, np.ndarray):
        return "the same vector" if query.ndim == 1 else "the same image"
    if isinstance(query, HashObject | MultiHashObject):
        return "the same hash"
    return "the same image" if isinstance(query, bytes | Image.Image | UploadedImage) else str(query)


def _needed_features(generation: Generation, weighted: Sequence[WeightedFeature]) -> list[Feature]:
    """Return the features that a query needs vectors of: those of the search and of their graphs."""
    features = {w.feature.name: w.feature for w in weighted}
    for graph in (generation.graph_of(w.feature, w.metric) for w in weighted):
        if graph is not None:
            feature = generation.feature(generation.graphs[graph].feature)
            features[feature.name] = feature
    return list(features.values())


def _computed(features: Sequence[Feature]) -> list[Feature]:
    """Return the features to compute from an image; averages are made from these."""
    return [feature.averaged or feature for feature in features]


def _with_averages(generation: Generation, vectors: Vectors, features: Sequence[Feature]) -> Vectors:
    """Add the averages of a query with its nearest, for features that hold such averages."""
    averages: Vectors = {}
    for feature in features:
        base = feature.averaged
        if base is not None and feature.name not in vectors and base.name in vectors:
            made = average(generation, base, vectors[base.name], feature.params["neighbourhood"])
            averages[feature.name] = made.astype(feature.dtype)
    return vectors | averages


def _extracted_bases(feature: Feature) -> list[Feature]:
    """Return the features that a feature is computed from; the feature itself if it is extracted from images."""
    return [base for direct in feature.bases for base in _extracted_bases(direct)] or [feature]


def _text_vector(feature: Feature, text: Text) -> NDArray[Any]:
    """Encode a text in the space of a feature.

    Raises:
        QueryError: The feature does not support text.
    """
    if feature.model is None or not feature.model.text:
        raise QueryError(f"{feature.name} does not support text; search by a feature with a text tower")
    return np.asarray(feature.checked(encode_text(feature.model, [text.value]), 1)[0])
