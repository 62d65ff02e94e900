"""Types of queries, with their weights. `query_encoder.py` encodes them, `feature_weights.py` resolves features."""

from __future__ import annotations

import functools
import io
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import BadWeights, QueryError
from imrec_core.extraction.embed import Vectors
from imrec_core.features.image_hash import HashObject, MultiHashObject
from imrec_core.images.hashing import content_hash
from imrec_core.lake.storage.downloads import download, is_web_url
from imrec_core.runtime.numbers import finite_number, shorten
from imrec_core.search.crop import Box, check_box


@dataclass(frozen=True)
class Text:
    """A text query, for example `Text("a red car")`.

    It needs a feature whose model has a text tower; see `imrec models`.

    Attributes:
        value: The text.
    """

    value: str


@dataclass(frozen=True)
class ImageId:
    """An image of the lake as a query, for example `ImageId("00c5a1f09b3d7e42")`.

    Its stored vectors are used: no file is decoded, and no model runs. By default the image is not a hit of itself;
    other files with the same bytes are.

    Attributes:
        value: `image_id` of the image, 16 hexadecimal digits.
    """

    value: str


class UploadedImage:
    """The bytes of an image as a query that may be repeated: it is decoded and encoded once per generation.

    Args:
        data: The whole file, in a format of `decode.FORMATS`.
        name: File name for messages.
        max_pixels: Maximum number of pixels; a larger image is refused.

    Attributes:
        content_hash: BLAKE2b-128 of the bytes, in hexadecimal.
        size: Width and height in pixels, upright, at full size; None until the image is decoded.
        vectors: Vectors by feature name in the generation `encoded_for`.
        lock: Held while `vectors` are computed.
    """

    def __init__(self, data: bytes, name: str = "", *, max_pixels: int) -> None:
        self.data, self.name, self.max_pixels = data, name, max_pixels
        self.content_hash = content_hash(data)
        self.size: tuple[int, int] | None = None
        self.encoded_for = ""
        self.vectors: Vectors = {}
        self.lock = threading.Lock()


class StreamedImage:
    """The bytes of an image that no file holds as a query, such as a download: read once, when first needed.

    Args:
        name: Name for messages.
        read: Returns the whole file.
    """

    def __init__(self, name: str, read: Callable[[], bytes]) -> None:
        self.name, self._read = name, read
        self._reading = threading.Lock()
        self._data: bytes | None = None

    @property
    def data(self) -> bytes:
        """The bytes of the file.

        Raises:
            ImageError: They cannot be read.
        """
        with self._reading:
            if self._data is None:
                self._data = self._read()
            return self._data


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of an image as a query, for example `Crop("photo.jpg", (120, 80, 400, 300))`.

    Attributes:
        image: The image, as any query that has one.
        box: x, y, width and height, from the upper left corner of the upright image at full size. Four integers are
            pixels; if any number is a float, all are fractions of the width and height of the image.

    Raises:
        QueryError: The query has no image, or the box is invalid.
    """

    image: Query
    box: Box

    def __post_init__(self) -> None:
        image = plain_query(self.image)
        if isinstance(image, Text | Crop | HashObject | MultiHashObject) or (
            isinstance(image, np.ndarray) and image.ndim == 1
        ):
            raise QueryError(f"a crop is a part of an image; found {type(image).__name__}")
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "box", check_box(self.box))


_Image = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | UploadedImage | StreamedImage
Query = _Image | ImageId | Crop | Text | HashObject | MultiHashObject
Queries = Query | tuple[Query, float] | Sequence[Query | tuple[Query, float]]
By = str | Sequence[str] | Mapping[str, float]


def weighted_queries(queries: Queries | None) -> list[tuple[Query, float]]:
    """List queries with their weights, 1 by default.

    Raises:
        BadWeights: A weight is negative or not finite.
    """
    if queries is None:
        return []
    several = isinstance(queries, list | tuple) and not _is_pair(queries)
    items: Sequence[Any] = queries if several else [queries]  # type: ignore[assignment]
    pairs = [(plain_query(q[0]), finite_number(q[1])) if _is_pair(q) else (plain_query(q), 1.0) for q in items]
    weighted = [(query, weight) for query, weight in pairs if weight is not None and weight >= 0]
    if len(weighted) < len(pairs) or not math.isfinite(sum(weight for _, weight in weighted)):
        weights = [q[1] if _is_pair(q) else 1.0 for q in items]
        raise BadWeights(f"weights of the queries are {shorten(weights)}; they must be 0 or more, and finite")
    return weighted


def plain_query(query: Any) -> Query:
    """Convert files in memory and tensors to the bytes and arrays that they hold, and web URLs to downloads.

    Other queries stay as they are.

    Raises:
        QueryError: A tensor has a type that NumPy lacks.
    """
    if isinstance(query, str) and is_web_url(query):
        return StreamedImage(query, functools.partial(download, query))
    if isinstance(query, io.BytesIO):
        return query.getvalue()
    if isinstance(query, bytearray | memoryview):
        return bytes(query)
    if hasattr(query, "detach") and hasattr(query, "cpu"):  # of torch, which need not be imported for that
        return _array_of_tensor(query)
    return query  # type: ignore[no-any-return]


def _array_of_tensor(tensor: Any) -> NDArray[Any]:
    """Return a tensor as an array; images `(channels, height, width)` become `(height, width, channels)`."""
    try:
        array: NDArray[Any] = tensor.detach().cpu().numpy()
    except TypeError as error:
        raise QueryError(f"the tensor is {tensor.dtype}; expected uint8 pixels, or a vector of numbers") from error
    is_channels_first = array.ndim == 3 and array.shape[0] in (3, 4) and array.shape[2] not in (3, 4)
    return np.ascontiguousarray(array.transpose(1, 2, 0)) if is_channels_first else array


def _is_pair(query: object) -> bool:
    return isinstance(query, tuple) and len(query) == 2 and isinstance(query[1], int | float | np.number)
