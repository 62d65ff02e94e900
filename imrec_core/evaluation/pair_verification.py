"""Pair verification: how well features separate pairs of the same from pairs of different images.

Two measures are computed. For mAP, each image of a listed pair is a query for its partners among all images of the
lake. For the curve, one threshold on the distance separates all pairs: precision and recall at every threshold. Pairs
are not transitive: a~b and b~c do not imply a~c. Distances are exact.
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
from imrec_core.evaluation.rankers import RankerSet, sample
from imrec_core.evaluation.retrieval import MAX_QUERIES
from imrec_core.index.generation import Generation
from imrec_core.search.match_threshold import joint_calibration

Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]

_ROUNDING = 1e-5  # distances of (a, b) and (b, a) may differ in the last bits; a search at the rate finds both


@dataclass(frozen=True)
class Curve:
    """Precision and recall at each distance of a pair labelled same, by rising recall, without repetitions.

    Attributes:
        distances: Thresholds; pairs at most that far pass.
        precision: Share of the pairs that pass which are the same.
        recall: Share of the pairs that are the same which pass.
    """

    distances: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]


@dataclass(frozen=True)
class ThresholdScores:
    """Scores at one threshold.

    Attributes:
        distance: The threshold.
        false_match_rate: Share of random pairs of the lake that are as near; a value for `max_false_match_rate`.
    """

    distance: float
    false_match_rate: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class PairVerificationScores:
    """Pair verification scores of a feature.

    Attributes:
        by: `feature` in its default metric, `feature:metric`, or the name of a mix, whose distance is 1 - score.
        mean_average_precision: Mean over images that have partners. Partners are alike, so its interval is narrow.
        average_precision: Area under the curve, as defined by scikit-learn.
        best: The threshold with the best F1; the smallest of several.
        same, different: Numbers of pairs of the curve.
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
    """Measure how well features find partners, and separate pairs by a threshold on the distance.

    For mAP all other images of the lake are irrelevant, also those in no pair. The order of equal distances does not
    matter.

    Args:
        by: `feature` or `feature:metric`. Default: every feature in its default metric.
        mixes: Mixes to evaluate too, as for `evaluate_retrieval`.
        queries: Maximum number of query images; a fixed random sample if there are more. If no pair is listed as
            different, the curve has the pairs of these images.
        progress: Called with a line for each block of queries.

    Raises:
        BadWeights, UnknownName: A mix or a feature is invalid.
    """
    rankers = RankerSet.of(generation, by, mixes)
    both_orders = np.concatenate([pairs.same, pairs.same[:, ::-1]])
    query_rows = sample(np.unique(pairs.same), queries)
    pair_queries = _PairQueries(generation, rankers, query_rows, dict(_by_first(both_orders)))
    precisions, same = pair_queries.rank(progress)
    if len(pairs.different):
        same, different = (pair_queries.pair_distances(rows) for rows in (pairs.same, pairs.different))
        wrong = {name: _count_at_most(different[name], np.unique(same[name])) for name in rankers.names}
        total = len(pairs.different)
    else:
        limits = {name: np.unique(same[name]) for name in rankers.names}
        passing, total = pair_queries.count_passing(limits, progress)
        wrong = {name: passing[name] - _count_at_most(same[name], limits[name]) for name in rankers.names}
        total -= len(next(iter(same.values())))
    return [_score(pair_queries, name, precisions[name], same[name], wrong[name], total) for name in rankers.names]


def _score(
    pair_queries: _PairQueries, name: str, precisions: Sequence[float], same: Numbers, wrong: Rows, different: int
) -> PairVerificationScores:
    """Compute the scores of one ranker.

    Args:
        same: Distances of the pairs that are the same.
        wrong: Number of different pairs that pass at each of those distances, without repetitions.
        different: Number of different pairs.
    """
    distances = np.unique(same)
    right = _count_at_most(same, distances)
    precision, recall = right / (right + wrong), right / len(same)
    f1 = 2 * right / (right + wrong + len(same))
    at = int(np.argmax(f1))
    rate = pair_queries.false_match_rate(name, float(distances[at]))
    best = ThresholdScores(float(distances[at]), rate, float(precision[at]), float(recall[at]), float(f1[at]))
    curve = Curve(tuple(distances.tolist()), tuple(precision.tolist()), tuple(recall.tolist()))
    area = float(np.sum(np.diff(recall, prepend=0) * precision))
    return PairVerificationScores(name, measures.estimate(precisions), area, best, len(same), different, curve)


def _by_first(pairs: Rows) -> Iterator[tuple[int, Rows]]:
    """Group pairs `(n, 2)` by their first row; yields it with the second rows, all ascending."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    firsts, starts = np.unique(pairs[:, 0], return_index=True)
    yield from zip(firsts.tolist(), np.split(pairs[:, 1], starts[1:]), strict=True)


def _count_at_most(values: Numbers, limits: Numbers) -> Rows:
    """Count the values `(n,)` that are at most each of the ascending limits `(m,)`."""
    return np.cumsum(np.bincount(np.searchsorted(limits, values), minlength=len(limits) + 1)[: len(limits)])


@dataclass(frozen=True)
class _PairQueries:
    """Query images with their partners, in a generation.

    Attributes:
        rows: Rows of the queries, ascending.
        partners: Rows that are the same as a query, by its row.
    """

    generation: Generation
    rankers: RankerSet
    rows: Rows
    partners: Mapping[int, Rows]

    def rank(self, progress: Callable[[str], None]) -> tuple[dict[str, list[float]], dict[str, Numbers]]:
        """Compute the average precision of each query and the distance of each pair, both by ranker."""
        precisions: dict[str, list[float]] = {name: [] for name in self.rankers.names}
        same: dict[str, list[Numbers]] = {name: [] for name in self.rankers.names}
        for row, name, distances in self._distances(progress, "ranked"):
            partners = self.partners[row]
            precisions[name].append(measures.tied_average_precision(distances, partners))
            same[name].append(distances[partners[self._counted(row)[partners]]])
        return precisions, {name: np.concatenate(values) for name, values in same.items()}

    def count_passing(
        self, limits: Mapping[str, Numbers], progress: Callable[[str], None]
    ) -> tuple[dict[str, Rows], int]:
        """Count all pairs of a query image that are at most each limit, by ranker, and all pairs.

        All distances are computed again. To keep those of `rank` for a large lake would fill the memory. Distances to
        partners alone would differ in the last bit, which changes the order of equal ones.
        """
        passing = {name: np.zeros(len(of_name), np.int64) for name, of_name in limits.items()}
        for row, name, distances in self._distances(progress, "counted"):
            passing[name] += _count_at_most(distances[self._counted(row)], limits[name])
        return passing, sum(int(np.count_nonzero(self._counted(int(row)))) for row in self.rows)

    def pair_distances(self, pairs: Rows) -> dict[str, Numbers]:
        """Compute the distances of ascending pairs `(n, 2)` by ranker `(n,)`."""
        found: dict[str, list[Numbers]] = {name: [] for name in self.rankers.names}
        for row, others in _by_first(pairs):
            vectors = self.rankers.query_vectors(self.generation, np.array([row]))
            for name, distances in self.rankers.all_distances(self.generation, vectors, others):
                if name in found:
                    found[name].append(distances[0])
        return {name: np.concatenate(values) for name, values in found.items()}

    def false_match_rate(self, name: str, distance: float) -> float:
        """Compute the share of random pairs of the lake that are as near, up to rounding; above 0 for a search."""
        if name in self.rankers.mixes:
            features = self.rankers.weighted_features(dict(sorted(self.rankers.mixes[name].items())))
            calibration = joint_calibration(self.generation, features)
        else:
            pair = self.rankers.features[name]
            calibration = self.generation.calibration(pair.feature.name, pair.metric.name)
        limit = distance * (1 + _ROUNDING) + _ROUNDING / 10
        return float(calibration.false_match_rate(np.array([limit], np.float32))[0])

    def _counted(self, row: int) -> NDArray[np.bool_]:
        """Return the rows that pair with a query, so that a pair of two queries is counted once."""
        counted = self.generation.is_live.copy()
        counted[self.rows[self.rows <= row]] = False
        return counted

    def _distances(self, progress: Callable[[str], None], done: str) -> Iterator[tuple[int, str, NDArray[Any]]]:
        """Compute the distances of each query to all rows by each ranker; infinite to itself and to removed rows."""
        all_rows, removed, count = np.arange(len(self.generation)), ~self.generation.is_live, 0
        for block in self.rankers.query_blocks(self.rows, len(all_rows)):
            progress(f"{count} of {len(self.rows)} queries over {len(all_rows) - removed.sum()} images {done}")
            count += len(block)
            vectors = self.rankers.query_vectors(self.generation, block)
            for name, distances in self.rankers.all_distances(self.generation, vectors, all_rows, block):
                if name not in self.rankers.names:
                    continue
                distances[np.arange(len(block)), block] = np.inf
                distances[:, removed] = np.inf
                yield from ((int(row), name, of_query) for row, of_query in zip(block, distances, strict=True))
