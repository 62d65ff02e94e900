"""Which features a search uses and how much each weighs, with stored mixes resolved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from imrec_core.errors import BadWeights, EmptyQuery, QueryError, UnknownName
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature, split_name
from imrec_core.index.generation import Generation
from imrec_core.lake.settings import Settings
from imrec_core.models.registry import MODELS
from imrec_core.search import fusion
from imrec_core.search.query import By, Query, Text


def resolve_features(
    generation: Generation, settings: Settings, by: By | None, asked: Sequence[Query]
) -> list[WeightedFeature]:
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


DEFAULT = "default"


MIXES: Mapping[str, Mapping[str, float]] = {
    # By `imrec tune --copies`, rounded. Of 18 edited copies of each of 200 photos that it was not tuned on it finds the
    # original first in 0.996, the best feature alone (`sift_vlad`) in 0.948; of the parts that a lake has by default,
    # without `sift_vlad` and `pdq`, in 0.986 (gallery of 1,066 photos, 2026-11). By class the network alone is better.
    DEFAULT: {
        "efficientnet_lite0": 0.4,
        "hsv_histogram": 0.2,
        "sift_vlad": 0.2,
        "phash:hamming_dihedral": 0.1,
        "pdq:hamming_dihedral": 0.1,
    }
}
"""By name, as in `lake.toml`, where a mix of the same name goes first."""


def mix_weights(settings: Settings, name: str, features: Collection[str]) -> dict[str, float]:
    """The weights of a mix, by `feature` or `feature:metric`.

    Args:
        features: Those that can be searched by. Of a mix that comes with imrec the others are left out.

    Raises:
        UnknownName: There is none of that name.
        QueryError: It comes with imrec, and none of its features is there.
    """
    if name in settings.mixes:
        return {part: float(weight) for part, weight in settings.mixes[name].items()}
    if name not in MIXES:
        raise UnknownName("mix", name, {**MIXES, **settings.mixes})
    there = {part: weight for part, weight in MIXES[name].items() if split_name(part)[0] in features}
    if not there:
        raise QueryError(f"mix:{name} is of {', '.join(MIXES[name])}; this lake has none of them")
    return there


def parse_weights(texts: Sequence[str]) -> dict[str, float] | None:
    """Weights by name from `FEATURE[:METRIC][=WEIGHT]`, 1 where none is said; None where nothing is.

    Raises:
        BadWeights: A weight is no number.
    """
    weights = {}
    for text in texts:
        name, equals, weight = text.partition("=")
        try:
            weights[name] = float(weight) if equals else 1.0
        except ValueError:
            raise BadWeights(f"the weight in {text!r} is no number") from None
    return weights or None
