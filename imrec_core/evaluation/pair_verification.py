"""How well each feature tells pairs of images that belong together from others.

Two questions are answered. Each image of a listed pair asks for its partners among all images of the lake: mAP. And
one distance is drawn as a limit through all pairs together: precision and recall of every such cut. Pairs are taken as
they are listed: of a~b and b~c it does not follow that a~c. Distances are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation import measures
from imrec_core.evaluation.measures import Estimate
from imrec_core.evaluation.pair_labels import Pairs
from imrec_core.evaluation.rankers import RankerSet, as_queries, query_blocks, sample
from imrec_core.evaluation.retrieval import MAX_QUERIES
from imrec_core.index.generation import Generation
from imrec_core.search.match_threshold import joint_calibration

Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]

_ROUNDING = 1e-5  # from b to a it may be farther than from a to b in the last bits; a search at the rate finds both


@dataclass(frozen=True)
class Curve:
    """What each cut lets through; recall rises. Points are the distances of pairs that are the same, each once.

    Attributes:
        distances: What is at least as near passes.
        precision: Share of what passes that is the same.
        recall: Share of what is the same that passes.
    """

    distances: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]


@dataclass(frozen=True)
class ThresholdScores:
    """One cut.

    Attributes:
        false_match_rate: Share of random pairs of the lake that are as near: what `max_false_match_rate` takes.
    """

    distance: float
    false_match_rate: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class PairVerificationScores:
    """How well a feature does.

    Attributes:
        by: `feature` in its default metric, `feature:metric`, or the name of a mix, whose distance is 1 less its score.
        mean_average_precision: Over images that have partners. The two of a pair are alike, so its interval is narrow.
        average_precision: Under the curve, as scikit-learn has it: of all pairs in one order.
        best: The cut with the best F1; the nearer one of several.
        same, different: Pairs of the curve.
    """

    by: str
    mean_average_precision: Estimate
    average_precision: float
    best: ThresholdScores
    same: int
    different: int
    curve: Curve


def evaluate_pairs(
    generation: Generation,
    pairs: Pairs,
    *,
    by: Sequence[str] = (),
    mixes: Mapping[str, Mapping[str, float]] | None = None,
    queries: int = MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[PairVerificationScores]:
    """Measure how well features find partners, and tell them from others by one distance.

    For mAP all images of the lake but the partners count as wrong, those that are listed as different and those that
    nobody spoke of. Equal distances are one step, so their order does not count.

    Args:
        by: `feature` or `feature:metric`; none given: every feature in its default metric.
        mixes: What is judged beside them, as in `judging.judge`.
        queries: Images that ask, at most; of more a random sample, always the same. Where no pairs are listed as
            different, the curve is that of the pairs with these images.
        progress: Told how far it is.

    Raises:
        BadWeights, UnknownName: A mix or a feature will not do.
    """
    plan = RankerSet.of(generation, by, mixes)
    both_ways = np.concatenate([pairs.same, pairs.same[:, ::-1]])
    task = _Task(generation, plan, sample(np.unique(pairs.same), queries), dict(_by_first(both_ways)))
    precisions, same = task.ranked(progress)
    if len(pairs.different):
        same, different = (task.listed(rows) for rows in (pairs.same, pairs.different))
        counts = {name: _at_most(different[name], np.unique(same[name])) for name in plan.judged}
        total = len(pairs.different)
    else:
        passing, total = task.passing({name: np.unique(same[name]) for name in plan.judged}, progress)
        counts = {name: passing[name] - _at_most(same[name], np.unique(same[name])) for name in plan.judged}
        total -= len(next(iter(same.values())))
    return [_judged(task, name, precisions[name], same[name], counts[name], total) for name in plan.judged]


def _judged(
    task: _Task, name: str, precisions: Sequence[float], same: Numbers, wrong: Rows, different: int
) -> PairVerificationScores:
    """From the distances of the pairs that are the same, and how many others pass at each of them."""
    distances = np.unique(same)
    right = _at_most(same, distances)
    precision, recall = right / (right + wrong), right / len(same)
    f1 = 2 * right / (right + wrong + len(same))
    at = int(np.argmax(f1))
    rate = task.false_match_rate(name, float(distances[at]))
    best = ThresholdScores(float(distances[at]), rate, float(precision[at]), float(recall[at]), float(f1[at]))
    curve = Curve(tuple(distances.tolist()), tuple(precision.tolist()), tuple(recall.tolist()))
    area = float(np.sum(np.diff(recall, prepend=0) * precision))
    return PairVerificationScores(name, measures.estimate(precisions), area, best, len(same), different, curve)


def _by_first(pairs: Rows) -> Iterator[tuple[int, Rows]]:
    """Each first row of pairs `(n, 2)` with the second ones, all ascending."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    firsts, starts = np.unique(pairs[:, 0], return_index=True)
    yield from zip(firsts.tolist(), np.split(pairs[:, 1], starts[1:]), strict=True)


def _at_most(values: Numbers, limits: Numbers) -> Rows:
    """How many values `(n,)` are at most each of the ascending limits `(m,)`."""
    return np.cumsum(np.bincount(np.searchsorted(limits, values), minlength=len(limits) + 1)[: len(limits)])


@dataclass(frozen=True)
class _Task:
    """What is asked of a generation.

    Attributes:
        asked: Rows, ascending.
        partners: By row, those that are the same.
    """

    generation: Generation
    plan: RankerSet
    asked: Rows
    partners: Mapping[int, Rows]

    def ranked(self, progress: Callable[[str], None]) -> tuple[dict[str, list[float]], dict[str, Numbers]]:
        """Average precision of each query, and the distances to partners, each pair once; both by what is judged."""
        precisions: dict[str, list[float]] = {name: [] for name in self.plan.judged}
        found: dict[str, list[Numbers]] = {name: [] for name in self.plan.judged}
        for row, name, distances in self._distances(progress, "ranked"):
            partners = self.partners[row]
            precisions[name].append(measures.tied_average_precision(distances, partners))
            found[name].append(distances[partners[self._counted(row)[partners]]])
        return precisions, {name: np.concatenate(values) for name, values in found.items()}

    def passing(self, limits: Mapping[str, Numbers], progress: Callable[[str], None]) -> tuple[dict[str, Rows], int]:
        """How many of all pairs with an image that asks are at most each limit; and how many pairs there are.

        All distances are computed once more: held from the first time, those of a large lake would fill the memory, and
        computed for partners alone they would differ in the last bit, which makes another order of equal ones.
        """
        found = {name: np.zeros(len(of_name), np.int64) for name, of_name in limits.items()}
        for row, name, distances in self._distances(progress, "counted"):
            found[name] += _at_most(distances[self._counted(row)], limits[name])
        return found, sum(int(np.count_nonzero(self._counted(int(row)))) for row in self.asked)

    def listed(self, pairs: Rows) -> dict[str, Numbers]:
        """The distances of pairs `(n, 2)`, ascending; by what is judged."""
        found: dict[str, list[Numbers]] = {name: [] for name in self.plan.judged}
        for row, others in _by_first(pairs):
            asked = np.array([row])
            vectors = {name: as_queries(self.generation, way, asked) for name, way in self.plan.ways.items()}
            for name, distances in self.plan.values(self.generation, vectors, others):
                if name in found:
                    found[name].append(distances[0])
        return {name: np.concatenate(values) for name, values in found.items()}

    def false_match_rate(self, name: str, distance: float) -> float:
        """Share of random pairs of the lake that are as near, up to rounding; above 0, as a search takes it."""
        if name in self.plan.mixes:
            chosen = self.plan.weighted(dict(sorted(self.plan.mixes[name].items())))
            calibration = joint_calibration(self.generation, chosen)
        else:
            way = self.plan.ways[name]
            calibration = self.generation.calibration(way.feature.name, way.metric.name)
        limit = distance * (1 + _ROUNDING) + _ROUNDING / 10
        return float(calibration.false_match_rate(np.array([limit], np.float32))[0])

    def _counted(self, row: int) -> NDArray[np.bool_]:
        """Rows that make a pair with one that asks, so that each pair of two that ask is counted once."""
        counted = self.generation.is_live.copy()
        counted[self.asked[self.asked <= row]] = False
        return counted

    def _distances(self, progress: Callable[[str], None], done: str) -> Iterator[tuple[int, str, NDArray[Any]]]:
        """Of each row that asks to all rows by all that is judged; itself and what was removed are infinitely far."""
        every, gone, so_far = np.arange(len(self.generation)), ~self.generation.is_live, 0
        for some in query_blocks(self.asked, len(every) * self.plan.held):
            progress(f"{so_far} of {len(self.asked)} queries over {len(every) - gone.sum()} images {done}")
            so_far += len(some)
            vectors = {name: as_queries(self.generation, way, some) for name, way in self.plan.ways.items()}
            for name, distances in self.plan.values(self.generation, vectors, every, some):
                if name not in self.plan.judged:
                    continue
                distances[np.arange(len(some)), some] = np.inf
                distances[:, gone] = np.inf
                yield from ((int(row), name, of_query) for row, of_query in zip(some, distances, strict=True))
