"""Conversion of grey of more than 8 bits to 8 bits, by one rule for each kind of values.

- A range that the file declares counts (TIFF: MinSampleValue, MaxSampleValue, SMinSampleValue, SMaxSampleValue).
- Integers of at most 16 bits: 16 bits of range (15 if they are signed), or the smallest of 8, 10, 12 and 14 bits that
  holds all values. Sensors have these depths and write them into 16 bits; masks often need 8. The highest 8 of these
  bits are kept.
- Larger integers: the full range of 32 bits if values above a quarter of it occur, else from the smallest to the
  largest value.
- Floating-point numbers: 0 to 1 or 0 to 255, the smaller that holds all values, else from the smallest to the largest.
  What is not finite is black.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_DEPTHS, _SIGNED_DEPTHS = (8, 10, 12, 14, 16), (8, 10, 12, 14, 15)
_UNSIGNED_32 = 2**32 - 1


def to_8_bit(values: NDArray[Any], declared: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Convert grey values of any type to 8 bits.

    Args:
        declared: Value of black and of white, where the file names them.
    """
    low, high = value_range(values, declared)
    if (low, high) != declared and values.dtype.kind != "f" and low == 0 and high < 2**16:
        return np.asarray(values >> (int(high).bit_length() - 8), np.uint8)
    return _stretch(values, low, high)


def value_range(values: NDArray[Any], declared: tuple[float, float] | None = None) -> tuple[float, float]:
    """Return the values that become black and white; `declared` as for `to_8_bit`."""
    if declared is not None and declared[0] < declared[1]:
        return declared
    if values.dtype.kind == "f":
        return _range_of_floats(values)
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high < 2**16:
        depths = _SIGNED_DEPTHS if values.dtype == np.int16 else _DEPTHS
        return 0, 2 ** next(bits for bits in depths if high < 2**bits) - 1
    return (0, _UNSIGNED_32) if low >= 0 and high > _UNSIGNED_32 // 4 else (low, high)


def _range_of_floats(values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return next(((0.0, top) for top in (1.0, 255.0) if low >= 0 and high <= top), (low, high))


def _stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map the range to 0 to 255; what is outside becomes black or white."""
    scaled = (values.astype(np.float64) - low) * (255 / max(high - low, 1e-300))
    finite = np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.rint(np.clip(finite, 0, 255)), np.uint8)
