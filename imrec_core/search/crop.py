"""Boxes of crops: parsing, checks, and the pixels inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.runtime.numbers import shorten

Box = tuple[float, float, float, float]

_ROUNDING = 1e-9  # of sums of fractions
_ROUNDING_PIXELS = 1e-6  # of fractions times a size


def check_box(box: Any) -> Box:
    """Return a box of x, y, width and height as plain numbers.

    Four integers are pixels; if any number is a float, all are fractions of the width and height of the image.

    Raises:
        QueryError: The box is not four numbers, is empty, or extends beyond the image as far as is known.
    """
    numbers = list(box) if isinstance(box, Sequence | np.ndarray) and not isinstance(box, str) else []
    if len(numbers) != 4 or not all(isinstance(n, Real) and math.isfinite(n) for n in numbers):
        raise QueryError(f"the crop is {shorten(box)}; expected four numbers: x, y, width, height")
    is_pixels = all(isinstance(n, Integral) for n in numbers)
    x, y, width, height = plain = [int(n) if is_pixels else float(n) for n in numbers]
    if x < 0 or y < 0 or width <= 0 or height <= 0:
        raise QueryError(f"the crop is {shorten(tuple(plain))}; expected x, y of 0 or more, width, height above 0")
    if not is_pixels and (x + width > 1 + _ROUNDING or y + height > 1 + _ROUNDING):
        raise QueryError(
            f"the crop is {shorten(tuple(plain))}; expected integers for pixels, or fractions of which x + width and "
            "y + height are at most 1"
        )
    return x, y, width, height


def parse_box(text: str) -> Box | None:
    """Parse `x,y,w,h`; None if the text is not four numbers. Numbers with a point or an exponent are fractions."""
    words = text.split(",")
    try:
        numbers = [int(word) if word.strip().lstrip("+-").isdecimal() else float(word) for word in words]
    except ValueError:
        return None
    return check_box(numbers) if len(numbers) == 4 else None


def pixel_box(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return a box in pixels of an image: x, y, width, height. Fractions grow to whole pixels.

    Raises:
        QueryError: The box extends beyond the image.
    """
    x, y, w, h = box
    if not all(isinstance(number, int) for number in box):
        left, top = (
            min(math.floor(start * size + _ROUNDING_PIXELS), size - 1) for start, size in ((x, width), (y, height))
        )
        right = max(left + 1, min(width, math.ceil((x + w) * width - _ROUNDING_PIXELS)))
        bottom = max(top + 1, min(height, math.ceil((y + h) * height - _ROUNDING_PIXELS)))
        return left, top, right - left, bottom - top
    if x + w > width or y + h > height:
        raise QueryError(f"the crop {x},{y},{w},{h} extends beyond the image, which has {width} × {height} pixels")
    return int(x), int(y), int(w), int(h)


def crop_pixels(pixels: NDArray[np.uint8], box: Box, width: int, height: int) -> NDArray[np.uint8]:
    """Return the pixels inside a box, at least one.

    Args:
        pixels: `(h, w, channels)`, which a decoder may have shrunk.
        width, height: Size of the image that the box refers to.

    Raises:
        QueryError: The box extends beyond the image.
    """
    x, y, w, h = pixel_box(box, width, height)
    rows, columns = pixels.shape[:2]
    left, top = (min(start * size // full, size - 1) for start, size, full in ((x, columns, width), (y, rows, height)))
    right = max(left + 1, math.ceil((x + w) * columns / width))
    bottom = max(top + 1, math.ceil((y + h) * rows / height))
    return np.ascontiguousarray(pixels[top:bottom, left:right])
