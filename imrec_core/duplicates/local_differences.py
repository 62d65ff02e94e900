"""Local differences of two copies of one image: another number on an invoice, a moved piece, an added caption.

Both images are brought to one size and one brightness and contrast, and compared in small windows. Encoding, resizing
and blurring lose detail everywhere, weak detail first, so the loss in windows of less contrast bounds the loss in
windows of more. A window that differs by a multiple of that and by more than half of its contrast has another content.
Images whose fine detail does not agree are compared at half, a quarter ... of their size, until most windows agree. If
strong detail differs all over, the images are aligned first: one of them may be slightly cropped.

Added, removed and moved content is found; gradual changes of light and lost texture are not. Of 197 photos and the
edits of `COPY_PROTOCOL`, one of 102 crops of 5 % and one of 197 copies of half the size have a false difference, and no
other copy whose blocks agree; all 197 captions are found (2026-11).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from imrec_core.duplicates.alignment import align
from imrec_core.duplicates.block_agreement import Floats
from imrec_core.duplicates.windows import (
    CELL,
    FITTING_LOSS,
    LARGEST_LOSS,
    Windows,
    average_cells,
    measure_windows,
    shrink,
)
from imrec_core.images.rgb import Pixels

_SIZES, _COARSER = 6, 2  # sizes that are tried, each half of the one before; coarser sizes that are compared as well
_LEAST_SIDE = 8  # pixels of the shorter side of the coarsest size
_DIFFERENCE, _PER_SIZE = 7.0, 0.25  # minimum difference in levels; its increase with each size that does not fit
_PER_COARSER = 0.1  # increase of all minimums with each size that does not fit
_UNFIT = (
    0.6  # weight at sizes where the images do not fit: blur takes more from fine patterns than their contrast tells
)
_CHROMA, _CHROMA_TIMES, _TINT = 20.0, 4.0, 0.9  # minimum in levels, and as a multiple of a quantile of the windows
_ALIGNED, _RESAMPLED = 0.6, 1.5  # largest loss after alignment, as a share of that before; increase of the difference
_CONTRADICTION = 0.15  # below full size: JPEG of quality 3 leaves none there, but up to 0.3 at full size (2026-11)


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
        return float((losses < LARGEST_LOSS).mean()) if losses.size else 0.0


def find_local_differences(a: Pixels, b: Pixels, gain: float = 1.0, offset: float = 0.0) -> LocalDifferences:
    """Compare two images of the same shape in windows, at the size of the smaller one; symmetric.

    Args:
        gain, offset: Contrast and brightness: the luma of `b` is that of `a` · gain + offset.
    """
    first, second = _match_levels(*_resize_to_smaller(a, b), gain, offset)
    # Clipped channels are predicted the worse, the larger the change: untolerated, 3 of 58 brighter copies differ.
    tolerance = max(gain, 1 / gain) ** 3 * (1 + abs(offset) / 50)
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
    finest = min(range(len(windows)), key=lambda i: windows[i].median_loss or 0.0) if fits_at is None else fits_at
    least = _DIFFERENCE * tolerance * (1 + _PER_SIZE * finest)
    chroma = _chroma_strength(first, second, max(finest, 1)) / tolerance  # JPEG halves the size of the chroma
    weight = 1 / (1 + _PER_COARSER * finest)
    strengths = [some.strength(least) * (weight if i >= finest else _UNFIT) for i, some in enumerate(windows)]
    contradiction = max((some.contradiction for some in windows[1:]), default=0.0)
    return LocalDifferences(*max(map(_strongest_region, [*strengths, chroma])), fits_at, contradiction, tuple(windows))


def _measure_sizes(a: Floats, b: Floats) -> tuple[list[Windows], int | None]:
    """Measure windows at sizes down to some below that at which the images fit; also return the number of that one."""
    windows: list[Windows] = []
    fits_at = None
    while True:
        windows.append(measure_windows(a, b))
        loss = windows[-1].median_loss
        if fits_at is None and loss is not None and loss <= FITTING_LOSS:
            fits_at = len(windows) - 1
        is_last = len(windows) == _SIZES or min(a.shape) < 2 * _LEAST_SIDE
        if is_last or (fits_at is not None and len(windows) > fits_at + _COARSER):
            return windows, fits_at
        a, b = shrink(a, 2), shrink(b, 2)


def _strongest_region(strength: Floats) -> tuple[float, int, tuple[float, float]]:
    """Return the strength of the strongest region, the number of regions, and the position of the strongest."""
    import cv2

    # A single pixel that differs is in at least 2×2 windows; a window alone is noise.
    region = cv2.erode(strength, np.ones((2, 2), np.uint8))
    y, x = np.unravel_index(int(region.argmax()), region.shape)
    strongest = float(region[y, x])
    count = cv2.connectedComponents((region >= 1).astype(np.uint8))[0] - 1 if strongest >= 1 else 0
    return strongest, count, ((float(x) + 0.5) / region.shape[1], (float(y) + 0.5) / region.shape[0])


def _chroma_strength(a: Pixels, b: Pixels, halvings: int) -> Floats:
    """Compare the mean colours of windows: one image may be paler than the other, or tinted."""
    import cv2

    for _ in range(halvings):
        a, b = shrink(a, 2), shrink(b, 2)
    cells = [cv2.cvtColor(shrink(x, CELL), cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.float32) - 128 for x in (a, b)]
    colours = [average_cells(x) for x in cells]
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

    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
