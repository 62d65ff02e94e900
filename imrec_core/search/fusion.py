"""Several distances of the same rows → one ranking."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadWeights

Numbers = NDArray[np.float64]

_RRF = 60  # of the paper: how much the first places count more than those after them


def fuse(scores: Sequence[Numbers], weights: Sequence[float]) -> Numbers:
    """Weighted mean of calibrated scores `(n,)` per feature; weights need not sum to 1.

    Raises:
        BadWeights: A weight is negative or not finite, or all are zero.
    """
    checked_weights(weights)
    total = sum(weights)
    return np.asarray(sum(w / total * s for w, s in zip(weights, scores, strict=True)))


def reciprocal_rank_fusion(scores: Sequence[Numbers], weights: Sequence[float]) -> Numbers:
    """Weighted mean of 61 / (60 + rank), so that 1 is first by every feature; equal scores share the better rank.

    Reciprocal rank fusion, Cormack et al. 2009, doi:10.1145/1571941.1572114; ranks are those among the rows given.
    """
    return fuse([(_RRF + 1) / (_RRF + 1 + np.searchsorted(np.sort(-score), -score)) for score in scores], weights)


def distribution_based_score_fusion(scores: Sequence[Numbers], weights: Sequence[float]) -> Numbers:
    """Weighted mean of scores, each mapped so that mean - 3σ of the rows given is 0 and mean + 3σ is 1.

    May leave [0, 1]: cut off there, the nearest rows, which lie beyond 3σ, would all be equal.
    """
    return fuse([_standardised(score) for score in scores], weights)


def _standardised(score: Numbers) -> Numbers:
    spread = 6 * float(score.std()) if len(score) else 0.0
    # Where all are equal up to rounding, none is better than another.
    even = spread <= 1e-9 * float(np.abs(score).max(initial=0))
    return np.full(len(score), 0.5) if even else (score - score.mean()) / spread + 0.5


FUSIONS: dict[str, Callable[[Sequence[Numbers], Sequence[float]], Numbers]] = {
    "score": fuse,
    "rrf": reciprocal_rank_fusion,
    "dbsf": distribution_based_score_fusion,
}


def maximal_marginal_relevance(
    scores: Numbers, similarity: Callable[[int], Numbers], count: int, diversity: float
) -> NDArray[np.int64]:
    """Which of the rows given to take, in order: each the best that is not much like those taken before it.

    Maximal marginal relevance, Carbonell & Goldstein 1998, doi:10.1145/290941.291025, where λ is `1 - diversity`.

    Args:
        scores: Best first, `(n,)`.
        similarity: Of one of the rows to all `(n,)`, on the scale of the scores.
    """
    nearest, free = np.zeros(len(scores)), np.ones(len(scores), dtype=bool)
    taken: list[int] = []
    while len(taken) < min(count, len(scores)):
        worth = np.where(free, (1 - diversity) * scores - diversity * nearest, -np.inf)
        taken.append(int(np.argmax(worth)))
        free[taken[-1]] = False
        nearest = np.maximum(nearest, similarity(taken[-1]))
    return np.array(taken, dtype=np.int64)


def checked_weights(weights: Sequence[float]) -> None:
    """Refuse weights that cannot be averaged with.

    Raises:
        BadWeights: As above.
    """
    if any(not math.isfinite(w) or w < 0 for w in weights) or not any(weights):
        raise BadWeights(f"weights are {list(weights)}; they must be 0 or more, finite, and not all 0")
