"""Which colours a picture has, wherever they stand.

All histograms are read off one count of the picture's colours, 32 levels of red, green and blue, which a batch
makes once (`ImageBatch.colour_counts`): another colour space costs one more table, not one more pass.
"""

from __future__ import annotations

import functools

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch
from imrec_core.features.declare import feature
from imrec_core.metrics import cosine, euclidean, hellinger, manhattan

Matrix = NDArray[np.float32]

_METRICS = (hellinger, euclidean, manhattan, cosine)


@feature(dims=512, metrics=_METRICS, source="Swain & Ballard 1991, doi:10.1007/BF00130487")
def rgb_histogram(batch: ImageBatch) -> Matrix:
    """Joint histogram of red, green and blue, 8 levels each.

    Returns `(n, 512)`, red slowest, blue fastest; a row sums to 1.
    """
    counts = batch.colour_counts.reshape(len(batch), 8, 4, 32 * 32).sum(axis=2)
    counts = counts.reshape(len(batch), 8, 8, 4, 32).sum(axis=3) @ np.repeat(np.eye(8, dtype=np.float32), 4, axis=0)
    return _shares(counts.reshape(len(batch), 512))


@feature(
    dims=256, metrics=_METRICS, source="16 hues, 4 saturations, 4 values; Smith & Chang 1996, doi:10.1117/12.234785"
)
def hsv_histogram(batch: ImageBatch) -> Matrix:
    """Joint histogram of hue (16 levels), saturation (4) and value (4).

    Returns `(n, 256)`, hue slowest, value fastest; a row sums to 1. A colour is taken at the middle of its 32³ cell.
    """
    return _shares((_hsv_bins() @ batch.colour_counts.reshape(len(batch), -1).T).T)


@functools.cache
def _hsv_bins() -> scipy.sparse.csr_array:
    """Which HSV bin each cell of the 32³ colour cube falls into: a 0/1 matrix `(256, 32768)`."""
    levels = (np.arange(32) + 0.5) / 32
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    value, least = rgb.max(axis=1), rgb.min(axis=1)
    chroma = value - least
    red, green, blue = rgb.T
    with np.errstate(invalid="ignore", divide="ignore"):
        sextant = np.select(
            [chroma == 0, value == red, value == green],
            [np.zeros_like(value), (green - blue) / chroma % 6, (blue - red) / chroma + 2],
            (red - green) / chroma + 4,
        )
    hue, saturation = sextant / 6, chroma / value
    levels_of = [np.minimum((x * n).astype(np.intp), n - 1) for x, n in ((hue, 16), (saturation, 4), (value, 4))]
    bins = (levels_of[0] * 4 + levels_of[1]) * 4 + levels_of[2]
    ones = np.ones(len(bins), np.float32)
    return scipy.sparse.csr_array((ones, (bins, np.arange(len(bins)))), shape=(256, len(bins)))


def _shares(counts: Matrix) -> Matrix:
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
