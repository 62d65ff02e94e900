"""What is asked for: images, words or vectors with their weights, and the features that count."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import BadWeights
from imrec_core.extraction.embed import Vectors
from imrec_core.images.hashing import content_hash
from imrec_core.index.generation import Generation

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Text:
    """A text query, for example `Text("a red car")`."""

    value: str


@dataclass(frozen=True)
class ImageId:
    """An image of the gallery as a query: nothing is decoded, no network runs."""

    value: str


class UploadedImage:
    """The bytes of a picture as a query that may be asked again: it is described once.

    Attributes:
        data: The whole file, of a `decode.WELL_KNOWN` format.
        name: As the file was called, to be shown.
        content_hash: BLAKE2b-128 of the bytes.
        max_pixels: A picture of more is refused.
        size: Width and height, upright, at full size; None until it was described.
        vectors: By name, as the generation `described_for` has them.
    """

    def __init__(self, data: bytes, name: str = "", *, max_pixels: int) -> None:
        self.data, self.name, self.max_pixels = data, name, max_pixels
        self.content_hash = content_hash(data)
        self.size: tuple[int, int] | None = None
        self.described_for = ""
        self.vectors: Vectors = {}
        self.describing = threading.Lock()


Query = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | ImageId | Text | UploadedImage
Queries = Query | tuple[Query, float] | Sequence[Query | tuple[Query, float]]
By = str | Sequence[str] | Mapping[str, float]


def weighted(queries: Queries | None) -> list[tuple[Query, float]]:
    """One query, or several, each alone or as a pair with its weight.

    Raises:
        BadWeights: A weight is negative or not finite.
    """
    if queries is None:
        return []
    several = isinstance(queries, list | tuple) and not _is_pair(queries)
    items: Sequence[Any] = queries if several else [queries]  # type: ignore[assignment]
    pairs = [(q[0], float(q[1])) if _is_pair(q) else (q, 1.0) for q in items]
    weights = [weight for _, weight in pairs]
    if any(not math.isfinite(w) or w < 0 for w in weights):
        raise BadWeights(f"weights of the queries are {weights}; they must be 0 or more, and finite")
    return pairs


def _is_pair(query: object) -> bool:
    return isinstance(query, tuple) and len(query) == 2 and isinstance(query[1], int | float | np.number)


def own_rows(generation: Generation, asked: Sequence[Query]) -> tuple[int, ...]:
    """The rows of those queries that are images of the gallery."""
    return tuple(generation.row_of(query.value) for query in asked if isinstance(query, ImageId))
