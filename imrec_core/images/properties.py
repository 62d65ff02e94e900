"""Image properties for filters and sorting: brightness, contrast, entropy, sharpness and the absence of colour.

They are columns of the images table and of a generation's rows. Vectors that compare images belong in `features`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.images.batch import ImageBatch
from imrec_core.images.rgb import Pixels

MIN_SIDE = 256  # shrunk to this while decoding, 9 of 10 photos keep their sharpness within 30 % (2026-11)

_SIDE = 128  # pixels of the shorter side when sharpness is measured
_COLOURED = 2  # levels of 32 between the strongest and the weakest channel from which a colour is visible
_MAX_COLOURED_SHARE = 0.001  # of the pixels of a grey image


def image_properties(batch: ImageBatch) -> dict[str, NDArray[Any]]:
    """Compute the properties of each image, by column.

    - `brightness`: mean luma, 0 to 1.
    - `contrast`: standard deviation of luma (RMS contrast, Peli 1990, doi:10.1364/JOSAA.7.002032), 0 to 0.5.
    - `entropy`: entropy of the luma histogram in bits, 0 to 8.
    - `sharpness`: variance of the Laplacian (Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548) of luma from 0 to
      255. Images are first shrunk to a shorter side of 128 pixels, so that all sizes compare; smaller ones stay as is.
    - `is_grey`: no visible colour. At most 0.1 % of the pixels have channels that differ by 16 or more of 256. Between
      8 and 16 a pixel may count too, as `ImageBatch.colour_counts` has only 32 levels.
    """
    shares = np.array([_luma_histogram(grey) for grey in batch.grey]).reshape(-1, 256)
    levels = np.arange(256) / 255
    brightness = shares @ levels
    contrast = np.sqrt((shares * (levels - brightness[:, None]) ** 2).sum(axis=1))
    entropy = -(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(axis=1)
    counts = batch.colour_counts.reshape(-1, 32**3)
    return {
        "brightness": brightness.astype(np.float32),
        "contrast": contrast.astype(np.float32),
        "entropy": np.abs(entropy).astype(np.float32),  # -0.0 for a single grey
        "sharpness": np.array([_measure_sharpness(grey) for grey in batch.grey], np.float32),
        "is_grey": counts @ _coloured_cells() <= _MAX_COLOURED_SHARE * counts.sum(axis=1),
    }


def _luma_histogram(grey: Pixels) -> NDArray[np.float64]:
    import cv2

    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    return counts.astype(np.float64) / grey.size


def _measure_sharpness(grey: Pixels) -> float:
    import cv2

    deviation = cv2.meanStdDev(cv2.Laplacian(_shrink(grey), cv2.CV_16S))[1]
    return float(deviation[0, 0]) ** 2


def _shrink(grey: Pixels) -> Pixels:
    """Shrink an image to a shorter side of at most 128 pixels.

    The first step divides the size by a whole number, to no less than 256. The second applies a box filter (1 to 4
    pixels wide) and interpolates. This takes a third of the time of OpenCV's area averaging and is close to it
    (2026-11).
    """
    import cv2

    whole = min(grey.shape) // (2 * _SIDE)
    if whole > 1:
        height, width = (length // whole for length in grey.shape)
        grey = _resize(grey[: height * whole, : width * whole], width, height, cv2.INTER_AREA)
    factor = min(grey.shape) / _SIDE
    if factor <= 1:
        return grey
    box = np.clip((factor - np.array([3, 1, -1, 1, 3])) / 2, 0, 1).astype(np.float32)
    box /= box.sum()
    width, height = (max(round(length / factor), 1) for length in grey.shape[::-1])
    return _resize(cv2.sepFilter2D(grey, -1, box, box), width, height, cv2.INTER_LINEAR)


def _resize(grey: NDArray[Any], width: int, height: int, interpolation: int) -> Pixels:
    import cv2

    return np.asarray(cv2.resize(grey, (width, height), interpolation=interpolation), np.uint8)


@functools.cache
def _coloured_cells() -> NDArray[np.float32]:
    """Mark the cells of `ImageBatch.colour_counts` with visible colours by 1 `(32³,)`."""
    channels = np.indices((32, 32, 32))
    spread = channels.max(axis=0) - channels.min(axis=0)
    return np.asarray((spread >= _COLOURED).ravel(), np.float32)
