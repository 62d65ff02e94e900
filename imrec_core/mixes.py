"""Weights of features that are searched by together: those that come with imrec, and those of `lake.toml`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from imrec_core.errors import BadWeights, QueryError, UnknownName
from imrec_core.features.feature_metric import split_name
from imrec_core.lake.settings import Settings

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


def said_weights(texts: Sequence[str]) -> dict[str, float] | None:
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
