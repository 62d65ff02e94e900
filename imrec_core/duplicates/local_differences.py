"""Local differences of two copies of one image: another number on an invoice, a moved piece, an added caption.

Both images are brought to one size and one brightness and contrast, and compared in small windows. Encoding, resizing
and blurring lose detail everywhere, weak detail first, so the loss in windows of less contrast bounds the loss in
windows of more. A window that differs by a multiple of that, and by more than half of its contrast, has another content.
Images whose fine detail does not agree are compared at half, a quarter ... of their size, until most windows agree.

Added, removed and moved content is found; gradual changes of light and lost texture are not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from imrec_core.duplicates.alignment import align
from imrec_core.duplicates.block_agreement import Flags, Floats
from imrec_core.images.decode import Pixels

_CELL, _CELLS = 3, 3  # pixels along a side of a cell, cells along a side of a window; windows overlap by two cells
_SIZES, _COARSER = 6, 2  # sizes that are tried, each half of the one before; coarser sizes that are compared as well
_LEAST_SIDE = 8  # pixels of the shorter side of the coarsest size
_FITS = 0.25  # largest median difference of two images that fit, as a share of the contrast of a window
_FLAT = 4.0  # standard deviation in levels, below which a window has no contrast
_CONTRASTS = _FLAT * 2.0 ** np.arange(6)  # edges of bins, to predict the loss
_LOSS, _LEAST_IN_BIN = 0.75, 20  # quantile; minimum number of windows
_STEPS, _MOST_LOSS = 128, 2.0  # resolution and range of the loss in the histogram
_DIFFERENCE, _PER_SIZE = 7.0, 0.25  # minimum difference in levels; its increase with each size that does not fit
_ALIGNED, _RESAMPLED = 0.6, 1.3  # largest loss after alignment, as a share of that before; increase of the difference
_TIMES, _RATIO = 3.0, 0.55  # minimum difference as a multiple of the predicted loss, and as a share of the contrast
_CHROMA, _CHROMA_TIMES, _TINT = 20.0, 4.0, 0.9  # as above, for the mean colour of a window; quantile
_STRONG, _AS_STRONG = 32.0, 0.5  # contrast of strong detail in levels; share of it that the other image must have
_CORRELATION, _CONTRADICTION = 0.6, 0.15  # largest correlation; largest share of such windows below full size, where
# JPEG of quality 3 leaves none, but up to 0.3 at full size (70 photos, 2026-11)
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
        return self.difference / np.maximum(self.contrast, 1e-3)

    @cached_property
    def bins(self) -> Floats:
        """Bin of the contrast; 0 for flat windows."""
        return np.digitize(self.contrast, _CONTRASTS)

    @cached_property
    def histogram(self) -> Floats:
        """Cumulative number of windows by bin and loss."""
        steps = np.minimum(self.loss * (_STEPS / _MOST_LOSS), _STEPS - 1).astype(np.int64)
        size = (len(_CONTRASTS) + 1) * _STEPS
        counts = np.bincount((self.bins * _STEPS + steps).ravel(), minlength=size)
        return counts.reshape(-1, _STEPS).cumsum(axis=1)

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
        return covariance / np.maximum(self.contrast * self.weaker, 1e-3)

    @property
    def is_faded(self) -> Flags:
        """Windows with the same content in both images, fainter in one of them."""
        is_fainter = (self.weaker > _VISIBLE) & (self.weaker < _FAINTER * self.contrast)
        return is_fainter & (self.correlation > _FADED)

    @property
    def has_detail(self) -> Flags:
        """Windows whose contrast is above the noise of the image."""
        return self.contrast > max(_DETAIL, _NOISE * float(np.median(self.contrast)))

    def strength(self, least: float) -> Floats:
        """Compute the difference as a multiple of the smallest that means another content; `least` is in levels."""
        most_loss, most_difference = self._predict()
        explained = np.minimum(most_loss[self.bins] * self.contrast, most_difference[self.bins])
        needed = np.maximum(np.maximum(_TIMES * explained, _RATIO * self.contrast), least)
        return np.where((self.bins > 0) & ~self.is_faded, self.difference / needed, 0).astype(np.float32)

    def _predict(self) -> tuple[Floats, Floats]:
        """Predict the loss and the difference per bin, as the smallest that the other bins allow.

        The loss does not increase with the contrast, and the difference does not decrease. Detail that is weaker than
        that of all bins with enough windows may be lost.
        """
        enough = self.histogram[:, -1] >= _LEAST_IN_BIN
        enough[0] = False
        losses = np.where(enough, _quantiles(self.histogram, _LOSS), np.inf)
        most_loss = np.minimum.accumulate(losses)
        differences = losses[1:] * _CONTRASTS * 2**0.5  # at the middle of the bin
        most_difference = np.minimum.accumulate(differences[::-1])[::-1]
        most_loss = np.where(np.isinf(most_loss), 1.0 if enough.any() else _FITS, most_loss)
        return most_loss, np.append(np.inf, most_difference)


@dataclass(frozen=True)
class LocalDifferences:
    """Result of a comparison in windows.

    Attributes:
        strength: Strength of the strongest region that differs; at 1 or more, it has another content.
        count: Number of regions with another content.
        place: Position of the strongest region, x and y as shares of width and height.
        fits_at: Number of halvings of the size at which the images fit; None if they fit at no size.
        contradiction: Share of the strong detail that does not correlate, at the size where it is largest.
        windows: Windows at each size that was compared.
    """

    strength: float
    count: int
    place: tuple[float, float]
    fits_at: int | None
    contradiction: float
    windows: tuple[Windows, ...]

    @property
    def contradicts(self) -> bool:
        """Whether the detail of the images differs all over, not only in regions."""
        return self.contradiction > _CONTRADICTION

    @property
    def differs(self) -> bool:
        """Whether the images differ in regions or all over."""
        return self.strength >= 1 or self.contradicts

    @property
    def typical_loss(self) -> float:
        """Median loss at full size; 0 without contrast."""
        return self.windows[0].median_loss or 0.0

    @cached_property
    def losses_of_detail(self) -> Floats:
        """Losses of the windows with detail in either image, at the size where they cover the largest area."""
        details = [some.loss[some.has_detail] for some in self.windows]
        return max(enumerate(details), key=lambda item: item[1].size << (2 * item[0]))[1]

    @property
    def agreeing(self) -> float:
        """Share of the detail that agrees; 0 if there is none."""
        losses = self.losses_of_detail
        return float((losses < _RATIO).mean()) if losses.size else 0.0


def find_local_differences(a: Pixels, b: Pixels, gain: float = 1.0, offset: float = 0.0) -> LocalDifferences:
    """Compare two images of the same shape in windows, at the size of the smaller one; symmetric.

    Args:
        gain, offset: Contrast and brightness: the luma of `b` is that of `a` · gain + offset.
    """
    first, second = _match_levels(*_resize_to_smaller(a, b), gain, offset)
    # Clipped channels are predicted the worse, the larger the change: untolerated, 3 of 58 brighter copies differ.
    tolerance = max(gain, 1 / gain) ** 3 * (1 + abs(offset) / 100)
    found = _compare(first, second, tolerance)
    if not found.differs:
        return found
    aligned = align(first, second)
    again = _compare(*aligned, tolerance) if aligned else found
    if again.typical_loss > _ALIGNED * found.typical_loss:
        return found
    return replace(again, strength=again.strength / _RESAMPLED)


def _compare(first: Pixels, second: Pixels, tolerance: float) -> LocalDifferences:
    """Compare two images of one size and of the same brightness and contrast."""
    windows, fits_at = _measure_sizes(_luma(first), _luma(second))
    finest = len(windows) - 1 if fits_at is None else fits_at
    least = _DIFFERENCE * tolerance * (1 + _PER_SIZE * finest)
    chroma = _chroma_strength(first, second, max(finest, 1)) / tolerance  # JPEG halves the size of the chroma
    strengths = [*(some.strength(least) for some in windows[finest:]), chroma]
    contradiction = max((some.contradiction for some in windows[1:]), default=0.0)
    return LocalDifferences(*max(map(_strongest_region, strengths)), fits_at, contradiction, tuple(windows))


def _measure_sizes(a: Floats, b: Floats) -> tuple[list[Windows], int | None]:
    """Measure windows at sizes down to some below that at which the images fit; also return the number of that one."""
    windows: list[Windows] = []
    fits_at = None
    while True:
        windows.append(_measure_windows(a, b))
        loss = windows[-1].median_loss
        if fits_at is None and loss is not None and loss <= _FITS:
            fits_at = len(windows) - 1
        is_last = len(windows) == _SIZES or min(a.shape) < 2 * _LEAST_SIDE
        if is_last or (fits_at is not None and len(windows) > fits_at + _COARSER):
            return windows, fits_at
        a, b = _shrink(a, 2), _shrink(b, 2)


def _strongest_region(strength: Floats) -> tuple[float, int, tuple[float, float]]:
    """Return the strength of the strongest region, the number of regions, and the position of the strongest."""
    import cv2

    # A single pixel that differs is in at least 2×2 windows; a window alone is noise.
    region = cv2.erode(strength, np.ones((2, 2), np.uint8))
    y, x = np.unravel_index(int(region.argmax()), region.shape)
    strongest = float(region[y, x])
    count = cv2.connectedComponents((region >= 1).astype(np.uint8))[0] - 1 if strongest >= 1 else 0
    return strongest, count, ((float(x) + 0.5) / region.shape[1], (float(y) + 0.5) / region.shape[0])


# -- windows ------------------------------------------------------------------------------------------------


def _measure_windows(a: Floats, b: Floats) -> Windows:
    mean_a, mean_b = _window_means(a), _window_means(b)
    variance_a = _window_means(a * a) - mean_a * mean_a
    variance_b = _window_means(b * b) - mean_b * mean_b
    difference = variance_a + variance_b - 2 * (_window_means(a * b) - mean_a * mean_b)
    squares = difference, np.maximum(variance_a, variance_b), np.minimum(variance_a, variance_b)
    return Windows(*(np.sqrt(np.maximum(square, 0)) for square in squares))


def _window_means(values: Floats) -> Floats:
    """Compute the means of all windows, one per cell."""
    import cv2

    cells = _shrink(values, _CELL)
    return np.asarray(cv2.blur(cells, (_CELLS, _CELLS), borderType=cv2.BORDER_REPLICATE), np.float32)


def _quantiles(histogram: Floats, share: float) -> Floats:
    """Compute a quantile of each row of a cumulative histogram of losses; 0 for an empty row."""
    steps = (histogram < share * histogram[:, -1:]).sum(axis=1)
    return (steps + 0.5) * (_MOST_LOSS / _STEPS)


def _chroma_strength(a: Pixels, b: Pixels, halvings: int) -> Floats:
    """Compare the mean colours of windows: one image may be paler than the other, or tinted."""
    import cv2

    for _ in range(halvings):
        a, b = _shrink(a, 2), _shrink(b, 2)
    cells = [cv2.cvtColor(_shrink(x, _CELL), cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.float32) - 128 for x in (a, b)]
    colours = [cv2.blur(x, (_CELLS, _CELLS), borderType=cv2.BORDER_REPLICATE) for x in cells]
    strong, pale = sorted(colours, key=lambda colour: -float((colour * colour).sum()))
    fading = float((strong * pale).sum()) / max(float((strong * strong).sum()), 1e-6)
    difference = pale - max(fading, 0.0) * strong
    difference = np.abs(difference - np.median(difference, axis=(0, 1))).max(axis=2)
    return np.asarray(difference / max(_CHROMA, _CHROMA_TIMES * float(np.quantile(difference, _TINT))), np.float32)


# -- one size, one brightness and contrast ------------------------------------------------------------------


def _resize_to_smaller(a: Pixels, b: Pixels) -> tuple[Pixels, Pixels]:
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    return _resize(a, width, height), _resize(b, width, height)


def _resize(pixels: Pixels, width: int, height: int) -> Pixels:
    import cv2

    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _shrink(values: Any, divisor: int) -> Any:
    """Average squares of pixels; incomplete ones at the border are left out, as OpenCV is fast at whole factors."""
    import cv2

    height, width = (side - side % divisor if side > divisor else side for side in values.shape[:2])
    size = max(width // divisor, 1), max(height // divisor, 1)
    return cv2.resize(values[:height, :width], size, interpolation=cv2.INTER_AREA)


def _match_levels(a: Pixels, b: Pixels, gain: float, offset: float) -> tuple[Pixels, Pixels]:
    """Give the image of less contrast the brightness and contrast of the other."""
    import cv2

    if gain < 1:
        a, b, gain, offset = b, a, 1 / gain, -offset / gain
    # Each channel is clipped, as in the image that was brightened.
    table = np.clip(np.rint(np.arange(256) * gain + offset), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(a, table), np.uint8), b


def _luma(pixels: Pixels) -> Floats:
    import cv2

    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
