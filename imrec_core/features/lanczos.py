"""Pillow's Lanczos filter for the hashes, equal to the last bit.

ahash, dhash and phash need three small sizes; one matrix product filters the rows for all three. Pillow filters in
integers, usually first along the rows and then down the columns, and rounds to 8 bits after each step. This module does
the same in float64, which represents those integers exactly. That took a third of Pillow's time (2026-11).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.images.batch import ImageBatch
from imrec_core.images.rgb import Pixels

Floats = NDArray[np.float64]
Whole = NDArray[np.int32]

_FIXED_POINT = float(1 << 22)  # Pillow's PRECISION_BITS for 8-bit images
_SIZES = ((8, 8), (8, 9), (32, 32))  # rows and columns of the images of ahash, dhash and phash


def small_images(batch: ImageBatch) -> tuple[Floats, Floats, Floats]:
    """Shrink the grey images to each of `_SIZES`, equal to Pillow's Lanczos filter."""
    shrunk = batch.cached("hashes", lambda: [_shrink(grey) for grey in batch.grey])
    return tuple(np.array(images) for images in zip(*shrunk, strict=True))  # type: ignore[return-value]


def shrink_to_square(grey: Pixels) -> Whole:
    """Shrink a grey image to a square by Pillow's Lanczos filter.

    The side is the largest power of two that fits into the image, at least 8. Two sparse products take two thirds of
    Pillow's time (2026-11).
    """
    height, width = grey.shape
    side = max(1 << (min(height, width).bit_length() - 1), 8)
    rows, columns = _sparse_filter(height, side), _sparse_filter(width, side)
    if _is_columns_first(height - side, width - side):
        return _apply(columns, _apply(rows, grey).T).T
    return _apply(rows, _apply(columns, grey.T).T)


def _shrink(grey: Pixels) -> list[Floats]:
    """Shrink one grey image to each of `_SIZES`."""
    height, width = grey.shape
    values = grey.astype(np.float64)
    few, parts = _row_filters(width)
    narrowed = np.split(_round_to_8_bit(values @ few), (8,), axis=1)
    narrowed.append(_round_to_8_bit(np.hstack([values[:, stretch] @ filters for stretch, filters in parts])))
    shrunk = []
    for (rows, columns), narrow in zip(_SIZES, narrowed, strict=True):
        if _is_columns_first(height - rows, width - columns):
            low = _round_to_8_bit(_dense_filter(height, rows) @ values)
            shrunk.append(_round_to_8_bit(low @ _dense_filter(width, columns).T))
        else:
            shrunk.append(_round_to_8_bit(_dense_filter(height, rows) @ narrow))
    return shrunk


def _is_columns_first(fewer_rows: int, fewer_columns: int) -> bool:
    """Return whether Pillow filters down the columns before it filters the rows.

    The order matters, as Pillow rounds in between. Pillow 13 does so for tall images (pull request 9549), older
    versions never. This module always follows Pillow 13, so that stored hashes stay comparable.
    """
    return fewer_rows > 0 and fewer_rows > 2 * fewer_columns


def _round_to_8_bit(sums: Floats) -> Floats:
    return np.clip(np.floor(sums / _FIXED_POINT + 0.5), 0, 255)


def _apply(filters: Any, values: NDArray[Any]) -> Whole:
    """Multiply in fixed point, and round to 0 to 255 as Pillow does."""
    sums: Whole = filters @ values.astype(np.int32, order="C")
    sums += np.int32(_FIXED_POINT / 2)
    sums >>= 22
    return np.clip(sums, 0, 255, out=sums)


@functools.lru_cache(maxsize=512)
def _row_filters(length: int) -> tuple[Floats, list[tuple[slice, Floats]]]:
    """Return filters for rows of a length.

    One filter is for 8 and 9 columns `(length, 17)`. Four parts are for 32 columns: each part computes 8 of the 32
    columns from a stretch of less than half of the row.
    """
    few = np.concatenate([_dense_filter(length, 8), _dense_filter(length, 9)]).T.astype(np.float64)
    parts = []
    for filters in np.split(_dense_filter(length, 32), 4):
        used = np.flatnonzero(filters.any(axis=0))
        stretch = slice(int(used[0]), int(used[-1]) + 1)
        parts.append((stretch, np.ascontiguousarray(filters[:, stretch].T, np.float64)))
    return few, parts


@functools.lru_cache(maxsize=4096)
def _dense_filter(length: int, out: int) -> NDArray[np.float32]:
    """Return Pillow's Lanczos filter `(out, length)` in integers below 2²⁴."""
    filters = np.zeros((out, length), np.float32)
    rows, columns, weights = _filter_weights(length, out)
    filters[rows, columns] = weights
    return filters


@functools.lru_cache(maxsize=256)
def _sparse_filter(length: int, out: int) -> Any:
    """Return the same filter as a sparse int32 matrix, for an `out` of hundreds."""
    import scipy.sparse

    rows, columns, weights = _filter_weights(length, out)
    return scipy.sparse.csr_array((weights.astype(np.int32), (rows, columns)), shape=(out, length))


def _filter_weights(length: int, out: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Compute the rows, columns and weights of Pillow's Lanczos filter.

    The operations and their order are those of Pillow. Like Pillow, `math.sin` calls the C library, while numpy has its
    own sine.
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
    weights *= 1.0 / np.add.accumulate(weights, axis=1)[:, -1:]  # in sequence, as Pillow adds them
    fixed = np.trunc(weights * _FIXED_POINT + np.copysign(0.5, weights))
    rows, columns = np.nonzero(inside)
    return rows, first[rows] + columns, fixed[rows, columns]


def _sinc(x: Floats) -> Floats:
    angle = x * math.pi
    sines = np.fromiter(map(math.sin, angle.ravel().tolist()), np.float64, angle.size).reshape(x.shape)
    return np.divide(sines, angle, out=np.ones_like(x), where=angle != 0)
