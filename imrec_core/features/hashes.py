"""Perceptual hashes in 64 bits, the same as those of the imagehash library bit for bit.

imagehash shrinks a grey picture with Pillow's Lanczos filter, which spends most of the time. ahash, dhash and phash
need three small sizes; here one matrix product makes the columns of all three. Pillow filters in integers, as a
rule first along the rows, then down the columns, rounding to 8 bits after each: so do we, in float64, which holds
those integers exactly. That took a third of Pillow's time (2026-11).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch, Pixels
from imrec_core.features.declare import feature
from imrec_core.features.dihedral import oriented, oriented_bits
from imrec_core.metrics import hamming, hamming_dihedral

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]
Whole = NDArray[np.int32]

_MIN_SIDE = 256  # a shrunk decode to this leaves the 32×32 picture of phash what it is, to under a bit
_FIXED_POINT = float(1 << 22)  # Pillow's PRECISION_BITS for 8-bit pictures


@feature(
    group="hashes",
    dims=64,
    dtype="uint64",
    metrics=(hamming,),
    min_side=_MIN_SIDE,
    source="imagehash.average_hash; Krawetz 2011",
)
def ahash(batch: ImageBatch) -> Hashes:
    """Average hash: which of 8×8 squares are brighter than the picture's mean."""
    small = _small(batch)[0]
    return _packed(small > small.mean(axis=(1, 2), keepdims=True))


@feature(
    group="hashes",
    dims=64,
    dtype="uint64",
    metrics=(hamming,),
    min_side=_MIN_SIDE,
    source="imagehash.dhash; Krawetz 2013",
)
def dhash(batch: ImageBatch) -> Hashes:
    """Difference hash: where the picture gets brighter from left to right."""
    small = _small(batch)[1]
    return _packed(small[:, :, 1:] > small[:, :, :-1])


def phash_orientations(batch: ImageBatch) -> Hashes:
    """The phash of each picture in the eight `dihedral.ORIENTATIONS`, side by side `(n, 8)`."""
    return _packed(_above_median(oriented(_low(batch), first=0))).reshape(-1, 8)


def phash_turned(hashes: Hashes) -> Hashes:
    """What `phash_orientations` gives `(n, 8)`, but from the hashes `(n, 1)` alone, hence not in every bit."""
    octets = np.ascontiguousarray(hashes).astype(">u8").view(np.uint8)
    bits = np.unpackbits(octets, axis=1).reshape(-1, 8, 8).astype(np.bool_)
    return _packed(oriented_bits(bits, first=0)).reshape(-1, 8)


@feature(
    group="hashes",
    dims=64,
    dtype="uint64",
    metrics=(hamming, hamming_dihedral),
    min_side=_MIN_SIDE,
    source="imagehash.phash; Zauner 2010",
    orientations=phash_orientations,
    turned=phash_turned,
)
def phash(batch: ImageBatch) -> Hashes:
    """Perceptual hash: signs of the low frequencies (DCT) against their median."""
    return _packed(_above_median(_low(batch)))


def _low(batch: ImageBatch) -> Floats:
    """The 8×8 lowest frequencies `(n, 8, 8)`, the mean first."""
    return np.asarray(scipy.fft.dct(scipy.fft.dct(_small(batch)[2], axis=1), axis=2)[:, :8, :8])


def _above_median(low: Floats) -> NDArray[np.bool_]:
    return np.asarray(low > np.median(low, axis=(-2, -1), keepdims=True))


@feature(group="hashes", dims=64, dtype="uint64", metrics=(hamming,), min_side=_MIN_SIDE, source="imagehash.whash")
def whash(batch: ImageBatch) -> Hashes:
    """Wavelet hash: which of 8×8 squares are brighter than their median, by the Haar transform."""
    return _packed(np.array([_squares_above_median(_to_square(grey)) for grey in batch.grey]))


@feature(group="hashes", dims=64, dtype="uint64", metrics=(hamming,), min_side=_MIN_SIDE, source="imagehash.colorhash")
def colorhash(batch: ImageBatch) -> Hashes:
    """Colour hash: shares of black, grey, six faint hues and six bright ones, in eighths.

    imagehash's 42 bits are the lowest of the 64; the others are zero.
    """
    bits = np.zeros((len(batch), 64), np.bool_)
    for row, image, grey in zip(bits, batch.padded, batch.grey, strict=True):
        row[-42:] = _CODES[_colour_eighths(_kinds(image, grey))].ravel()
    return _packed(bits)


def _packed(bits: NDArray[np.bool_]) -> Hashes:
    """Bits, 64 a picture, row by row, most significant first, as `(n, 1)` numbers; imagehash's hex digits."""
    octets = np.packbits(bits.reshape(-1, 64), axis=1)
    return octets.view(">u8").astype(np.uint64).reshape(-1, 1)


# -- the small pictures of ahash, dhash and phash -----------------------------------------------------------

_SIZES = ((8, 8), (8, 9), (32, 32))  # rows and columns that ahash, dhash and phash look at


def _small(batch: ImageBatch) -> tuple[Floats, Floats, Floats]:
    """The grey pictures at each of `_SIZES`, as Pillow's Lanczos filter makes them."""
    shrunk = batch.cached("hashes", lambda: [_shrink(grey) for grey in batch.grey])
    return tuple(np.array(pictures) for pictures in zip(*shrunk, strict=True))  # type: ignore[return-value]


def _shrink(grey: Pixels) -> list[Floats]:
    height, width = grey.shape
    values = grey.astype(np.float64)
    few, parts = _row_filters(width)
    narrowed = np.split(_rounded(values @ few), (8,), axis=1)
    narrowed.append(_rounded(np.hstack([values[:, stretch] @ filters for stretch, filters in parts])))
    shrunk = []
    for (rows, columns), narrow in zip(_SIZES, narrowed, strict=True):
        if _is_columns_first(height - rows, width - columns):
            low = _rounded(_lanczos(height, rows) @ values)
            shrunk.append(_rounded(low @ _lanczos(width, columns).T))
        else:
            shrunk.append(_rounded(_lanczos(height, rows) @ narrow))
    return shrunk


def _is_columns_first(fewer_rows: int, fewer_columns: int) -> bool:
    """Whether Pillow filters down the columns before it filters along the rows; it rounds in between.

    Pillow 13 does for tall pictures (pull request 9549), older ones never. We follow 13 whatever is installed, so
    that stored hashes stay comparable.
    """
    return fewer_rows > 0 and fewer_rows > 2 * fewer_columns


def _rounded(sums: Floats) -> Floats:
    return np.clip(np.floor(sums / _FIXED_POINT + 0.5), 0, 255)


@functools.lru_cache(maxsize=512)
def _row_filters(length: int) -> tuple[Floats, list[tuple[slice, Floats]]]:
    """Filters for rows of that length: for 8 and 9 columns `(length, 17)`; for 32 in four parts.

    A part makes 8 of the 32 columns, and says which stretch of the row it looks at: under half of it.
    """
    few = np.concatenate([_lanczos(length, 8), _lanczos(length, 9)]).T.astype(np.float64)
    parts = []
    for filters in np.split(_lanczos(length, 32), 4):
        used = np.flatnonzero(filters.any(axis=0))
        stretch = slice(int(used[0]), int(used[-1]) + 1)
        parts.append((stretch, np.ascontiguousarray(filters[:, stretch].T, np.float64)))
    return few, parts


@functools.lru_cache(maxsize=4096)
def _lanczos(length: int, out: int) -> NDArray[np.float32]:
    """Pillow's Lanczos filter `(out, length)` in its fixed-point integers, which are below 2²⁴."""
    filters = np.zeros((out, length), np.float32)
    rows, columns, weights = _lanczos_weights(length, out)
    filters[rows, columns] = weights
    return filters


@functools.lru_cache(maxsize=256)
def _sparse_lanczos(length: int, out: int) -> Any:
    """The same in a sparse matrix of int32, for an `out` of hundreds."""
    rows, columns, weights = _lanczos_weights(length, out)
    return scipy.sparse.csr_array((weights.astype(np.int32), (rows, columns)), shape=(out, length))


def _lanczos_weights(length: int, out: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """The weights of Pillow's Lanczos filter, and their rows and columns: the same operations in the same order.

    `math.sin` is the C library's, as Pillow's is; numpy has its own.
    """
    scale = length / out
    stretch = max(scale, 1.0)
    support, narrow = 3.0 * stretch, 1.0 / stretch
    centres = (np.arange(out) + 0.5) * scale
    first = np.maximum((centres - support + 0.5).astype(int), 0)
    count = np.minimum((centres + support + 0.5).astype(int), length) - first
    taps = np.arange(count.max())
    x = (taps + first[:, None] - centres[:, None] + 0.5) * narrow
    inside = (taps < count[:, None]) & (x >= -3.0) & (x < 3.0)
    weights = np.where(inside, _sinc(x) * _sinc(x / 3), 0.0)
    weights *= 1.0 / np.add.accumulate(weights, axis=1)[:, -1:]  # one after the other, as Pillow adds them
    fixed = np.trunc(weights * _FIXED_POINT + np.copysign(0.5, weights))
    rows, columns = np.nonzero(inside)
    return rows, first[rows] + columns, fixed[rows, columns]


def _sinc(x: Floats) -> Floats:
    angle = x * math.pi
    sines = np.fromiter(map(math.sin, angle.ravel().tolist()), np.float64, angle.size).reshape(x.shape)
    return np.divide(sines, angle, out=np.ones_like(x), where=angle != 0)


# -- whash --------------------------------------------------------------------------------------------------

_HAAR = math.sqrt(0.5)


def _to_square(grey: Pixels) -> Whole:
    """The grey picture by Pillow's Lanczos filter at the largest power of two that fits into it, at least 8.

    Two sparse products take two thirds of Pillow's time (2026-11).
    """
    height, width = grey.shape
    side = max(1 << (min(height, width).bit_length() - 1), 8)
    rows, columns = _sparse_lanczos(height, side), _sparse_lanczos(width, side)
    if _is_columns_first(height - side, width - side):
        return _filtered(columns, _filtered(rows, grey).T).T
    return _filtered(rows, _filtered(columns, grey.T).T)


def _filtered(filters: Any, values: NDArray[Any]) -> Whole:
    """The product in fixed point, rounded to 0 to 255 as Pillow does."""
    sums: Whole = filters @ values.astype(np.int32, order="C")
    sums += np.int32(_FIXED_POINT / 2)
    sums >>= 22
    return np.clip(sums, 0, 255, out=sums)


def _squares_above_median(square: Whole) -> NDArray[np.bool_]:
    """Which of 8×8 squares have more light than their median.

    Haar's low frequencies are sums over squares, so whole numbers decide, unless squares share the median: then
    imagehash goes by the rounding of its transform, forth, back without the mean, and forth. We do the same.
    """
    part = len(square) // 8
    sums = square.reshape(8, part, 8, part).sum(axis=(1, 3), dtype=np.float64)
    if (sums == np.median(sums)).any():
        sums = _without_mean(square / 255.0)
        while len(sums) > 8:
            sums = _halved(_halved(sums)[0].T)[0].T
    return np.asarray(sums > np.median(sums))


def _without_mean(square: Floats) -> Floats:
    """The picture less its mean, by way of the whole Haar transform: PyWavelets' operations in the same order."""
    if len(square) == 1:
        return np.zeros_like(square)
    (low, right), (down, both) = (_halved(half.T) for half in _halved(square))
    return _joined(_joined(_without_mean(low.T).T, right).T, _joined(down, both).T)


def _halved(rows: Floats) -> tuple[Floats, Floats]:
    """One step of the Haar transform down the columns: sums and differences of neighbours."""
    scaled = rows * _HAAR
    return scaled[::2] + scaled[1::2], scaled[::2] - scaled[1::2]


def _joined(sums: Floats, differences: Floats) -> Floats:
    """The step back."""
    sums, differences = sums * _HAAR, differences * _HAAR
    return np.stack([sums + differences, sums - differences], axis=1).reshape(-1, sums.shape[1])


# -- colorhash ----------------------------------------------------------------------------------------------

_BLACK = 32  # grey below it
_CODES = np.array([[n >= 4, n >= 2, n % 2] for n in range(8)], np.bool_)  # imagehash's: 4 has the bits of 6, 5 of 7
_STRIP = 1 << 24  # pixels that OpenCV counts in float32 without rounding

_BLACKS, _GREYS, _FAINT, _NEITHER, _BRIGHT = range(5)  # tones; imagehash drops a saturation of just 170
_HUES = np.array([3, 4, 0, 5, 2, 0, 1, 0])  # by which channels are above which, as in _kinds
_HUE = np.array([_HUES, _HUES - _HUES % 2]).ravel()


def _kinds(image: Pixels, grey: Pixels) -> Pixels:
    """What colorhash counts each pixel as: 16 times its tone, plus the place of its hue in `_HUE`.

    imagehash asks Pillow for HSV in whole numbers, which takes four times as long (2026-11), and parts the hues at 43,
    85, 128, 170 and 213 and the saturations at 85, 170 and 171 of 255. The same follows from comparing the channels, as
    was checked for all 2²⁴ colours. A hue of 43, 128 or 213 lies just beyond where the order of the channels changes.
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
    is_before = (below < 4) & (chroma > below * np.uint8(85))  # of 4 and more the product would not fit
    order = (green >= blue) * np.uint8(4) + (red > blue) * np.uint8(2) + (red >= green)
    return np.asarray(tone * (grey >= _BLACK) * np.uint8(16) + is_before * np.uint8(8) + order)


def _colour_eighths(kinds: Pixels) -> NDArray[np.intp]:
    """Black and grey in eighths of all pixels, then the hues, faint and bright, in eighths of the colourful; 0 to 7."""
    import cv2

    counts = np.zeros(256, np.int64)
    for strip in np.array_split(kinds.ravel(), kinds.size // _STRIP + 1):
        counts += cv2.calcHist([strip], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    tones = counts.reshape(16, 16)[:5]
    in_all = tones[[_BLACKS, _GREYS]].sum(axis=1) / kinds.size
    hues = np.concatenate([np.bincount(_HUE, tones[tone], 6) for tone in (_FAINT, _BRIGHT)])
    in_colourful = hues * 8 / max(tones[_FAINT:].sum(), 1)
    return np.minimum(np.concatenate([in_all * 8, in_colourful]).astype(np.intp), 7)
