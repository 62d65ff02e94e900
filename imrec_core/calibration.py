"""A distance → how rare it is among random pairs of the gallery, and from that a score.

A distance of 0.3 says nothing by itself: it is near for one feature and far for another. What it means is how
many random pairs of the gallery are at least as close. That share, the false match rate, is comparable between
features and galleries. The score is one minus its cube root: 0.9 says that one random pair in a thousand is as
close, 0.5 one in eight; a random pair itself scores about 0.2. The root spreads the rare end, where hits lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NOISE = 1e-3  # distances below are rounding
_RATES = np.unique(np.concatenate([np.logspace(-5, -1, 33), np.linspace(0.1, 1.0, 19)]))


@dataclass(frozen=True)
class Calibration:
    """How the distances of random pairs are distributed.

    Attributes:
        distances: Ascending, beginning with 0.
        rates: Share of random pairs that are at least as close; ascending, 0 for distance 0, then up to 1.
    """

    distances: tuple[float, ...]
    rates: tuple[float, ...]

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

    def score(self, distances: NDArray[np.float32]) -> NDArray[np.float64]:
        """1 for identical vectors, 0 for the farthest of random pairs; falls as the distance rises."""
        return np.asarray(np.interp(distances, self.distances, 1 - np.cbrt(self.rates)))

    def false_match_rate(self, distances: NDArray[np.float32]) -> NDArray[np.float64]:
        """Share of random pairs at least as close; between the stored distances its cube root is linear."""
        return np.asarray((1 - self.score(distances)) ** 3)
