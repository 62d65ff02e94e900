"""Words for false match rates: how close a hit is."""

from __future__ import annotations

LIKENESS = ((1e-7, "same image"), (1e-5, "very close"), (1e-3, "close"), (1e-2, "related"), (1.0, "weak"))
"""Largest false match rate of each word, the closest first."""


def likeness(rate: float) -> str:
    """Return the word for a false match rate: `same image`, `very close`, `close`, `related` or `weak`.

    One random pair of images in ten million is as close as a `same image`, one in 100,000 as a `very close` one, one in
    1,000 as a `close` one, and one in 100 as a `related` one.
    """
    return next((word for largest, word in LIKENESS if rate <= largest), LIKENESS[-1][1])
