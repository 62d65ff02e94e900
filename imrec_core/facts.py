"""Plain facts of how a picture looks, to filter and sort by: how bright it is, how sharp, whether it has colours.

They become columns of the images table and of a generation's rows. What describes a picture for comparing it with
others is a feature instead.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch, Pixels

MIN_SIDE = 256  # a shrunk decode to this leaves the sharpness what it is, to 30 % (nine of ten photos, 2026-11)

_SIDE = 128  # pixels of the shorter side that sharpness is measured at
_COLOURED = 2  # levels of 32 between the strongest and the faintest channel of a colour that is seen as one
_SPECKS = 0.001  # share of coloured pixels that a grey picture may have


def measure(batch: ImageBatch) -> dict[str, NDArray[Any]]:
    """Facts of each picture, by column.

    - `brightness`: mean luma, 0 to 1.
    - `contrast`: its standard deviation (RMS contrast, Peli 1990, doi:10.1364/JOSAA.7.002032), 0 to 0.5.
    - `entropy`: of its histogram, in bits, 0 to 8.
    - `sharpness`: variance of its Laplacian (Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548), luma from 0 to
      255, the shorter side shrunk to 128 pixels so that pictures of all sizes compare; smaller ones as they are.
    - `is_grey`: no visible colour: at most 0.1 % of the pixels have channels 16 or more of 256 apart. From 8 on they
      may count, by where they fall between the 32 levels of `ImageBatch.colour_counts`.
    """
    shares = np.array([_luma_shares(grey) for grey in batch.grey]).reshape(-1, 256)
    levels = np.arange(256) / 255
    brightness = shares @ levels
    contrast = np.sqrt((shares * (levels - brightness[:, None]) ** 2).sum(axis=1))
    entropy = -(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(axis=1)
    counts = batch.colour_counts.reshape(-1, 32**3)
    return {
        "brightness": brightness.astype(np.float32),
        "contrast": contrast.astype(np.float32),
        "entropy": np.abs(entropy).astype(np.float32),  # of one grey it is -0.0
        "sharpness": np.array([_sharpness(grey) for grey in batch.grey], np.float32),
        "is_grey": counts @ _coloured_cells() <= _SPECKS * counts.sum(axis=1),
    }


def _luma_shares(grey: Pixels) -> NDArray[np.float64]:
    import cv2

    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    return counts.astype(np.float64) / grey.size


def _sharpness(grey: Pixels) -> float:
    import cv2

    deviation = cv2.meanStdDev(cv2.Laplacian(_shrunk(grey), cv2.CV_16S))[1]
    return float(deviation[0, 0]) ** 2


def _shrunk(grey: Pixels) -> Pixels:
    """The picture with a shorter side of 128 at most.

    By whole numbers to no less than 256, then by a box as wide as what one pixel becomes (1 to 4) and interpolation:
    a third of the time of OpenCV's area averaging, which it is close to (2026-11).
    """
    import cv2

    whole = min(grey.shape) // (2 * _SIDE)
    if whole > 1:
        height, width = (length // whole for length in grey.shape)
        grey = _resized(grey[: height * whole, : width * whole], width, height, cv2.INTER_AREA)
    factor = min(grey.shape) / _SIDE
    if factor <= 1:
        return grey
    box = np.clip((factor - np.array([3, 1, -1, 1, 3])) / 2, 0, 1).astype(np.float32)
    box /= box.sum()
    width, height = (max(round(length / factor), 1) for length in grey.shape[::-1])
    return _resized(cv2.sepFilter2D(grey, -1, box, box), width, height, cv2.INTER_LINEAR)


def _resized(grey: NDArray[Any], width: int, height: int, interpolation: int) -> Pixels:
    import cv2

    return np.asarray(cv2.resize(grey, (width, height), interpolation=interpolation), np.uint8)


@functools.cache
def _coloured_cells() -> NDArray[np.float32]:
    """1 for each cell of `ImageBatch.colour_counts` whose channels are apart, else 0 `(32³,)`."""
    channels = np.indices((32, 32, 32))
    apart = channels.max(axis=0) - channels.min(axis=0)
    return np.asarray((apart >= _COLOURED).ravel(), np.float32)
