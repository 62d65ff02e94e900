"""Cheap tests of nearly blank images, so that few of thousands of blank pages are compared in detail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from imrec_core.images.rgb import Pixels

_RANGE = 16  # levels: no window has a standard deviation above half of that, the least that `windows.py` calls detail
_VARIANCE = 2.0  # fewer than 8 of 64 blocks reach the variance of 16 that `block_agreement.py` calls texture
# Images that a tag turns are reduced from another corner: with odd sides that leaves a quarter of the correlation.
_GRAIN, _SAME_GRAIN = 0.5, 0.1  # minimum standard deviation in levels; minimum correlation of equal images


def is_plain(pixels: Pixels) -> bool:
    """Test whether an image certainly has no detail: no window with contrast, and too few blocks with texture."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    least, most, *_ = cv2.minMaxLoc(grey)
    return most - least <= _RANGE and float(cv2.meanStdDev(grey)[1].item()) ** 2 < _VARIANCE


def may_have_same_grain(a: Pixels, b: Pixels) -> bool:
    """Test whether two reduced images of one shape can come from equal pixels.

    Equal images correlate, even if one was reduced by the JPEG decoder and the other by another filter. The grain of
    two blank pages does not, though their blocks have equal levels. Without grain every pair passes.
    """
    if a.shape != b.shape:
        return True
    x, y = _centred_luma(a), _centred_luma(b)
    variances = float(x @ x) / x.size, float(y @ y) / y.size
    if min(variances) < _GRAIN**2:
        return True
    return bool(x @ y >= x.size * _SAME_GRAIN * math.sqrt(variances[0] * variances[1]))


def _centred_luma(pixels: Pixels) -> Any:
    import cv2

    luma = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32).ravel()
    return luma - luma.mean()
