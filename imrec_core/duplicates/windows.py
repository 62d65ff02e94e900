"""Windows: how two images of one size differ in small windows, and how much of that a loss of detail explains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.duplicates.block_agreement import Flags, Floats

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]

CELL = 3
"""Pixels along a side of a cell; a window has 3×3 of them, and there is one around each cell."""

FITTING_LOSS = 0.25
"""Largest median loss of two images that fit."""

LARGEST_LOSS = 0.55
"""Largest loss of a window with the same content in both images."""

_CELLS = 3  # along a side of a window; neighbouring windows share two thirds of their pixels
_FLAT = 4.0  # standard deviation in levels, below which a window has no contrast
_CONTRASTS = _FLAT * 2.0 ** np.arange(6)  # edges of bins, to predict the loss
_LOSS, _LEAST_IN_BIN = 0.75, 20  # quantile; minimum number of windows
_STEPS, _MOST_LOSS = 128, 2.0  # resolution and range of the loss in the histogram
_TIMES = 3.0  # minimum difference of another content, as a multiple of the predicted difference
_STRONG, _AS_STRONG = 32.0, 0.5  # contrast of strong detail in levels; share of it that the other image must have
_STRONG_BINS = slice(int(np.digitize(_STRONG, _CONTRASTS)), None)
_TIMES_OF_MEDIAN = 4.0  # loss of strong detail, at most, as a multiple of the median
_SPARSE = 0.1  # share of windows with contrast
_CORRELATION = 0.6  # of strong detail, below which it contradicts
_VISIBLE, _FAINTER, _FADED = 2.0, 0.7, 0.85  # contrast in levels, and as a share of the other; minimum correlation
_DETAIL, _NOISE = 8.0, 4.0  # minimum contrast of a detail in levels, and as a multiple of the median window


@dataclass(frozen=True)
class Windows:
    """Windows of two images of one size.

    Attributes:
        difference: Standard deviation of the difference, in levels.
        contrast: Standard deviation of the luma of the image that has more of it.
        weaker: Standard deviation of the luma of the other image.
    """

    difference: Floats
    contrast: Floats
    weaker: Floats

    @cached_property
    def loss(self) -> Floats:
        """Difference as a share of the contrast."""
        return np.asarray(self.difference / np.maximum(self.contrast, 1e-3), np.float32)

    @cached_property
    def bins(self) -> Counts:
        """Bin of the contrast; 0 for flat windows."""
        return np.asarray(np.digitize(self.contrast, _CONTRASTS), np.int64)

    @cached_property
    def histogram(self) -> Counts:
        """Cumulative number of windows by bin and loss."""
        steps = np.minimum(self.loss * (_STEPS / _MOST_LOSS), _STEPS - 1).astype(np.int64)
        size = (len(_CONTRASTS) + 1) * _STEPS
        counts = np.bincount((self.bins * _STEPS + steps).ravel(), minlength=size)
        return np.asarray(counts.reshape(-1, _STEPS).cumsum(axis=1), np.int64)

    @property
    def median_loss(self) -> float | None:
        """Median of the windows with contrast; None if there are none."""
        counts = self.histogram[1:].sum(axis=0)
        return float(_quantiles(counts[None], 0.5)[0]) if counts[-1] else None

    @property
    def contradiction(self) -> float:
        """Share of the windows with strong contrast in both images whose contents do not correlate."""
        is_strong = (self.contrast > _STRONG) & (self.weaker > _AS_STRONG * self.contrast)
        count = int(is_strong.sum())
        if count < _LEAST_IN_BIN:
            return 0.0
        return float((self.correlation[is_strong] < _CORRELATION).sum()) / count

    @cached_property
    def correlation(self) -> Floats:
        """Correlation of the two images."""
        covariance = (self.contrast**2 + self.weaker**2 - self.difference**2) / 2
        return np.asarray(covariance / np.maximum(self.contrast * self.weaker, 1e-3), np.float32)

    @property
    def is_faded(self) -> Flags:
        """Windows with the same content in both images, fainter in one of them."""
        is_fainter = (self.weaker > _VISIBLE) & (self.weaker < _FAINTER * self.contrast)
        return np.asarray(is_fainter & (self.correlation > _FADED))

    @property
    def has_detail(self) -> Flags:
        """Windows whose contrast is above the noise of the image."""
        return np.asarray(self.contrast > max(_DETAIL, _NOISE * float(np.median(self.contrast))))

    def strength(self, least: float) -> Floats:
        """Compute the difference as a multiple of the smallest that means another content; `least` is in levels."""
        most_loss, most_difference = self._predict()
        explained = np.minimum(most_loss[self.bins] * self.contrast, most_difference[self.bins])
        if (self.bins > 0).mean() < _SPARSE:  # blur takes strong detail from a pattern, but not from a dot
            explained[(self.contrast > _STRONG) & (self.weaker < _VISIBLE)] = 0
        needed = np.maximum(np.maximum(_TIMES * explained, LARGEST_LOSS * self.contrast), least)
        is_counted = (self.bins > 0) & ~self.is_faded
        return np.where(is_counted, self.difference / needed, 0).astype(np.float32)

    @property
    def _most_loss_of_strong_detail(self) -> float:
        return max(_TIMES_OF_MEDIAN * (self.median_loss or 0.0), FITTING_LOSS)

    def _predict(self) -> tuple[Numbers, Numbers]:
        """Predict the loss and the difference per bin, as the smallest that the other bins allow.

        The loss does not increase with the contrast, and the difference does not decrease. Detail that is weaker than
        that of all bins with enough windows may be lost.
        """
        enough = self.histogram[:, -1] >= _LEAST_IN_BIN
        enough[0] = False
        losses = np.where(enough, _quantiles(self.histogram, _LOSS), np.inf)
        most_loss = np.minimum.accumulate(losses)
        # Of images with little detail, half may be missing in one image: then its loss is no prediction.
        most_loss[_STRONG_BINS] = np.minimum(most_loss[_STRONG_BINS], self._most_loss_of_strong_detail)
        differences = losses[1:] * _CONTRASTS * 2**0.5  # at the middle of the bin
        most_difference = np.minimum.accumulate(differences[::-1])[::-1]
        most_loss = np.where(np.isinf(most_loss), 1.0 if enough.any() else FITTING_LOSS, most_loss)
        return most_loss, np.append(np.inf, most_difference)


def measure_windows(a: Floats, b: Floats) -> Windows:
    """Measure the windows of two grey images of one size `(h, w)`."""
    mean_a, mean_b = window_means(a), window_means(b)
    variance_a = window_means(a * a) - mean_a * mean_a
    variance_b = window_means(b * b) - mean_b * mean_b
    difference = variance_a + variance_b - 2 * (window_means(a * b) - mean_a * mean_b)
    squares = difference, np.maximum(variance_a, variance_b), np.minimum(variance_a, variance_b)
    return Windows(*(np.sqrt(np.maximum(square, 0)) for square in squares))


def window_means(values: Floats) -> Floats:
    """Compute the means of all windows, one per cell."""
    return average_cells(shrink(values, CELL))


def average_cells(cells: Floats) -> Floats:
    """Compute the means of windows around each cell."""
    import cv2

    return np.asarray(cv2.blur(cells, (_CELLS, _CELLS), borderType=cv2.BORDER_REPLICATE), np.float32)


def _quantiles(histogram: Counts, share: float) -> Numbers:
    """Compute a quantile of each row of a cumulative histogram of losses; 0 for an empty row."""
    steps = (histogram < share * histogram[:, -1:]).sum(axis=1)
    return np.asarray((steps + 0.5) * (_MOST_LOSS / _STEPS))


def shrink(values: Any, divisor: int) -> Any:
    """Average squares of pixels; incomplete ones at the border are left out, as OpenCV is fast at whole factors."""
    import cv2

    height, width = (side - side % divisor if side > divisor else side for side in values.shape[:2])
    size = max(width // divisor, 1), max(height // divisor, 1)
    return cv2.resize(values[:height, :width], size, interpolation=cv2.INTER_AREA)
