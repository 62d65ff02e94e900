"""A distance → how rare it is among random pairs of the gallery, and from that a score.

A distance of 0.3 says nothing by itself: it is near for one feature and far for another. What it means is how
many random pairs of the gallery are at least as close. That share, the false match rate, is comparable between
features and galleries. The score is one minus its fifth root: 0.9 says that one random pair in a hundred thousand is
as close, 0.75 one in a thousand, 0.6 one in a hundred; a random pair itself scores 0.17 on average. The root spreads
the rare end, where hits lie: a mean of scores then heeds the feature that is sure. Of edited copies of 200 photos a mix
of seven features found 0.992 by cube roots and 0.996 by fifth roots, and by class it was better too (2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHOWN_RATES = (0.1, 0.01, 0.001)
"""False match rates for which people are shown what a cut there keeps."""

_ROOT = 5
_NOISE = 1e-3  # distances below are rounding
_RATES = np.unique(np.concatenate([np.logspace(-5, -1, 33), np.linspace(0.1, 1.0, 19)]))
_PERCENT = np.arange(101)  # of true pairs; the ends say that none is nearer, and none farther


@dataclass(frozen=True)
class TruePairs:
    """How far edited copies are from their originals.

    Attributes:
        count: Pairs that were measured.
        distances: Quantiles, one for each hundredth, equal ones once; ascending.
        shares: Share of the pairs that are at most that far; ascending, up to 1.
    """

    count: int
    distances: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, distances: NDArray[np.float32]) -> TruePairs:
        """From the distances of one pair or more, in any order."""
        ordered = np.sort(distances.astype(np.float64))
        at = -(-_PERCENT * len(ordered) // 100)  # rounded up, in whole numbers: no share is a bit off
        knots = np.unique(ordered[at.clip(1) - 1])
        shares = np.searchsorted(ordered, knots, side="right") / len(ordered)
        return cls(len(ordered), tuple(knots.tolist()), tuple(shares.tolist()))


@dataclass(frozen=True)
class Calibration:
    """How the distances of random pairs are distributed.

    Attributes:
        distances: Ascending, beginning with 0.
        rates: Share of random pairs that are at least as close; ascending, 0 for distance 0, then up to 1.
        true_pairs: Those of edited copies, where some were made.
    """

    distances: tuple[float, ...]
    rates: tuple[float, ...]
    true_pairs: TruePairs | None = None

    @classmethod
    def of(cls, distances: NDArray[np.float32]) -> Calibration:
        """From the distances of random pairs, in any order."""
        ordered = np.sort(distances.astype(np.float64))
        at = np.ceil(_RATES * len(ordered)).astype(int).clip(1, len(ordered)) - 1
        knots = np.unique(ordered[at])
        rates = np.searchsorted(ordered, knots, side="right") / len(ordered)
        if not knots[-1]:  # a gallery of copies: whatever is not one is as far as can be
            return cls((0.0, _NOISE), (0.0, 1.0))
        positive = knots > 0
        return cls((0.0, *knots[positive].tolist()), (0.0, *rates[positive].tolist()))

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Calibration:
        """As a generation has noted it."""
        pairs = facts.get("true_pairs")
        true_pairs = TruePairs(pairs["count"], tuple(pairs["distances"]), tuple(pairs["shares"])) if pairs else None
        return cls(tuple(facts["distances"]), tuple(facts["rates"]), true_pairs)

    def score(self, distances: NDArray[np.float32]) -> NDArray[np.float64]:
        """1 for identical vectors, 0 for the farthest of random pairs; falls as the distance rises."""
        return np.asarray(np.interp(distances, self.distances, 1 - np.power(self.rates, 1 / _ROOT)))

    def false_match_rate(self, distances: NDArray[np.float32]) -> NDArray[np.float64]:
        """Share of random pairs at least as close; between the stored distances its fifth root is linear."""
        return rate_of(self.score(distances))

    def cut(self, rate: float) -> float:
        """The distance that a cut at a false match rate lets through at most; the inverse of `false_match_rate`."""
        return float(np.interp(rate ** (1 / _ROOT), np.power(self.rates, 1 / _ROOT), self.distances))

    def true_match_rate(self, rate: float) -> float | None:
        """Share of true pairs that a cut at a false match rate keeps; None where none were made.

        Never too high, and too low by a hundredth at most: what lies between two quantiles is not known.
        """
        if self.true_pairs is None:
            return None
        passing = self.false_match_rate(np.array(self.true_pairs.distances)) <= rate
        return max((s for s, passes in zip(self.true_pairs.shares, passing, strict=True) if passes), default=0.0)


def rate_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The false match rate that scores stand for."""
    return np.asarray((1 - scores) ** _ROOT)
