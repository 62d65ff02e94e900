"""Words for false match rates: how close a hit is."""

from __future__ import annotations

_WORDS = ((1e-7, "same image"), (1e-5, "very close"), (1e-3, "close"), (1e-2, "related"))
"""Largest false match rate of each word."""


def likeness(rate: float) -> str:
    """Return the word for a false match rate: `same image`, `very close`, `close`, `related` or `weak`.

    One random pair of images in ten million is as close as a `same image`, one in 100,000 as a `very close` one, one in
    1,000 as a `close` one, and one in 100 as a `related` one.
    """
    return next((word for largest, word in _WORDS if rate <= largest), "weak")
