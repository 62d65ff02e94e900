"""Which colours a picture has, wherever they stand.

Everything here is read off one count of the picture's colours, 32 levels of red, green and blue, which a batch makes
once (`ImageBatch.colour_counts`): another colour space costs one more table, not one more pass. A colour is taken at
the middle of its cell of the 32³ cube. Only histograms of red, green and blue in levels whose borders lie within those
32, such as 256 or 10 of them, are counted from the pixels themselves.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch
from imrec_core.features.declare import Feature, feature
from imrec_core.metrics import (
    chi_square,
    correlation,
    cosine,
    euclidean,
    hellinger,
    intersection,
    jensen_shannon,
    manhattan,
)

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]
Bins = NDArray[np.intp]

_METRICS = (hellinger, euclidean, manhattan, cosine, correlation, chi_square, intersection, jensen_shannon)
_SWAIN = "Swain & Ballard 1991, doi:10.1007/BF00130487"
_SMITH = "Smith & Chang 1996, Tools and techniques for color image retrieval"
_FULL_SIZE = 2**16  # pixels; no JPEG has a longer side
_LAB = "CIE 15 (L*a*b*) of IEC 61966-2-1 (sRGB)"


@dataclass(frozen=True)
class Layout:
    """How the bins of a colour histogram lie.

    Attributes:
        space: `rgb`, `hsv` or `lab`.
        levels: Of each of the three channels, 1 to `FINEST` of the space.
        joint: One histogram over all channels, the last one fastest; otherwise one of each channel, side by side.
    """

    space: str
    levels: tuple[int, int, int]
    joint: bool = True

    @property
    def of_pixels(self) -> bool:
        """Whether it takes the pixels themselves: its levels are not made of the 32 that a batch counts."""
        return self.space == "rgb" and any(32 % count for count in self.levels)

    @property
    def dims(self) -> int:
        """Bins in all."""
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
    return _shares(batch, _LAYOUTS["rgb_histogram"])


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
    return _shares(batch, _LAYOUTS["hsv_histogram"])


@feature(group="colour", dims=512, metrics=_METRICS, source=f"{_SWAIN}; {_LAB}", is_histogram=True)
def lab_histogram(batch: ImageBatch) -> Matrix:
    """Joint histogram of CIELAB lightness, a* and b*, 8 levels each.

    The levels share out what sRGB reaches of each axis. Returns `(n, 512)`, lightness slowest, b* fastest; a row sums
    to 1.
    """
    return _shares(batch, _LAYOUTS["lab_histogram"])


@feature(group="colour", dims=96, metrics=_METRICS, source=_SWAIN, is_histogram=True)
def rgb_channels(batch: ImageBatch) -> Matrix:
    """Histograms of red, green and blue apart, 32 levels each.

    Returns `(n, 96)`: red, then green, then blue; a row sums to 1.
    """
    return _shares(batch, _LAYOUTS["rgb_channels"])


@feature(
    group="colour",
    dims=68,
    metrics=_METRICS,
    source=f"36 hues, 16 saturations, 16 values, each apart; {_SMITH}",
    is_histogram=True,
)
def hsv_channels(batch: ImageBatch) -> Matrix:
    """Histograms of hue (36 levels), saturation (16) and value (16) apart.

    Greys have no hue and count as the first, red. Returns `(n, 68)`: hue, then saturation, then value; a row sums to 1.
    """
    return _shares(batch, _LAYOUTS["hsv_channels"])


@feature(group="colour", dims=48, metrics=_METRICS, source=f"{_SWAIN}; {_LAB}", is_histogram=True)
def lab_channels(batch: ImageBatch) -> Matrix:
    """Histograms of CIELAB lightness, a* and b* apart, 16 levels each.

    The levels share out what sRGB reaches of each axis; greys lie in the middle of one. Returns `(n, 48)`: lightness,
    then a*, then b*; a row sums to 1.
    """
    return _shares(batch, _LAYOUTS["lab_channels"])


@feature(
    group="colour",
    dims=9,
    metrics=(euclidean, manhattan, cosine),
    source=f"Stricker & Orengo 1995, doi:10.1117/12.205308, in {_LAB} instead of HSV",
)
def colour_moments(batch: ImageBatch) -> Matrix:
    """Mean, standard deviation and cube root of the third central moment of L*, a* and b*.

    The paper takes HSV, whose hue is an angle: reds just above and just below 0° average to cyan, and greys have
    none. L*a*b* has no such seam, and all nine numbers are in its units, where equal steps look about equal.

    Returns `(n, 9)`: three means, three deviations, three roots.
    """
    return np.array([_moments(_lab()[cells], pixels) for cells, pixels in _colours(batch)], np.float32)


def _moments(colours: Floats, pixels: Floats) -> Floats:
    shares = (pixels / pixels.sum())[:, None]
    mean = (shares * colours).sum(axis=0)
    off = colours - mean
    second = shares * off * off
    return np.concatenate([mean, np.sqrt(second.sum(axis=0)), np.cbrt((second * off).sum(axis=0))])


def histogram(name: str, space: str, levels: Sequence[int], *, joint: bool = True, all_pixels: bool = False) -> Feature:
    """A colour histogram with as many levels per channel as wanted; not registered.

    Args:
        name: Of the feature.
        space, levels, joint: As `Layout` has them.
        all_pixels: Of the picture at full size, where others may be computed from one that was shrunk.
    """
    red, green, blue = levels
    laid = Layout(space, (red, green, blue), joint)
    how = "Joint histogram" if joint else "Histograms of each channel"
    over = " over all pixels" if all_pixels else ""
    return Feature(
        name=name,
        summary=f"{how} of {space.upper()}, {red}, {green} and {blue} levels{over}.",
        group="colour",
        dims=laid.dims,
        dtype="float32",
        metrics=_METRICS,
        source=_SWAIN,
        version=2 if laid.of_pixels else 1,  # which were made of the 32 levels at first
        min_side=_FULL_SIZE if all_pixels else 0,
        compute=lambda batch: _shares(batch, laid),
        is_histogram=True,
        params={"space": space, "levels": list(levels), "joint": joint} | ({"all_pixels": True} if all_pixels else {}),
    )


def layout_of(feature: Feature) -> Layout | None:
    """How the bins of a colour histogram lie; None for a feature that is none."""
    if feature.name in _LAYOUTS:
        return _LAYOUTS[feature.name]
    params = feature.params
    if not {"space", "levels", "joint"} <= params.keys():
        return None
    return Layout(params["space"], tuple(params["levels"]), params["joint"])


def bin_colours(layout: Layout) -> Floats:
    """The mean colour of each bin `(dims, 3)`, red, green and blue from 0 to 1; a bin that no colour is in is grey.

    Where the channels are apart, lightness and value are greys, dark to bright.
    """
    if layout.space == "rgb":
        return _rgb_bin_colours(layout)
    bins = _bins(layout)
    counts = np.bincount(bins.ravel(), minlength=layout.dims)
    sums = [np.bincount(bins.ravel(), channel.repeat(bins.shape[1]), layout.dims) for channel in _rgb().T]
    colours = np.where(counts[:, None] > 0, np.stack(sums, axis=1) / counts.clip(1)[:, None], 0.5)
    if not layout.joint and layout.space in _GREY_CHANNEL:
        channel = _GREY_CHANNEL[layout.space]
        first, count = sum(layout.levels[:channel]), layout.levels[channel]
        colours[first : first + count] = ((np.arange(count) + 0.5) / count)[:, None]
    return colours


def _rgb_bin_colours(layout: Layout) -> Floats:
    """The middle of each bin; the channels that it is not of, at their own middles."""
    middles = [(np.arange(count) + 0.5) / count for count in layout.levels]
    if layout.joint:
        return np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 3)
    colours = np.full((layout.dims, 3), 0.5)
    for channel, first in enumerate(np.cumsum([0, *layout.levels[:-1]])):
        colours[first : first + layout.levels[channel], channel] = middles[channel]
    return colours


_GREY_CHANNEL = {"lab": 0, "hsv": 2}


# -- counts -------------------------------------------------------------------------------------------------


def _colours(batch: ImageBatch) -> list[tuple[Bins, Floats]]:
    """The cells of the 32³ cube that each picture has pixels in, and how many: a tenth of them in most photos."""
    return batch.cached("colours", lambda: [_present(counts) for counts in batch.colour_counts])


def _present(counts: Matrix) -> tuple[Bins, Floats]:
    cells = np.flatnonzero(counts != 0)  # four times as fast as of the counts themselves
    return cells, counts.ravel()[cells].astype(np.float64)


def _shares(batch: ImageBatch, layout: Layout) -> Matrix:
    """Histograms `(n, dims)`; a row sums to 1."""
    if layout.of_pixels:
        return np.stack([_shares_of(image, layout) for image in batch.padded])
    bins, dims = _bins(layout), layout.dims
    every = bins.shape[1]
    counts = [np.bincount(bins[cells].ravel(), pixels.repeat(every), dims) for cells, pixels in _colours(batch)]
    return np.asarray(np.array(counts) / np.sum(counts, axis=1, keepdims=True), np.float32)


def _shares_of(image: NDArray[np.uint8], layout: Layout) -> Matrix:
    """The histogram `(dims,)` of red, green and blue, of each pixel of a picture `(height, width, 4)`."""
    import cv2

    together = [[0, 1, 2]] if layout.joint else [[0], [1], [2]]
    counts = [
        cv2.calcHist([image], channels, None, [layout.levels[c] for c in channels], [0, 256] * len(channels)).ravel()
        for channels in together
    ]
    whole = np.concatenate(counts, dtype=np.float64)
    return np.asarray(whole / whole.sum(), np.float32)


@functools.cache
def _bins(layout: Layout) -> Bins:
    """Which bins a pixel counts in, by its cell: `(32³, 1)` where they are joint, else `(32³, 3)`."""
    return (_joint if layout.joint else _apart)(SPACES[layout.space], layout.levels)


def _joint(space: Callable[[], Floats], levels: tuple[int, int, int]) -> Bins:
    """The one bin of each cell in a joint histogram `(32³, 1)`, the last channel fastest."""
    return np.asarray(np.ravel_multi_index(tuple(_levels(space(), levels).T), levels))[:, None]


def _apart(space: Callable[[], Floats], levels: tuple[int, int, int]) -> Bins:
    """The three bins of each cell in histograms of one channel each, side by side `(32³, 3)`."""
    return np.asarray(_levels(space(), levels) + np.cumsum([0, *levels[:-1]]))


def _levels(values: Floats, levels: tuple[int, int, int]) -> Bins:
    """The level of each value; one on the border of two, as many hues are, belongs to the upper, however it rounds."""
    return np.asarray(np.minimum((values * levels + 1e-9).astype(np.intp), np.array(levels) - 1))


# -- colour spaces: of each of the 32³ cells, three numbers from 0 to 1 --------------------------------------------


@functools.cache
def _rgb() -> Floats:
    levels = (np.arange(32) + 0.5) / 32
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


@functools.cache
def _hsv() -> Floats:
    red, green, blue = _rgb().T
    value, least = _rgb().max(axis=1), _rgb().min(axis=1)
    chroma = value - least
    with np.errstate(invalid="ignore", divide="ignore"):
        sextant = np.select(
            [chroma == 0, value == red, value == green],
            [np.zeros_like(value), (green - blue) / chroma % 6, (blue - red) / chroma + 2],
            (red - green) / chroma + 4,
        )
    return np.stack([sextant / 6, chroma / value, value], axis=1)


_LOWEST, _HIGHEST = np.array([0.0, -86.2, -107.9]), np.array([100.0, 98.3, 94.5])  # L*, a*, b* of sRGB


@functools.cache
def _lab_shares() -> Floats:
    return np.asarray((_lab() - _LOWEST) / (_HIGHEST - _LOWEST))


@functools.cache
def _lab() -> Floats:
    """L*, a* and b* themselves, under sRGB's own white (D65)."""
    linear = np.where(_rgb() <= 0.04045, _rgb() / 12.92, ((_rgb() + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    relative = linear @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


SPACES: dict[str, Callable[[], Floats]] = {"rgb": _rgb, "hsv": _hsv, "lab": _lab_shares}
FINEST = {"rgb": 256, "hsv": 36, "lab": 32}
"""Levels of a channel, at most: of what is read off the 32³ cells, no more than tell colours apart."""

MAX_BINS = 32**3
