"""Conversion of numbers from users: options, JSON, TOML, Python objects."""

from __future__ import annotations

import math
from typing import SupportsFloat, SupportsIndex, cast


def finite_number(value: object) -> float | None:
    """Convert a number or its text to a float.

    Returns None for anything else, NaN, infinities and integers beyond 1e308. `float` alone accepts `nan`, `inf` and
    `1e999`, and raises three kinds of errors for the rest.
    """
    try:
        number = float(cast(str | SupportsFloat | SupportsIndex, value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def shorten(value: object) -> str:
    """Return the `repr` of a value from a user for an error message, of at most 200 characters."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more than 4,300 digits
        return "a very large number"
    return text if len(text) <= 200 else f"{text[:197]}..."
