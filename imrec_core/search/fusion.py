"""Score fusion of several features, and diversification by maximal marginal relevance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadWeights
from imrec_core.runtime.numbers import finite_number, shorten

Numbers = NDArray[np.float64]

_RRF = 60  # constant k of the paper: the larger, the less the first ranks stand out


def fuse(scores: Sequence[Numbers], weights: Sequence[float]) -> Numbers:
    """Compute the weighted mean `(n,)` of the calibrated scores by each feature.

    Args:
        scores: Scores `(n,)` of the same rows by each feature.
        weights: Weights of the features; they need not sum to 1.

    Raises:
        BadWeights: A weight is negative or not finite, or all are zero.
    """
    weights = check_weights(weights)
    total = sum(weights)
    shares = [weight / total for weight in weights]
    mean = sum(share * score for share, score in zip(shares, scores, strict=True))
    return np.asarray(mean / sum(shares))  # whose sum is 1 up to rounding: so scores of 1 give exactly 1


def reciprocal_rank_fusion(scores: Sequence[Numbers], weights: Sequence[float]) -> Numbers:
    """Fuse scores by reciprocal rank fusion (Cormack et al. 2009, doi:10.1145/1571941.1572114).

    The result is the weighted mean of 61 / (60 + rank), which is 1 for a row that is first by every feature. Ranks are
    those among the given rows; equal scores have the better rank.
    """
    return fuse([(_RRF + 1) / (_RRF + 1 + np.searchsorted(np.sort(-score), -score)) for score in scores], weights)


def distribution_based_score_fusion(scores: Sequence[Numbers], weights: Sequence[float]) -> Numbers:
    """Fuse scores by their distribution: mean - 3σ of the given rows is mapped to 0, and mean + 3σ to 1.

    The result is a weighted mean and may leave [0, 1]. If it were clipped, the nearest rows, which lie beyond 3σ, would
    all be equal.
    """
    return fuse([_standardise(score) for score in scores], weights)


def _standardise(score: Numbers) -> Numbers:
    is_known = np.isfinite(score)  # not for rows with nothing to compare, which count as the lowest others
    score = np.where(is_known, score, score[is_known].min(initial=0))
    spread = 6 * float(score.std()) if len(score) else 0.0
    is_constant = spread <= 1e-9 * float(np.abs(score).max(initial=0))  # up to rounding
    return np.full(len(score), 0.5) if is_constant else (score - score.mean()) / spread + 0.5


FUSIONS: dict[str, Callable[[Sequence[Numbers], Sequence[float]], Numbers]] = {
    "score": fuse,
    "rrf": reciprocal_rank_fusion,
    "dbsf": distribution_based_score_fusion,
}


def maximal_marginal_relevance(
    scores: Numbers, similarity: Callable[[int], Numbers], count: int, diversity: float
) -> NDArray[np.int64]:
    """Select rows that have high scores and differ from one another.

    Maximal marginal relevance (Carbonell & Goldstein 1998, doi:10.1145/290941.291025), with λ = `1 - diversity`.

    Args:
        scores: Scores of the rows, best first `(n,)`.
        similarity: Returns the similarity of a row to all rows `(n,)`, on the scale of the scores.
        count: Number of rows to select.
        diversity: 0 to 1.

    Returns:
        Positions of the selected rows, in the order of selection `(min(count, n),)`.
    """
    nearest, is_free = np.zeros(len(scores)), np.ones(len(scores), dtype=bool)
    selected: list[int] = []
    while len(selected) < min(count, len(scores)):
        relevance = np.where(is_free, (1 - diversity) * scores - diversity * nearest, -np.inf)
        selected.append(int(np.argmax(relevance)))
        is_free[selected[-1]] = False
        nearest = np.maximum(nearest, similarity(selected[-1]))
    return np.array(selected, dtype=np.int64)


def check_weights(weights: Sequence[object]) -> list[float]:
    """Convert weights to floats, and check that they define a weighted mean.

    Raises:
        BadWeights: A weight is negative or not a finite number, or all are zero, or their sum is infinite.
    """
    numbers = [number for number in map(finite_number, weights) if number is not None and number >= 0]
    if len(numbers) < len(weights) or not any(numbers) or not math.isfinite(sum(numbers)):
        raise BadWeights(f"weights are {shorten(list(weights))}; they must be 0 or more, finite, and not all 0")
    return numbers
