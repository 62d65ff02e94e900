"""Perceptual hashes of 64 bits, equal bit for bit to those of the imagehash library.

imagehash shrinks grey images with Pillow's Lanczos filter, which takes most of the time; `lanczos.py` is faster.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature import Blank, feature
from imrec_core.features.hash_orientations import oriented, oriented_bits
from imrec_core.features.lanczos import Floats, Whole, shrink_to_square, small_images
from imrec_core.features.metrics import hamming, hamming_dihedral
from imrec_core.images.batch import ImageBatch
from imrec_core.images.rgb import Pixels

Hashes = NDArray[np.uint64]

_MIN_SIDE = 256  # shrinking to this while decoding changes the 32×32 image of phash by less than one bit

_MEAN_BIT = np.uint64(1 << 63)  # of phash: the mean of the image, above the median of any image but a black one
_hash = partial(feature, group="hashes", dims=64, dtype="uint64", min_side=_MIN_SIDE)
_plain_hash = partial(_hash, metrics=(hamming,), blank=Blank.zeros("contrast"))


@_plain_hash(source="imagehash.average_hash; Krawetz 2011")
def ahash(batch: ImageBatch) -> Hashes:
    """Average hash: which of 8×8 cells are brighter than the mean of the image."""
    small = small_images(batch)[0]
    return _pack(small > small.mean(axis=(1, 2), keepdims=True))


@_plain_hash(source="imagehash.dhash; Krawetz 2013")
def dhash(batch: ImageBatch) -> Hashes:
    """Difference hash: where the image gets brighter from left to right."""
    small = small_images(batch)[1]
    return _pack(small[:, :, 1:] > small[:, :, :-1])


def phash_orientations(batch: ImageBatch) -> Hashes:
    """Compute the phashes of `hash_orientations.ORIENTATIONS`, side by side `(n, 8)`."""
    return _pack(_above_median(oriented(_low_frequencies(batch), first=0))).reshape(-1, 8)


def phash_turned(hashes: Hashes) -> Hashes:
    """Approximate `phash_orientations` from hashes `(n, 1)`; a few bits may differ."""
    octets = np.ascontiguousarray(hashes).astype(">u8").view(np.uint8)
    bits = np.unpackbits(octets, axis=1).reshape(-1, 8, 8).astype(np.bool_)
    return _pack(oriented_bits(bits, first=0)).reshape(-1, 8)


@_hash(
    metrics=(hamming, hamming_dihedral),
    blank=Blank("contrast", lambda hashes: (hashes | _MEAN_BIT == _MEAN_BIT).all(axis=1)),
    source="imagehash.phash; Zauner 2010",
    orientations=phash_orientations,
    turned=phash_turned,
)
def phash(batch: ImageBatch) -> Hashes:
    """Perceptual hash: which low frequencies (DCT) are above their median."""
    return _pack(_above_median(_low_frequencies(batch)))


def _low_frequencies(batch: ImageBatch) -> Floats:
    """Compute the 8×8 lowest frequencies `(n, 8, 8)`, the mean first."""
    import scipy.fft

    return np.asarray(scipy.fft.dct(scipy.fft.dct(small_images(batch)[2], axis=1), axis=2)[:, :8, :8])


def _above_median(low: Floats) -> NDArray[np.bool_]:
    return np.asarray(low > np.median(low, axis=(-2, -1), keepdims=True))


@_plain_hash(source="imagehash.whash")
def whash(batch: ImageBatch) -> Hashes:
    """Wavelet hash: which of 8×8 cells are brighter than their median (Haar)."""
    return _pack(np.array([_cells_above_median(shrink_to_square(grey)) for grey in batch.grey]))


@_hash(metrics=(hamming,), source="imagehash.colorhash")
def colorhash(batch: ImageBatch) -> Hashes:
    """Colour hash: shares of black, grey, six faint and six bright hues, in eighths.

    The lowest 42 of the 64 bits are those of imagehash; the others are 0.
    """
    bits = np.zeros((len(batch), 64), np.bool_)
    for row, image, grey in zip(bits, batch.padded, batch.grey, strict=True):
        row[-42:] = _CODES[_colour_eighths(_classify_pixels(image, grey))].ravel()
    return _pack(bits)


def _pack(bits: NDArray[np.bool_]) -> Hashes:
    """Pack 64 bits per image as words `(n, 1)`.

    Bits are in the order of imagehash: row by row, most significant first.
    """
    octets = np.packbits(bits.reshape(-1, 64), axis=1)
    return octets.view(">u8").astype(np.uint64).reshape(-1, 1)


# -- whash --------------------------------------------------------------------------------------------------

_HAAR = math.sqrt(0.5)


def _cells_above_median(square: Whole) -> NDArray[np.bool_]:
    """Return which of 8×8 cells are brighter than their median.

    Haar's low frequencies are sums over cells, so integer sums are enough unless cells equal the median. In that case
    the bits of imagehash depend on the rounding of its transform (forward, back without the mean, and forward again),
    which this function repeats.
    """
    part = len(square) // 8
    sums = square.reshape(8, part, 8, part).sum(axis=(1, 3), dtype=np.float64)
    if (sums == np.median(sums)).any():
        sums = _subtract_mean(square / 255.0)
        while len(sums) > 8:
            sums = _haar_step(_haar_step(sums)[0].T)[0].T
    return np.asarray(sums > np.median(sums))


def _subtract_mean(square: Floats) -> Floats:
    """Subtract the mean by a full Haar transform.

    The operations and their order are those of PyWavelets.
    """
    if len(square) == 1:
        return np.zeros_like(square)
    (low, right), (down, both) = (_haar_step(half.T) for half in _haar_step(square))
    return _inverse_haar_step(_inverse_haar_step(_subtract_mean(low.T).T, right).T, _inverse_haar_step(down, both).T)


def _haar_step(rows: Floats) -> tuple[Floats, Floats]:
    """Compute sums and differences of neighbours down the columns."""
    scaled = rows * _HAAR
    return scaled[::2] + scaled[1::2], scaled[::2] - scaled[1::2]


def _inverse_haar_step(sums: Floats, differences: Floats) -> Floats:
    """Invert one step of the Haar transform."""
    sums, differences = sums * _HAAR, differences * _HAAR
    return np.stack([sums + differences, sums - differences], axis=1).reshape(-1, sums.shape[1])


# -- colorhash ----------------------------------------------------------------------------------------------

_BLACK = 32  # darker grey levels count as black
_CODES = np.array([[n >= 4, n >= 2, n % 2] for n in range(8)], np.bool_)  # of imagehash: 4 equals 6, and 5 equals 7
_STRIP = 1 << 24  # pixels that OpenCV counts in float32 without rounding

_BLACKS, _GREYS, _FAINT, _NEITHER, _BRIGHT = range(5)  # tones; imagehash ignores a saturation of exactly 170
_HUES = np.array([3, 4, 0, 5, 2, 0, 1, 0])  # by the order of the channels, as in _classify_pixels
_HUE = np.array([_HUES, _HUES - _HUES % 2]).ravel()


def _classify_pixels(image: Pixels, grey: Pixels) -> Pixels:
    """Return 16 times the tone of each pixel plus the index of its hue in `_HUE`.

    imagehash converts to integer HSV with Pillow, which takes four times as long (2026-11). It separates hues at 43,
    85, 128, 170 and 213, and saturations at 85, 170 and 171 of 255. Comparisons of the channels give the same classes,
    as verified for all 2²⁴ colours. A hue of 43, 128 or 213 lies just beyond a change in the order of the channels.
    """
    import cv2

    red, green, blue, _ = (np.asarray(channel, np.uint8) for channel in cv2.split(image))
    low, high = np.minimum(red, green), np.maximum(red, green)
    least, middle, most = np.minimum(low, blue), np.maximum(low, np.minimum(high, blue)), np.maximum(high, blue)
    chroma = most - least
    is_coloured, is_beyond_faint = chroma >= least - (least >> 1), chroma >> 1 >= least
    is_bright = chroma * np.uint16(28) >= least * np.uint16(57)
    tone = np.uint8(1) + is_coloured + is_beyond_faint + is_bright
    below = most - middle
    is_before = (below < 4) & (chroma > below * np.uint8(85))  # for 4 and more the product would overflow
    order = (green >= blue) * np.uint8(4) + (red > blue) * np.uint8(2) + (red >= green)
    return np.asarray(tone * (grey >= _BLACK) * np.uint8(16) + is_before * np.uint8(8) + order)


def _colour_eighths(classes: Pixels) -> NDArray[np.intp]:
    """Count black, grey and hues in eighths, 0 to 7.

    Black and grey are shares of all pixels, and faint and bright hues are shares of coloured pixels.
    """
    import cv2

    counts = np.zeros(256, np.int64)
    for strip in np.array_split(classes.ravel(), classes.size // _STRIP + 1):
        counts += cv2.calcHist([strip], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    tones = counts.reshape(16, 16)[:5]
    of_all = tones[[_BLACKS, _GREYS]].sum(axis=1) / classes.size
    hues = np.concatenate([np.bincount(_HUE, tones[tone], 6) for tone in (_FAINT, _BRIGHT)])
    of_coloured = hues * 8 / max(tones[_FAINT:].sum(), 1)
    return np.minimum(np.concatenate([of_all * 8, of_coloured]).astype(np.intp), 7)
