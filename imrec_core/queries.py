"""What is asked for: images, words or vectors with their weights, and the features that count."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core import fusion
from imrec_core.errors import BadWeights, EmptyQuery, QueryError
from imrec_core.extraction.embed import Vectors
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.index.generation import Generation
from imrec_core.lake.settings import Settings
from imrec_core.mixes import mix_weights
from imrec_core.models.registry import MODELS
from imrec_core.models.text_encoder import Text


@dataclass(frozen=True)
class ImageId:
    """An image of the gallery as a query: nothing is decoded, no network runs."""

    value: str


class Kept:
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
        self.content_hash = hashlib.blake2b(data, digest_size=16).hexdigest()
        self.size: tuple[int, int] | None = None
        self.described_for = ""
        self.vectors: Vectors = {}
        self.describing = threading.Lock()


Query = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any] | ImageId | Text | Kept
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


def choose(generation: Generation, settings: Settings, by: By | None, asked: Sequence[Query]) -> list[WeightedFeature]:
    """The features, metrics and weights that `by` names; without it the first that suits the queries.

    Raises:
        UnknownName: No such feature, metric or mix.
        BadWeights: A weight is no number, negative or not finite, or all are zero.
    """
    if by is None:
        in_words = any(isinstance(query, Text) for query in asked)
        by = _understanding(generation) if in_words else generation.default_feature
    try:
        weights = {by: 1.0} if isinstance(by, str) else by if isinstance(by, Mapping) else dict.fromkeys(by, 1.0)
    except TypeError as error:
        raise QueryError(f"`by` is {by!r}; expected names of features") from error
    if not all(isinstance(name, str) for name in weights):
        raise QueryError(f"`by` holds {list(weights)}; expected names of features")
    if not weights:
        raise EmptyQuery("`by` is empty; name at least one feature")
    try:
        numbers = [float(weight) for weight in weights.values()]
    except (TypeError, ValueError) as error:
        raise BadWeights(f"weights are {list(weights.values())}; expected numbers") from error
    fusion.checked_weights(numbers)
    parts = _without_mixes(generation, settings, zip(weights, numbers, strict=True))
    return [FeatureMetric.parse(name, generation.feature).weighted(name, weight) for name, weight in parts.items()]


def _without_mixes(
    generation: Generation, settings: Settings, weights: Iterable[tuple[str, float]]
) -> dict[str, float]:
    """Weights by feature, where `mix:NAME` is what it consists of; its parts share its weight."""
    parts: dict[str, float] = {}
    for name, weight in weights:
        kind, _, mix = name.partition(":")
        inside = {name: 1.0}
        if kind == "mix" and kind not in generation.features:  # a lake may have a feature of that name
            inside = mix_weights(settings, mix, generation.features)
            fusion.checked_weights(list(inside.values()))
        total = sum(inside.values())
        for part, share in inside.items():
            parts[part] = parts.get(part, 0.0) + weight * share / total
    return parts


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
    raise QueryError(f"no feature of this lake understands text; add one: imrec build --features +NAME, of {able}")


def own_rows(generation: Generation, asked: Sequence[Query]) -> tuple[int, ...]:
    """The rows of those queries that are images of the gallery."""
    return tuple(generation.row_of(query.value) for query in asked if isinstance(query, ImageId))
