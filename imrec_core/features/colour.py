"""Global colour features: histograms in RGB, HSV and CIELAB, and colour moments.

All features read `ImageBatch.colour_counts`, which counts pixels once per batch in 32 levels of red, green and blue. So
another colour space needs one more table, but no further pass over the pixels. Each cell of the 32³ cube stands for the
colour at its centre. The exceptions are RGB histograms whose bin edges are not among those of the 32 levels, such as
256 or 10 levels: they are counted from the pixels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.colour_spaces import SPACES, Floats, lab, rgb
from imrec_core.features.feature import Feature, feature
from imrec_core.features.metrics import (
    chi_square,
    chi_square_asymmetric,
    correlation,
    cosine,
    euclidean,
    hellinger,
    intersection,
    jensen_shannon,
    manhattan,
)
from imrec_core.images.batch import ImageBatch

Matrix = NDArray[np.float32]
Bins = NDArray[np.intp]

_METRICS = (
    hellinger, euclidean, manhattan, cosine, correlation, chi_square, chi_square_asymmetric, intersection,
    jensen_shannon,
)  # fmt: skip
_SWAIN = "Swain & Ballard 1991, doi:10.1007/BF00130487"
_SMITH = "Smith & Chang 1996, Tools and techniques for color image retrieval"
_FULL_SIZE = 2**16  # pixels; longer than any side of a JPEG
_LAB = "CIE 15 (L*a*b*) of IEC 61966-2-1 (sRGB)"
_GREY_CHANNEL = {"lab": 0, "hsv": 2}  # index of lightness or value

MAX_BINS = 32**3
"""Maximum bins of a joint histogram."""


@dataclass(frozen=True)
class Layout:
    """Bins of a colour histogram.

    Attributes:
        space: `rgb`, `hsv` or `lab`.
        levels: Number of levels of each channel, 1 to `colour_spaces.FINEST`.
        joint: One histogram over all channels, with the last channel fastest; otherwise one per channel, concatenated.
    """

    space: str
    levels: tuple[int, int, int]
    joint: bool = True

    @property
    def of_pixels(self) -> bool:
        """Whether to count pixels, because the 32 levels of a batch do not fit."""
        return self.space == "rgb" and any(32 % count for count in self.levels)

    @property
    def dims(self) -> int:
        """Number of bins."""
        return math.prod(self.levels) if self.joint else sum(self.levels)


_LAYOUTS = {
    "rgb_histogram": Layout("rgb", (8, 8, 8)),
    "hsv_histogram": Layout("hsv", (16, 4, 4)),
    "lab_histogram": Layout("lab", (8, 8, 8)),
    "rgb_channels": Layout("rgb", (32, 32, 32), joint=False),
    "hsv_channels": Layout("hsv", (36, 16, 16), joint=False),
    "lab_channels": Layout("lab", (16, 16, 16), joint=False),
}


@feature(group="colour", dims=512, metrics=_METRICS, source=_SWAIN, is_histogram=True)
def rgb_histogram(batch: ImageBatch) -> Matrix:
    """Joint histogram of red, green and blue, 8 levels each.

    Returns `(n, 512)`, red slowest, blue fastest; a row sums to 1.
    """
    return _histograms(batch, _LAYOUTS["rgb_histogram"])


@feature(
    group="colour",
    dims=256,
    metrics=_METRICS,
    source=f"16 hues, 4 saturations, 4 values; {_SMITH}",
    is_histogram=True,
)
def hsv_histogram(batch: ImageBatch) -> Matrix:
    """Joint histogram of hue (16 levels), saturation (4) and value (4).

    Returns `(n, 256)`, hue slowest, value fastest; a row sums to 1.
    """
    return _histograms(batch, _LAYOUTS["hsv_histogram"])


@feature(group="colour", dims=512, metrics=_METRICS, source=f"{_SWAIN}; {_LAB}", is_histogram=True)
def lab_histogram(batch: ImageBatch) -> Matrix:
    """Joint histogram of CIELAB lightness, a* and b*, 8 levels each.

    The levels divide the range of sRGB on each axis.

    Returns `(n, 512)`, lightness slowest, b* fastest; a row sums to 1.
    """
    return _histograms(batch, _LAYOUTS["lab_histogram"])


@feature(group="colour", dims=96, metrics=_METRICS, source=_SWAIN, is_histogram=True)
def rgb_channels(batch: ImageBatch) -> Matrix:
    """Separate histograms of red, green and blue, 32 levels each.

    Returns `(n, 96)`: red, then green, then blue; a row sums to 1.
    """
    return _histograms(batch, _LAYOUTS["rgb_channels"])


@feature(
    group="colour",
    dims=68,
    metrics=_METRICS,
    source=f"36 hues, 16 saturations, 16 values, each apart; {_SMITH}",
    is_histogram=True,
)
def hsv_channels(batch: ImageBatch) -> Matrix:
    """Separate histograms of hue (36 levels), saturation (16) and value (16).

    Greys have no hue and count as the first level, red.

    Returns `(n, 68)`: hue, then saturation, then value; a row sums to 1.
    """
    return _histograms(batch, _LAYOUTS["hsv_channels"])


@feature(group="colour", dims=48, metrics=_METRICS, source=f"{_SWAIN}; {_LAB}", is_histogram=True)
def lab_channels(batch: ImageBatch) -> Matrix:
    """Separate histograms of CIELAB lightness, a* and b*, 16 levels each.

    The levels divide the range of sRGB on each axis. Greys lie in the middle of a level of a* and b*.

    Returns `(n, 48)`: lightness, then a*, then b*; a row sums to 1.
    """
    return _histograms(batch, _LAYOUTS["lab_channels"])


@feature(
    group="colour",
    dims=9,
    metrics=(euclidean, manhattan, cosine),
    source=f"Stricker & Orengo 1995, doi:10.1117/12.205308, in {_LAB} instead of HSV",
)
def colour_moments(batch: ImageBatch) -> Matrix:
    """Mean, standard deviation and cube root of the third central moment of L*, a* and b*.

    The paper uses HSV. Its hue is an angle: reds just above and just below 0° average to cyan, and greys have no hue.
    L*a*b* has no such discontinuity. All nine numbers are in its units, where equal steps look about equal.

    Returns `(n, 9)`: three means, three standard deviations, three roots.
    """
    return np.array([_moments(lab()[cells], pixels) for cells, pixels in _colour_cells(batch)], np.float32)


def _moments(colours: Floats, pixels: Floats) -> Floats:
    shares = (pixels / pixels.sum())[:, None]
    mean = (shares * colours).sum(axis=0)
    centred = colours - mean
    second = shares * centred * centred
    return np.concatenate([mean, np.sqrt(second.sum(axis=0)), np.cbrt((second * centred).sum(axis=0))])


def histogram(name: str, space: str, levels: Sequence[int], *, joint: bool = True, all_pixels: bool = False) -> Feature:
    """Make a colour histogram with given levels per channel; not registered.

    Args:
        name: Name of the feature.
        space, levels, joint: As in `Layout`.
        all_pixels: Whether to decode images at full size; otherwise decoding may shrink them.
    """
    red, green, blue = levels
    layout = Layout(space, (red, green, blue), joint)
    kind = "Joint histogram" if joint else "Separate histograms"
    pixels = " over all pixels" if all_pixels else ""
    return Feature(
        name=name,
        summary=f"{kind} of {space.upper()}, {red}, {green} and {blue} levels{pixels}.",
        group="colour",
        dims=layout.dims,
        dtype="float32",
        metrics=_METRICS,
        source=_SWAIN,
        version=2 if layout.of_pixels else 1,  # version 1 used the 32 levels for all histograms
        min_side=_FULL_SIZE if all_pixels else 0,
        compute=lambda batch: _histograms(batch, layout),
        is_histogram=True,
        params={"space": space, "levels": list(levels), "joint": joint} | ({"all_pixels": True} if all_pixels else {}),
    )


def layout_of(feature: Feature) -> Layout | None:
    """Return the bins of a colour histogram; None for another feature."""
    if feature.name in _LAYOUTS:
        return _LAYOUTS[feature.name]
    params = feature.params
    if not {"space", "levels", "joint"} <= params.keys():
        return None
    return Layout(params["space"], tuple(params["levels"]), params["joint"])


def bin_colours(layout: Layout) -> Floats:
    """Compute the mean RGB colour of each bin `(dims, 3)`, from 0 to 1.

    Bins without any colour are grey. Bins of lightness and value in separate histograms are greys, dark to bright.
    """
    if layout.space == "rgb":
        return _rgb_bin_colours(layout)
    bins = _bins(layout)
    counts = np.bincount(bins.ravel(), minlength=layout.dims)
    sums = [np.bincount(bins.ravel(), channel.repeat(bins.shape[1]), layout.dims) for channel in rgb().T]
    colours = np.where(counts[:, None] > 0, np.stack(sums, axis=1) / counts.clip(1)[:, None], 0.5)
    if not layout.joint and layout.space in _GREY_CHANNEL:
        channel = _GREY_CHANNEL[layout.space]
        first, count = sum(layout.levels[:channel]), layout.levels[channel]
        colours[first : first + count] = ((np.arange(count) + 0.5) / count)[:, None]
    return colours


def _rgb_bin_colours(layout: Layout) -> Floats:
    """Compute the centres of RGB bins; channels of other histograms are 0.5."""
    middles = [(np.arange(count) + 0.5) / count for count in layout.levels]
    if layout.joint:
        return np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 3)
    colours = np.full((layout.dims, 3), 0.5)
    for channel, first in enumerate(np.cumsum([0, *layout.levels[:-1]])):
        colours[first : first + layout.levels[channel], channel] = middles[channel]
    return colours


# -- counts -------------------------------------------------------------------------------------------------


def _colour_cells(batch: ImageBatch) -> list[tuple[Bins, Floats]]:
    """Return the occupied cells of the 32³ cube and their counts, for each image.

    Most photos occupy a tenth of the cells.
    """
    return batch.cached("colours", lambda: [_occupied_cells(counts) for counts in batch.colour_counts])


def _occupied_cells(counts: Matrix) -> tuple[Bins, Floats]:
    cells = np.flatnonzero(counts != 0)  # four times as fast as np.flatnonzero(counts)
    return cells, counts.ravel()[cells].astype(np.float64)


def _histograms(batch: ImageBatch, layout: Layout) -> Matrix:
    """Compute histograms `(n, dims)`; a row sums to 1."""
    if layout.of_pixels:
        return np.stack([_histogram_of_pixels(image, layout) for image in batch.padded])
    bins, dims = _bins(layout), layout.dims
    per_cell = bins.shape[1]
    counts = [np.bincount(bins[cells].ravel(), pixels.repeat(per_cell), dims) for cells, pixels in _colour_cells(batch)]
    return np.asarray(np.array(counts) / np.sum(counts, axis=1, keepdims=True), np.float32)


def _histogram_of_pixels(image: NDArray[np.uint8], layout: Layout) -> Matrix:
    """Count the pixels of an image `(height, width, 4)` in an RGB histogram `(dims,)`."""
    import cv2

    groups = [[0, 1, 2]] if layout.joint else [[0], [1], [2]]
    counts = [
        cv2.calcHist([image], channels, None, [layout.levels[c] for c in channels], [0, 256] * len(channels)).ravel()
        for channels in groups
    ]
    histogram = np.concatenate(counts, dtype=np.float64)
    return np.asarray(histogram / histogram.sum(), np.float32)


@functools.cache
def _bins(layout: Layout) -> Bins:
    """Return the bins of each cell: `(32³, 1)` if joint, otherwise `(32³, 3)`."""
    return (_joint_bins if layout.joint else _channel_bins)(SPACES[layout.space], layout.levels)


def _joint_bins(space: Callable[[], Floats], levels: tuple[int, int, int]) -> Bins:
    """Return the bin of each cell in a joint histogram `(32³, 1)`."""
    return np.asarray(np.ravel_multi_index(tuple(_quantize(space(), levels).T), levels))[:, None]


def _channel_bins(space: Callable[[], Floats], levels: tuple[int, int, int]) -> Bins:
    """Return the bins of each cell in separate histograms `(32³, 3)`."""
    return np.asarray(_quantize(space(), levels) + np.cumsum([0, *levels[:-1]]))


def _quantize(values: Floats, levels: tuple[int, int, int]) -> Bins:
    """Return the level of each value.

    Values on an edge, as many hues are, get the upper level despite rounding.
    """
    return np.asarray(np.minimum((values * levels + 1e-9).astype(np.intp), np.array(levels) - 1))
