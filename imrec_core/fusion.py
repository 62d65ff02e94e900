"""Several distances of the same rows → one ranking."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadWeights


def fuse(scores: Sequence[NDArray[np.float64]], weights: Sequence[float]) -> NDArray[np.float64]:
    """Weighted mean of calibrated scores `(n,)` per feature; weights need not sum to 1.

    Raises:
        BadWeights: A weight is negative or not finite, or all are zero.
    """
    checked_weights(weights)
    total = sum(weights)
    return np.asarray(sum(w / total * s for w, s in zip(weights, scores, strict=True)))


def checked_weights(weights: Sequence[float]) -> None:
    """Refuse weights that cannot be averaged with.

    Raises:
        BadWeights: As above.
    """
    if any(not math.isfinite(w) or w < 0 for w in weights) or not any(weights):
        raise BadWeights(f"weights are {list(weights)}; they must be 0 or more, finite, and not all 0")
