"""Encoding of queries: the vectors of images, texts and stored rows by the features of a search."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import BadWeights, EmptyQuery, ImageError, QueryError
from imrec_core.extraction.embed import EncodedQuery, ImageEncoder, Vectors, orientations_key, oriented_features
from imrec_core.features import Feature, decoded_side
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.features.image_hash import HashObject, MultiHashObject
from imrec_core.index.generation import Generation
from imrec_core.index.neighbourhoods import average
from imrec_core.lake.lake import Lake
from imrec_core.runtime.cpu import cpu_count
from imrec_core.runtime.timing import timed
from imrec_core.search.given_vectors import check_hash, check_vector
from imrec_core.search.query import Crop, ImageId, Query, StreamedImage, Text, UploadedImage
from imrec_core.search.query_images import QueryImage, QueryImages

_DECODED = 8  # decoded images in memory
_MIN_WEIGHT = 1e-6  # relative to the heaviest like; queries with less are ignored


class QueryEncoder:
    """Encodes queries as the images of one lake were encoded.

    It caches the models and settings of its `ImageEncoder`. After a change of the settings, create a new one.

    Attributes:
        images: Reads the images of queries.
    """

    def __init__(self, lake: Lake) -> None:
        self._encoder = ImageEncoder(lake)
        self.settings = self._encoder.settings
        self.images = QueryImages(self.settings, decoded_side(lake))

    def encode_all(
        self,
        generation: Generation,
        likes: Sequence[tuple[Query, float]],
        unlikes: Sequence[tuple[Query, float]],
        weighted: Sequence[WeightedFeature],
    ) -> tuple[list[EncodedQuery], list[EncodedQuery]]:
        """Encode likes and unlikes, with weights relative to the heaviest like.

        Queries of weight 0 are encoded too: they must be valid, and are no hits. `heavy_enough` leaves them out.

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
            return [
                self._encode(generation, query, min(weight / heaviest, 1 / _MIN_WEIGHT), weighted, features)
                for query, weight in queries
            ]

        return encode(likes), encode(unlikes)

    def _check_repeats(self, generation: Generation, likes: Sequence[Query], unlikes: Sequence[Query]) -> None:
        seen: dict[object, bool] = {}
        for query, is_like in [(q, True) for q in likes] + [(q, False) for q in unlikes]:
            identity = self.images.identity(generation, query)
            if identity not in seen:
                seen[identity] = is_like
            elif seen[identity] != is_like:
                raise QueryError(f"{_query_name(query)} is both a like and an unlike; remove one of them")
            else:
                raise QueryError(f"{_query_name(query)} is given twice; give it once, with a larger weight if needed")

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
                images_read = pool.map(lambda i: self._read_or_error(generation, queries[i]), some)
                decoded = dict(zip(some, images_read, strict=True))
                encoded |= {i: error for i, error in decoded.items() if isinstance(error, ImageError)}
                readable = {i: image for i, image in decoded.items() if isinstance(image, QueryImage)}
                pixels = [image.pixels for image in readable.values()]
                vectors = self._encode_pixels(generation, pixels, features, weighted)
                for (i, image), of_one in zip(readable.items(), vectors, strict=True):
                    own_rows = self.images.own_rows(generation, queries[i], image.content_hash)
                    encoded[i] = EncodedQuery(1.0, of_one, own_rows)
        for i, query in enumerate(queries):
            if i not in encoded:
                encoded[i] = self._encode(generation, query, 1.0, weighted, features)
        return [encoded[i] for i in range(len(queries))]

    # -- vectors ----------------------------------------------------------------------------------------

    def _encode(
        self,
        generation: Generation,
        query: Query,
        weight: float,
        weighted: Sequence[WeightedFeature],
        features: Sequence[Feature],
    ) -> EncodedQuery:
        content = None
        if isinstance(query, ImageId):
            row = generation.row_of(query.value)
            vectors = {feature.name: np.array(generation.matrix(feature.name)[row]) for feature in features}
        elif isinstance(query, UploadedImage):
            vectors, content = self._uploaded_vectors(generation, query, weighted, features), query.content_hash
        elif _is_image(query):
            image = self.images.read(generation, query)
            vectors = self._encode_pixels(generation, [image.pixels], features, weighted)[0]
            content = image.content_hash
        else:
            vectors = self._project(generation, query, weighted, features)
        return EncodedQuery(weight, vectors, self.images.own_rows(generation, query, content))

    def _project(
        self, generation: Generation, query: Query, weighted: Sequence[WeightedFeature], features: Sequence[Feature]
    ) -> Vectors:
        """Return the vectors of a text or of a vector, which has those of its projections."""
        if isinstance(query, Text):
            with timed("encode"):
                vectors = {f.name: _text_vector(f, query) for feature in features for f in _extracted_bases(feature)}
        elif isinstance(query, HashObject | MultiHashObject):
            vectors = check_hash(query, weighted)
        else:
            vectors = check_vector(query, weighted)  # type: ignore[arg-type]  # the only remaining type
        vectors = self._encoder.project(vectors, _computed(features), generation.fit_versions)
        return _with_averages(generation, vectors, features)

    def _encode_pixels(
        self,
        generation: Generation,
        images: Sequence[NDArray[np.uint8]],
        features: Sequence[Feature],
        weighted: Sequence[WeightedFeature],
    ) -> list[Vectors]:
        """Encode decoded images as the rows of a generation."""
        oriented = oriented_features(weighted)
        encoded = self._encoder.encode(images, _computed(features), generation.fit_versions, oriented=oriented)
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
                pixels = self.images.read(generation, upload).pixels
                upload.vectors |= self._encode_pixels(generation, [pixels], missing, weighted)[0]
            return dict(upload.vectors)

    def _read_or_error(self, generation: Generation, query: Query) -> QueryImage | ImageError:
        try:
            return self.images.read(generation, query)
        except ImageError as error:
            return error


def heavy_enough(queries: Sequence[EncodedQuery]) -> list[EncodedQuery]:
    """Select the queries whose weight is not negligible beside that of the heaviest like."""
    return [query for query in queries if query.weight >= _MIN_WEIGHT]


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
    if isinstance(query, StreamedImage):
        return query.name
    if isinstance(query, Crop):
        return f"the crop {','.join(map(str, query.box))} of {_query_name(query.image)}"
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
    from imrec_core.models.text_encoder import encode_text

    return np.asarray(feature.checked(encode_text(feature.model, [text.value]), 1)[0])
