"""Evaluation measures of rankings (precision, recall, average precision, nDCG, N-S) and their confidence intervals.

A ranking is a boolean array of the results of one query, best first: whether each row is relevant. A measure returns
one number per query, and `estimate` returns their mean with its confidence interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Relevant = NDArray[np.bool_]
"""Relevance of each row of a ranking, best first, `(n,)`."""

RESAMPLES = 1000
RECALL_LEVELS = np.linspace(0, 1, 21)

_SEED = 20_26


@dataclass(frozen=True)
class Estimate:
    """A mean over queries with its confidence interval.

    Attributes:
        low, high: Bounds of the percentile bootstrap interval.
        n: Number of queries.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def precision_at_k(relevant: Relevant, k: int) -> float:
    """Compute the share of relevant rows in the first `k`.

    Missing rows of a shorter ranking count as not relevant.
    """
    return float(np.count_nonzero(relevant[:k])) / k


def recall_at_k(relevant: Relevant, k: int, *, total: int | None = None) -> float:
    """Compute the share of all relevant rows that is among the first `k`.

    Args:
        total: Number of relevant rows; None if the ranking holds all of them.
    """
    return _ratio(int(np.count_nonzero(relevant[:k])), int(np.count_nonzero(relevant)) if total is None else total)


def average_precision(relevant: Relevant, *, total: int | None = None) -> float:
    """Compute the mean precision at the ranks of the relevant rows.

    The precision is not interpolated. A relevant row outside the ranking counts as 0. The mean over queries is mAP.

    Args:
        total: Number of relevant rows; None if the ranking holds all of them.
    """
    ranks = np.flatnonzero(relevant) + 1
    return _ratio(float(np.sum(np.arange(1, len(ranks) + 1) / ranks)), len(ranks) if total is None else total)


def tied_average_precision(distances: NDArray[Any], relevant: NDArray[np.integer]) -> float:
    """Compute the average precision, independent of the order of equal distances.

    The definition is that of scikit-learn. Rows with equal distances form one step, with the precision after all of
    them. A few relevant rows need no sorting.

    Args:
        distances: Distances of all rows `(n,)`, smaller is better.
        relevant: Indices of the relevant rows `(m,)`.
    """
    limits = distances[relevant]
    precisions = [np.count_nonzero(limits <= limit) / np.count_nonzero(distances <= limit) for limit in limits]
    return _ratio(float(np.sum(precisions)), len(limits))


def tied_recall_at_1(distances: NDArray[Any], relevant: NDArray[np.integer]) -> float:
    """Return the share of relevant rows among those with the smallest distance.

    Without ties this is 1 if the nearest row is relevant, and 0 if not. With ties it is the probability that a random
    order puts a relevant row first.
    """
    nearest = distances.min()
    return float(np.count_nonzero(distances[relevant] == nearest) / np.count_nonzero(distances == nearest))


def ndcg(relevant: Relevant, *, k: int | None = None) -> float:
    """Compute the normalised discounted cumulative gain.

    Relevance is binary, and the discount log2(rank + 1).

    Args:
        k: Number of ranks that count; None for all ranks of a ranking that holds all relevant rows.
    """
    ranks = np.flatnonzero(relevant[:k]) + 1
    best = np.arange(np.count_nonzero(relevant))[:k] + 1
    return _ratio(float((1 / np.log2(ranks + 1)).sum()), float((1 / np.log2(best + 1)).sum()))


def ns_score(relevant: Relevant) -> float:
    """Compute the N-S score of UKBench (Nistér and Stewénius 2006).

    It is the number of images of a group of four in the first four ranks.

    Args:
        relevant: Ranking that includes the query itself, which is one of the four.
    """
    return float(np.count_nonzero(relevant[:4]))


def interpolated_precision(relevant: Relevant) -> NDArray[np.float64]:
    """Compute the interpolated precision of TREC at `RECALL_LEVELS`.

    It is the best precision at that recall or above.
    """
    ranks = np.flatnonzero(relevant) + 1
    if not len(ranks):
        return np.zeros(len(RECALL_LEVELS))
    best = np.maximum.accumulate((np.arange(1, len(ranks) + 1) / ranks)[::-1])[::-1]
    counts = np.ceil(RECALL_LEVELS * len(ranks) - 1e-9).astype(int)  # relevant rows for each recall level
    return np.asarray(best[np.maximum(counts, 1) - 1])


def estimate(values: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = _SEED) -> Estimate:
    """Estimate the mean of one number per query, with a bootstrap interval.

    The interval has the percentiles of resampled queries. The same values give the same interval. It covers the choice
    of queries, not the choice of another lake.

    Args:
        values: One value per query `(n,)`, at least one.
        level: Share of the resampled means inside the interval.
    """
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values.mean()), float(low), float(high), len(values))


def _ratio(part: float, whole: float) -> float:
    """Divide, with 0 for a division by 0."""
    return float(part / whole) if whole else 0.0
