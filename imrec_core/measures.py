"""How good a ranking is: precision, recall, average precision, nDCG, N-S, and how sure that is.

A ranking is what was found for one query, best first, as truths: whether each row is relevant. Each measure gives one
number per query; `estimate` makes their mean and its interval of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Relevant = NDArray[np.bool_]
"""Whether each row of a ranking is relevant, best first, `(n,)`."""

RESAMPLES = 1000
RECALL_LEVELS = np.linspace(0, 1, 21)

_SEED = 20_26


@dataclass(frozen=True)
class Estimate:
    """A mean over queries and how sure it is.

    Attributes:
        low, high: The interval of bootstrap, by percentiles.
        n: Queries that it is the mean of.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def precision_at_k(relevant: Relevant, k: int) -> float:
    """Share of the first `k` that is relevant; what is missing of a shorter ranking counts as not."""
    return float(np.count_nonzero(relevant[:k])) / k


def recall_at_k(relevant: Relevant, k: int, *, total: int | None = None) -> float:
    """Share of what is relevant that is among the first `k`.

    Args:
        total: Rows that are relevant; None where the ranking holds them all.
    """
    return _share(int(np.count_nonzero(relevant[:k])), int(np.count_nonzero(relevant)) if total is None else total)


def average_precision(relevant: Relevant, *, total: int | None = None) -> float:
    """Mean of the precision at the rank of each relevant row, not interpolated; 0 for one that was not found.

    Its mean over queries is mAP.

    Args:
        total: Rows that are relevant; None where the ranking holds them all.
    """
    ranks = np.flatnonzero(relevant) + 1
    return _share(float(np.sum(np.arange(1, len(ranks) + 1) / ranks)), len(ranks) if total is None else total)


def tied_average_precision(distances: NDArray[Any], relevant: NDArray[np.integer]) -> float:
    """Average precision that does not depend on the order of equal distances, as scikit-learn has it.

    Equal distances are one step: the precision is taken after all of them. A few relevant rows need no sorting.

    Args:
        distances: Of all rows `(n,)`, smaller is better.
        relevant: The relevant rows, `(m,)`.
    """
    own = distances[relevant]
    precisions = [np.count_nonzero(own <= limit) / np.count_nonzero(distances <= limit) for limit in own]
    return _share(float(np.sum(precisions)), len(own))


def tied_recall_at_1(distances: NDArray[Any], relevant: NDArray[np.integer]) -> float:
    """Whether the nearest row is relevant; of several that are equally near, the share that is.

    That is how often it would come out first were equal ones drawn by lot.
    """
    least = distances.min()
    return float(np.count_nonzero(distances[relevant] == least) / np.count_nonzero(distances == least))


def ndcg(relevant: Relevant, *, k: int | None = None) -> float:
    """Normalised discounted cumulative gain: 1 gained by a relevant row, over the logarithm (base 2) of its rank + 1.

    Args:
        k: Ranks that count; None for all of a ranking that holds all that is relevant.
    """
    discounts = 1 / np.log2(np.arange(2, len(relevant[:k]) + 2))
    ideal = float(discounts[: np.count_nonzero(relevant)].sum())
    return _share(float(discounts[relevant[:k]].sum()), ideal)


def ns_score(relevant: Relevant) -> float:
    """UKBench's score (Nistér and Stewénius 2006): how many of the four of a group are among the first four.

    Args:
        relevant: The query itself is one of the four, and ranked with the others.
    """
    return float(np.count_nonzero(relevant[:4]))


def interpolated_precision(relevant: Relevant) -> NDArray[np.float64]:
    """The precision/recall curve: the best precision at `RECALL_LEVELS` or any recall above, as TREC draws it."""
    ranks = np.flatnonzero(relevant) + 1
    if not len(ranks):
        return np.zeros(len(RECALL_LEVELS))
    best = np.maximum.accumulate((np.arange(1, len(ranks) + 1) / ranks)[::-1])[::-1]
    found = np.ceil(RECALL_LEVELS * len(ranks) - 1e-9).astype(int)  # relevant rows that a level takes
    return np.asarray(best[np.maximum(found, 1) - 1])


def estimate(values: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = _SEED) -> Estimate:
    """The mean of one number per query, with the percentile interval of the bootstrap over queries.

    The same numbers give the same interval. It says how much other queries of the same kind would change the mean,
    not how another lake would do.

    Args:
        values: `(n,)`, one or more.
        level: Share of the means of resampled queries that the interval holds.
    """
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values.mean()), float(low), float(high), len(values))


def _share(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return float(part / whole) if whole else 0.0
