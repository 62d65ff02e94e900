"""Which weights make a mix of features best on a lake's own images, and whether the mix is worth it.

Weights are found on some of the queries and judged on the others, since fusion can lose: against each feature alone and
against all with the same weight, on the same queries.
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
from imrec_core.evaluation.tuning_tasks import Task
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
_STEPS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # shares that a feature is tried with
_ROUNDS = 4
_LEAST_GAIN = 1e-3  # of the measure; less is chance, and would make a mix of many parts
_LEAST_WEIGHT = 0.01  # a smaller one is dropped
_K = 5

Values = NDArray[np.float64]
Weights = tuple[float, ...]


@dataclass(frozen=True)
class Tuned:
    """Weights, and what they are worth.

    Attributes:
        weights: Found on all queries; they sum to 1, and those of 0 are left out.
        held_out: The measure on queries that weights found in the same way have not seen.
        alone: The measure of each feature alone, on the same queries.
        equal: That of all with the same weight.
        best_other: The best of `alone` and `equal`; its name, or `equal`.
        gain: By how much `held_out` is above it, query by query; an interval that reaches below 0 says that the mix may
            be no better.
    """

    measure: str
    weights: Mapping[str, float]
    held_out: Estimate
    alone: Mapping[str, Estimate]
    equal: Estimate
    best_other: str
    gain: Estimate


# -- tasks --------------------------------------------------------------------------------------------------


# -- tuning -------------------------------------------------------------------------------------------------


def tune_weights(
    task: Task, measure: str = "map", *, folds: int = FOLDS, progress: Callable[[str], None] = lambda line: None
) -> Tuned:
    """The weights with the best mean of a measure, and its value on queries that they were not found on.

    Coordinate search: one weight after another is set to what does best while the others keep their proportions, from
    the best single feature and from equal weights.

    Args:
        measure: A name in `MEASURES`.
        folds: Parts of the queries, each of which is held out once.
        progress: Told how far it is.

    Raises:
        QueryError: There is one feature only, or fewer queries than folds.
        UnknownName: No such measure.
    """
    if measure not in MEASURES:
        raise UnknownName("measure", measure, MEASURES)
    units, unit_of = np.unique(task.units, return_inverse=True)
    if len(task.ways) < 2:
        raise QueryError(f"{', '.join(task.ways)} alone has nothing to be mixed with; name two features or more")
    if not 2 <= folds <= len(units):
        raise QueryError(f"{len(units)} images cannot be held out in {folds} parts; label more, or use 2 folds or more")
    objective = _Objective(task, measure, unit_of)
    held_out = np.empty(len(units))
    for number, part in enumerate(np.array_split(np.random.default_rng(_SEED).permutation(len(units)), folds)):
        progress(f"fold {number + 1} of {folds}: {len(units) - len(part)} images to learn from, {len(part)} held out")
        seen = np.setdiff1d(np.arange(len(units)), part)
        held_out[part] = objective(_best(objective, seen))[part]
    progress(f"all {len(units)} images")
    best = _best(objective, np.arange(len(units)))
    others = {name: objective(weights) for name, weights in _singles(task.ways).items()}
    others[_EQUAL] = objective(_equal(len(task.ways)))
    best_other = max(others, key=lambda name: others[name].mean())
    estimates = {name: measures.estimate(values) for name, values in others.items()}
    return Tuned(
        measure,
        {name: weight for name, weight in zip(task.ways, best, strict=True) if weight},
        measures.estimate(held_out),
        {name: estimates[name] for name in task.ways},
        estimates[_EQUAL],
        best_other,
        measures.estimate(held_out - others[best_other]),
    )


_EQUAL = "equal"


def _singles(ways: Sequence[str]) -> dict[str, Weights]:
    return {name: tuple(float(name == other) for other in ways) for name in ways}


def _equal(count: int) -> Weights:
    return (round(1 / count, 6),) * count


class _Objective:
    """The measure of each unit for given weights; what was asked before is not computed again."""

    def __init__(self, task: Task, measure: str, unit_of: NDArray[np.int64]) -> None:
        self.task, self._measure, self._unit_of = task, measure, unit_of
        self._known: dict[Weights, Values] = {}

    def __call__(self, weights: Weights) -> Values:
        """Mean over the queries of each unit, `(units,)`."""
        if weights not in self._known:
            fused = np.tensordot(np.asarray(weights, np.float32), self.task.scores, axes=1)
            values = measured(fused, self.task.relevant, self._measure)
            self._known[weights] = np.bincount(self._unit_of, values) / np.bincount(self._unit_of)
        return self._known[weights]


def measured(fused: NDArray[np.float32], relevant: Sequence[NDArray[np.int64]], measure: str) -> Values:
    """A measure of each query `(queries,)` from scores `(queries, rows)`; the order of equal scores does not count."""
    if measure == "map":
        return np.array([_average_precision(row, columns) for row, columns in zip(fused, relevant, strict=True)])
    k = min(1 if measure == "recall1" else _K, fused.shape[1])
    # Of those that share the k-th place as many count as have room, each as often as the others.
    limit = np.partition(fused, -k, axis=1)[:, -k]
    above, level = (fused > limit[:, None]).sum(axis=1), (fused == limit[:, None]).sum(axis=1)
    own = [row[columns] for row, columns in zip(fused, relevant, strict=True)]
    mine_above = np.array([np.count_nonzero(values > least) for values, least in zip(own, limit, strict=True)])
    mine_level = np.array([np.count_nonzero(values == least) for values, least in zip(own, limit, strict=True)])
    return np.asarray((mine_above + (k - above) * mine_level / level) / (1 if measure == "recall1" else _K))


def _average_precision(scores: NDArray[np.float32], columns: NDArray[np.int64]) -> float:
    """`measures.tied_average_precision` for many relevant rows: sorted once, then counted by bisection."""
    own = np.sort(scores[columns])
    found = len(own) - np.searchsorted(own, own)
    seen = len(scores) - np.searchsorted(np.sort(scores), own)
    return float(np.mean(found / seen))


def _best(objective: _Objective, units: NDArray[np.int64]) -> Weights:
    """Weights with the best mean over some of the units."""

    def mean(weights: Weights) -> float:
        return float(objective(weights)[units].mean())

    count = len(objective.task.ways)
    single = max(_singles(objective.task.ways).values(), key=mean)
    return max((_climbed(start, mean) for start in (single, _equal(count))), key=mean)


def _climbed(start: Weights, mean: Callable[[Weights], float]) -> Weights:
    best, value = start, mean(start)
    for _ in range(_ROUNDS):
        before = value
        for i, share in itertools.product(range(len(start)), _STEPS):
            others = sum(best) - best[i]
            if not others:
                continue
            tried = _rounded([share if j == i else w / others * (1 - share) for j, w in enumerate(best)])
            if mean(tried) > value + _LEAST_GAIN:
                best, value = tried, mean(tried)
        if value == before:
            break
    return best


def _rounded(weights: Sequence[float]) -> Weights:
    """In thousandths that sum to 1, so that what is noted is what was measured; crumbs are swept away."""
    rounded = [round(weight, 3) if weight >= _LEAST_WEIGHT else 0.0 for weight in weights]
    largest = int(np.argmax(rounded))
    rounded[largest] = round(1 - sum(w for i, w in enumerate(rounded) if i != largest), 3)
    return tuple(rounded)


def save_mix(lake: Lake, name: str, weights: Mapping[str, float]) -> None:
    """Note a mix in `lake.toml`; one of the same name is replaced.

    Raises:
        BadSettings: The name or a weight will not do; then nothing is noted.
    """
    lake.save_settings(_with_mix(lake, name, weights))


def check_name(lake: Lake, name: str, by: str) -> None:
    """Refuse what `save_mix` would refuse as the name of a mix, of a feature that the lake has, before it is found.

    Raises:
        BadSettings: It will not do.
    """
    _with_mix(lake, name, {by: 1.0})


def _with_mix(lake: Lake, name: str, weights: Mapping[str, float]) -> Settings:
    settings = lake.settings()
    changed = replace(settings, mixes={**settings.mixes, name: dict(weights)})
    check_settings(changed, lake.root)
    return changed
