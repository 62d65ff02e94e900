"""Words for scores: how close a hit is."""

from __future__ import annotations

import bisect

from imrec_core.index.calibration import score_of

_RATES = ((1e-7, "same image"), (1e-5, "very close"), (1e-3, "close"), (1e-2, "related"))
"""Largest false match rate of each word."""

_LIMITS = [score_of(rate) for rate, _ in reversed(_RATES)]
_WORDS = ("weak", *(word for _, word in reversed(_RATES)))


def likeness(score: float) -> str:
    """Return the word for a score: `same image`, `very close`, `close`, `related` or `weak`.

    One random pair of images in ten million scores as high as a `same image`, one in 100,000 as a `very close` one, one
    in 1,000 as a `close` one, and one in 100 as a `related` one.
    """
    return _WORDS[bisect.bisect_right(_LIMITS, score)]
