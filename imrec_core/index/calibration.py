"""Calibration: false match rates and scores of distances, from the distances of random pairs of images.

A distance of 0.3 has no meaning by itself: it is small for one feature and large for another. The share of random pairs
of images that are at least as close, the false match rate, is comparable between features and lakes. The score is one
minus its fifth root. A score of 0.9 means that one random pair in 100,000 is as close, 0.75 one in 1,000, and 0.6 one
in 100; random pairs score 0.17 on average. The root spreads small rates, where hits lie, so that a mean of scores gives
weight to the feature with the rarest distance. With edited copies of 200 photos, a mix of seven features found 0.992
with cube roots and 0.996 with fifth roots; retrieval by class was better too (2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHOWN_RATES = (0.1, 0.01, 0.001)
"""False match rates whose thresholds are displayed."""

_ROOT = 5
_NOISE = 1e-3  # smaller distances are rounding errors
_RATES = np.unique(np.concatenate([np.logspace(-5, -1, 33), np.linspace(0.1, 1.0, 19)]))
_TAIL_RATES = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
_PERCENT = np.arange(101)  # of positive pairs; the ends are the minimum and maximum


@dataclass(frozen=True)
class PositivePairs:
    """Distribution of the distances between edited copies and their originals.

    Attributes:
        count: Number of pairs.
        distances: Percentiles, without repetitions, ascending.
        shares: Share of the pairs up to each distance; ascending, up to 1, or less if some have nothing to compare.
    """

    count: int
    distances: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, distances: NDArray[np.float32]) -> PositivePairs:
        """Compute the distribution from the distances of one or more pairs, in any order."""
        ordered = np.sort(distances.astype(np.float64))
        at = -(-_PERCENT * len(ordered) // 100)  # rounds up in integers, without floating-point errors
        knots = np.unique(ordered[at.clip(1) - 1])
        knots = knots[np.isfinite(knots)]
        shares = np.searchsorted(ordered, knots, side="right") / len(ordered)
        return cls(len(ordered), tuple(knots.tolist()), tuple(shares.tolist()))


@dataclass(frozen=True)
class Calibration:
    """Distribution of the distances of random pairs of images.

    Attributes:
        distances: Ascending, starting with 0.
        rates: False match rate at each distance: share of random pairs at least as close; ascending from 0 to 1.
        positive_pairs: Distribution for edited copies; None if none were made.
    """

    distances: tuple[float, ...]
    rates: tuple[float, ...]
    positive_pairs: PositivePairs | None = None

    @classmethod
    def of(cls, distances: NDArray[np.float32], *, least_rate: float = 0.0) -> Calibration:
        """Compute the distribution from the distances of random pairs, in any order.

        Below the smallest measured rate, the fifth root of the rate falls linearly with the distance, to 0 at distance
        0. At thresholds of 0.01 and 0.001 from samples of 50 to 250 photos, 0.9 to 1.4 times the rate of other photos
        passed; from samples of 20, up to 4.5 times (`make bench ARGS=cut`).

        Args:
            least_rate: Smallest rate to take from the distances, for small samples and for those with many copies.

        Pairs with nothing to compare are infinitely far. They count as the farthest of the others.
        """
        is_known = np.isfinite(distances)
        distances = np.where(is_known, distances, distances[is_known].max() if is_known.any() else np.float32(1))
        ordered = np.sort(distances.astype(np.float64))
        at = np.ceil(_RATES * len(ordered)).astype(int).clip(1, len(ordered)) - 1
        knots = np.unique(ordered[at])
        rates = np.searchsorted(ordered, knots, side="right") / len(ordered)
        if not knots[-1]:  # all images are copies: any other image gets a rate of 1
            return cls((0.0, _NOISE), (0.0, 1.0))
        positive = (knots > 0) & (rates >= min(least_rate, rates[-1]))
        return cls((0.0, *knots[positive].tolist()), (0.0, *rates[positive].tolist()))

    def with_normal_tail(self, distances: NDArray[np.float32], rate: float) -> Calibration:
        """Return a calibration whose rates below `rate` are those of a normal distribution.

        For means of several scores, which are nearly normal, where most images are repeated. The distribution has the
        median of the distances, and their quantile at `rate`.

        Args:
            distances: The distances `(pairs,)` that the calibration was computed from.
            rate: Smallest rate to keep, above 0 and below 0.5.
        """
        median, edge = np.quantile(distances.astype(np.float64), [0.5, rate])
        deviations = [NormalDist().inv_cdf(r) / NormalDist().inv_cdf(rate) for r in _TAIL_RATES]
        knots = zip(median + (edge - median) * np.array(deviations), _TAIL_RATES, strict=True)
        tail = [(float(distance), r) for distance, r in knots if r < rate and 0 < distance < self.distances[1]]
        body = list(zip(self.distances, self.rates, strict=True))
        all_distances, rates = zip(body[0], *tail, *body[1:], strict=True)
        return replace(self, distances=all_distances, rates=rates)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Calibration:
        """Read a calibration from the entry of a feature and metric in `generation.json`."""
        pairs = stored.get("true_pairs")
        positive = PositivePairs(pairs["count"], tuple(pairs["distances"]), tuple(pairs["shares"])) if pairs else None
        return cls(tuple(stored["distances"]), tuple(stored["rates"]), positive)

    @property
    def farthest(self) -> float:
        """The largest distance of random pairs, at which the score is 0."""
        return self.distances[-1]

    def score(self, distances: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert distances to scores: 1 for identical vectors, 0 at the largest distance of random pairs."""
        return np.asarray(np.interp(distances, self.distances, 1 - np.power(self.rates, 1 / _ROOT)))

    def false_match_rate(self, distances: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute the share of random pairs at least as close; its fifth root is interpolated linearly."""
        return rate_of(self.score(distances))

    def threshold(self, rate: float) -> float:
        """Compute the maximum distance at a false match rate, the inverse of `false_match_rate`."""
        return float(np.interp(rate ** (1 / _ROOT), np.power(self.rates, 1 / _ROOT), self.distances))

    def true_match_rate(self, rate: float) -> float | None:
        """Compute the share of positive pairs within the threshold of a false match rate.

        The result is a lower bound, at most 0.01 too low, because only percentiles are stored. None without such pairs.
        """
        if self.positive_pairs is None:
            return None
        passing = self.false_match_rate(np.array(self.positive_pairs.distances)) <= rate
        return max((s for s, passes in zip(self.positive_pairs.shares, passing, strict=True) if passes), default=0.0)


def rate_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert scores to false match rates."""
    return np.asarray((1 - scores) ** _ROOT)
