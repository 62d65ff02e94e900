"""The features of a search and their weights, with mixes expanded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from imrec_core.errors import BadWeights, EmptyQuery, QueryError, UnknownName
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature, split_name
from imrec_core.features.searched import averaged_name
from imrec_core.index.generation import Generation
from imrec_core.lake.settings import Settings
from imrec_core.models.registry import MODELS
from imrec_core.runtime.numbers import finite_number, shorten
from imrec_core.search import fusion
from imrec_core.search.query import By, Query, Text


def resolve_features(
    generation: Generation, settings: Settings, by: By | None, queries: Sequence[Query]
) -> list[WeightedFeature]:
    """Resolve names to features, metrics and weights.

    Args:
        by: As for `Recommender.search`; None for the default feature, or with a `Text` the first that supports text.

    Raises:
        UnknownName: There is no such feature, metric or mix.
        BadWeights: A weight is not a number, negative or not finite, or all are zero.
        QueryError: `by` is invalid or empty, or no feature supports text.
    """
    if by is None:
        has_text = any(isinstance(query, Text) for query in queries)
        by = _first_text_feature(generation) if has_text else generation.default_feature
    try:
        weights = {by: 1.0} if isinstance(by, str) else by if isinstance(by, Mapping) else dict.fromkeys(by, 1.0)
    except TypeError as error:
        raise QueryError(f"`by` is {by!r}; expected names of features") from error
    if not all(isinstance(name, str) for name in weights):
        raise QueryError(f"`by` holds {list(weights)}; expected names of features")
    if not weights:
        raise EmptyQuery("`by` is empty; name at least one feature")
    numbers = fusion.check_weights(list(weights.values()))
    parts = _expand_mixes(generation, settings, zip(weights, numbers, strict=True))
    return [FeatureMetric.parse(name, generation.feature).weighted(name, weight) for name, weight in parts.items()]


def _expand_mixes(generation: Generation, settings: Settings, weights: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Replace each `mix:NAME` by its features, which divide its weight."""
    expanded: dict[str, float] = {}
    for name, weight in weights:
        kind, _, mix = name.partition(":")
        inside = {name: 1.0}
        if kind == "mix" and kind not in generation.features:  # a lake may have a feature of that name
            inside = mix_weights(settings, mix, generation.features)
        total = sum(inside.values())
        for part, share in inside.items():
            expanded[part] = expanded.get(part, 0.0) + weight * share / total
    return expanded


def _first_text_feature(generation: Generation) -> str:
    """Return the first feature that supports text.

    Raises:
        QueryError: There is none.
    """
    for name in generation.features:
        model = generation.feature(name).model
        if model is not None and model.text:
            return name
    models = ", ".join(name for name, model in MODELS.items() if model.text)
    raise QueryError(f"no feature of this lake supports text; add one: imrec build --features +NAME, of {models}")


DEFAULT, SAME_KIND = "default", "same_kind"


MIXES: Mapping[str, Mapping[str, float]] = {
    # Weights of `imrec tune --copies`, rounded. Recall@1 of the originals of 18 edited copies of each of 200 other
    # photos: 0.996; of the best single feature (`sift_vlad`) 0.948; without `sift_vlad` and `pdq`, which a lake does
    # not have by default, 0.986 (1,066 photos, 2026-11). By class the network alone is better.
    DEFAULT: {
        "efficientnet_lite0": 0.4,
        "hsv_histogram": 0.2,
        "sift_vlad": 0.2,
        "phash:hamming_dihedral": 0.1,
        "pdq:hamming_dihedral": 0.1,
    }
}
"""Built-in mixes by name; a mix of the same name in `lake.toml` takes precedence."""

BUILT_IN = (*MIXES, SAME_KIND)
"""Names of the built-in mixes: those of `MIXES`, and the feature that is best at the same kind of thing."""


def mix_weights(settings: Settings, name: str, features: Collection[str]) -> dict[str, float]:
    """Return the weights of a mix, by `feature` or `feature:metric`.

    Args:
        features: Features of the lake. Others are omitted from a built-in mix.

    Raises:
        UnknownName: There is no such mix.
        BadWeights: A weight of the mix is invalid.
        QueryError: The mix is built in, and the lake has none of its features.
    """
    if name in settings.mixes:
        return dict(zip(settings.mixes[name], fusion.check_weights(list(settings.mixes[name].values())), strict=True))
    if name == SAME_KIND:
        return {_best_at_the_same_kind(features): 1.0}
    if name not in MIXES:
        raise UnknownName("mix", name, (*BUILT_IN, *settings.mixes))
    present = {part: weight for part, weight in MIXES[name].items() if split_name(part)[0] in features}
    if not present:
        raise QueryError(f"mix:{name} is of {', '.join(MIXES[name])}; this lake has none of them")
    return present


def _best_at_the_same_kind(features: Collection[str]) -> str:
    """Return the averaged neighbourhoods of a network, or else a network."""
    averaged = [averaged_name(name) for name in features if averaged_name(name) in features]
    best = next(iter([*averaged, *(name for name in features if name in MODELS)]), None)
    if best is None:
        raise QueryError(f"mix:{SAME_KIND} needs a network; this lake has none")
    return best


def parse_weights(texts: Sequence[str]) -> dict[str, float] | None:
    """Parse `FEATURE[:METRIC][=WEIGHT]` into weights by name; None if there are no texts.

    The default weight is 1.

    Raises:
        BadWeights: A weight is negative or not a finite number.
    """
    weights = {}
    for text in texts:
        name, equals, weight = text.partition("=")
        number = finite_number(weight) if equals else 1.0
        if number is None or number < 0:
            raise BadWeights(f"the weight in {shorten(text)} is not a finite number of 0 or more")
        weights[name] = number
    return weights or None
