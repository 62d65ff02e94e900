"""Coordinates of the 32³ RGB cells of `ImageBatch.colour_counts` in RGB, HSV and CIELAB.

A cell stands for the colour at its centre. Histograms over these cells belong in `colour.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LOWEST, _HIGHEST = np.array([0.0, -86.2, -107.9]), np.array([100.0, 98.3, 94.5])  # L*, a*, b* of sRGB


@functools.cache
def rgb() -> Floats:
    """Return red, green and blue of each cell `(32³, 3)`, from 0 to 1."""
    levels = (np.arange(32) + 0.5) / 32
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


@functools.cache
def hsv() -> Floats:
    """Return hue, saturation and value of each cell `(32³, 3)`, from 0 to 1."""
    red, green, blue = rgb().T
    value, least = rgb().max(axis=1), rgb().min(axis=1)
    chroma = value - least
    with np.errstate(invalid="ignore", divide="ignore"):
        sextant = np.select(
            [chroma == 0, value == red, value == green],
            [np.zeros_like(value), (green - blue) / chroma % 6, (blue - red) / chroma + 2],
            (red - green) / chroma + 4,
        )
    return np.stack([sextant / 6, chroma / value, value], axis=1)


@functools.cache
def lab() -> Floats:
    """Return L*, a* and b* of each cell `(32³, 3)` for the white point D65 of sRGB."""
    linear = np.where(rgb() <= 0.04045, rgb() / 12.92, ((rgb() + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    relative = linear @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@functools.cache
def scaled_lab() -> Floats:
    """Return L*, a* and b* of each cell `(32³, 3)`, scaled by their range in sRGB."""
    return np.asarray((lab() - _LOWEST) / (_HIGHEST - _LOWEST))


SPACES: dict[str, Callable[[], Floats]] = {"rgb": rgb, "hsv": hsv, "lab": scaled_lab}
FINEST = {"rgb": 256, "hsv": 36, "lab": 32}
"""Maximum levels per channel. For HSV and CIELAB, the 32³ cells cannot distinguish more."""
