"""Tuning of the weights of a mix on a lake's own images, with cross-validation.

Weights are fitted on some of the queries and evaluated on the others, since fusion can be worse than its parts. They
are compared with each single feature and with equal weights, on the same queries.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError, UnknownName
from imrec_core.evaluation import measures
from imrec_core.evaluation.measures import Estimate
from imrec_core.evaluation.tuning_tasks import TuningTask
from imrec_core.features.custom import check_settings
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings

MEASURES = {
    "map": "mean average precision",
    "precision": "precision@5",
    "recall1": "how often the first is right",
}
FOLDS = 5

_SEED = 20_26
_STEPS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # weights to try for a feature
_ROUNDS = 4
_LEAST_GAIN = 1e-3  # of the measure; less is chance, and would add features to the mix
_LEAST_WEIGHT = 0.01  # a smaller one becomes 0
_K = 5
_EQUAL = "equal"

Values = NDArray[np.float64]
Weights = tuple[float, ...]


@dataclass(frozen=True)
class TunedWeights:
    """Tuned weights with their cross-validated measure.

    Attributes:
        measure: A name in `MEASURES`.
        weights: Weights above 0, fitted on all queries; they sum to 1.
        held_out: The measure on held-out queries, by weights fitted on the others.
        alone: The measure of each single feature, on the same queries.
        equal: The measure of equal weights.
        best_other: The best of `alone` and `equal`: its name, or `equal`.
        gain: Mean difference of `held_out` to it over the queries. If its interval reaches below 0, the mix may be no
            better.
    """

    measure: str
    weights: Mapping[str, float]
    held_out: Estimate
    alone: Mapping[str, Estimate]
    equal: Estimate
    best_other: str
    gain: Estimate


def tune_weights(
    task: TuningTask, measure: str = "map", *, folds: int = FOLDS, progress: Callable[[str], None] = lambda line: None
) -> TunedWeights:
    """Find the weights with the best mean of a measure, and cross-validate them.

    Coordinate search: one weight after another is set to its best value, while the others keep their proportions. It
    starts from the best single feature and from equal weights.

    Args:
        measure: A name in `MEASURES`.
        folds: Number of parts of the queries, each held out once.
        progress: Called with a line for each fold.

    Raises:
        QueryError: There is only one feature, or there are fewer queries than folds.
        UnknownName: There is no such measure.
    """
    if measure not in MEASURES:
        raise UnknownName("measure", measure, MEASURES)
    units, unit_of = np.unique(task.units, return_inverse=True)
    if len(task.features) < 2:
        raise QueryError(f"{', '.join(task.features)} alone has nothing to be mixed with; name two features or more")
    if not 2 <= folds <= len(units):
        raise QueryError(f"{len(units)} images cannot be held out in {folds} parts; label more, or use 2 folds or more")
    objective = _Objective(task, measure, unit_of)
    held_out = np.empty(len(units))
    for number, part in enumerate(np.array_split(np.random.default_rng(_SEED).permutation(len(units)), folds)):
        progress(f"fold {number + 1} of {folds}: {len(units) - len(part)} images to learn from, {len(part)} held out")
        fitted_on = np.setdiff1d(np.arange(len(units)), part)
        held_out[part] = objective(_best(objective, fitted_on))[part]
    progress(f"all {len(units)} images")
    best = _best(objective, np.arange(len(units)))
    others = {name: objective(weights) for name, weights in _single_weights(task.features).items()}
    others[_EQUAL] = objective(_equal_weights(len(task.features)))
    best_other = max(others, key=lambda name: others[name].mean())
    estimates = {name: measures.estimate(values) for name, values in others.items()}
    return TunedWeights(
        measure,
        {name: weight for name, weight in zip(task.features, best, strict=True) if weight},
        measures.estimate(held_out),
        {name: estimates[name] for name in task.features},
        estimates[_EQUAL],
        best_other,
        measures.estimate(held_out - others[best_other]),
    )


def _single_weights(names: Sequence[str]) -> dict[str, Weights]:
    return {name: tuple(float(name == other) for other in names) for name in names}


def _equal_weights(count: int) -> Weights:
    return (round(1 / count, 6),) * count


class _Objective:
    """The measure of each unit as a cached function of the weights."""

    def __init__(self, task: TuningTask, measure: str, unit_of: NDArray[np.int64]) -> None:
        self.task, self._measure, self._unit_of = task, measure, unit_of
        self._cache: dict[Weights, Values] = {}

    def __call__(self, weights: Weights) -> Values:
        """Compute the mean over the queries of each unit `(units,)`."""
        if weights not in self._cache:
            fused = np.tensordot(np.asarray(weights, np.float32), self.task.scores, axes=1)
            values = measure_queries(fused, self.task.relevant, self._measure)
            self._cache[weights] = np.bincount(self._unit_of, values) / np.bincount(self._unit_of)
        return self._cache[weights]


def measure_queries(fused: NDArray[np.float32], relevant: Sequence[NDArray[np.int64]], measure: str) -> Values:
    """Compute a measure of each query `(queries,)`, independent of the order of equal scores.

    Args:
        fused: Fused scores `(queries, rows)`.
        relevant: Relevant columns of each query.
        measure: A name in `MEASURES`.
    """
    if measure == "map":
        return np.array([_average_precision(row, columns) for row, columns in zip(fused, relevant, strict=True)])
    k = min(1 if measure == "recall1" else _K, fused.shape[1])
    # Rows tied at rank k fill the remaining ranks with equal probability.
    limit = np.partition(fused, -k, axis=1)[:, -k]
    above, tied = (fused > limit[:, None]).sum(axis=1), (fused == limit[:, None]).sum(axis=1)
    own = [row[columns] for row, columns in zip(fused, relevant, strict=True)]
    own_above = np.array([np.count_nonzero(values > least) for values, least in zip(own, limit, strict=True)])
    own_tied = np.array([np.count_nonzero(values == least) for values, least in zip(own, limit, strict=True)])
    return np.asarray((own_above + (k - above) * own_tied / tied) / (1 if measure == "recall1" else _K))


def _average_precision(scores: NDArray[np.float32], columns: NDArray[np.int64]) -> float:
    """Compute `measures.tied_average_precision` for many relevant rows, with one sort and bisection."""
    own = np.sort(scores[columns])
    relevant_ranks = len(own) - np.searchsorted(own, own)
    ranks = len(scores) - np.searchsorted(np.sort(scores), own)
    return float(np.mean(relevant_ranks / ranks))


def _best(objective: _Objective, units: NDArray[np.int64]) -> Weights:
    """Find the weights with the best mean over some of the units."""

    def mean(weights: Weights) -> float:
        return float(objective(weights)[units].mean())

    count = len(objective.task.features)
    single = max(_single_weights(objective.task.features).values(), key=mean)
    return max((_climb(start, mean) for start in (single, _equal_weights(count))), key=mean)


def _climb(start: Weights, mean: Callable[[Weights], float]) -> Weights:
    best, value = start, mean(start)
    for _ in range(_ROUNDS):
        before = value
        for i, share in itertools.product(range(len(start)), _STEPS):
            others = sum(best) - best[i]
            if not others:
                continue
            tried = _round([share if j == i else w / others * (1 - share) for j, w in enumerate(best)])
            if mean(tried) > value + _LEAST_GAIN:
                best, value = tried, mean(tried)
        if value == before:
            break
    return best


def _round(weights: Sequence[float]) -> Weights:
    """Round to thousandths that sum to 1, so that the saved weights are the measured ones; drop small weights."""
    rounded = [round(weight, 3) if weight >= _LEAST_WEIGHT else 0.0 for weight in weights]
    largest = int(np.argmax(rounded))
    rounded[largest] = round(1 - sum(w for i, w in enumerate(rounded) if i != largest), 3)
    return tuple(rounded)


def save_mix(lake: Lake, name: str, weights: Mapping[str, float]) -> None:
    """Save a mix in `lake.toml`; a mix of the same name is replaced.

    Raises:
        BadSettings: The name or a weight is invalid; `lake.toml` is unchanged.
    """
    lake.save_settings(_with_mix(lake, name, weights))


def check_mix_name(lake: Lake, name: str, by: str) -> None:
    """Check the name of a mix before its weights are known.

    Args:
        by: A feature of the lake.

    Raises:
        BadSettings: `save_mix` would refuse the name.
    """
    _with_mix(lake, name, {by: 1.0})


def _with_mix(lake: Lake, name: str, weights: Mapping[str, float]) -> Settings:
    settings = lake.settings()
    changed = replace(settings, mixes={**settings.mixes, name: dict(weights)})
    check_settings(changed, lake.root)
    return changed
