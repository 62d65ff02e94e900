"""Where a picture's edges run and how fine its texture is, whatever its colours.

All look at one grey square of 128×128 or at its half, so a picture is shrunk once. Its sides are squeezed into the
square: a place in the vector is always the same place in the picture.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch, Pixels
from imrec_core.features.declare import feature
from imrec_core.metrics import cosine, euclidean, hellinger, manhattan

Matrix = NDArray[np.float32]
Bins = NDArray[np.intp]

_MIN_SIDE = 256  # a shrunk decode to this leaves the square of 128 nearly what it is

_FAINTEST = 11  # grey levels that a filter must find for an edge; ours to choose
_FILTERS = np.array(
    [
        [1, -1, 1, -1],  # an upright edge
        [1, 1, -1, -1],  # a level one
        [2**0.5, 0, 0, -(2**0.5)],  # one rising at 45°
        [0, 2**0.5, -(2**0.5), 0],  # one falling, at 135°
        [2, -2, -2, 2],  # one of no direction
    ],
    np.float32,
)


@feature(
    group="structure",
    dims=80,
    metrics=(manhattan, euclidean, cosine),
    min_side=_MIN_SIDE,
    source="MPEG-7 edge histogram, ISO/IEC 15938-3; Won, Park & Park 2002, ETRI Journal 24(1)",
    is_histogram=True,
)
def edge_histogram(batch: ImageBatch) -> Matrix:
    """Share of upright, level, rising, falling and undirected edges in each of 4×4 parts (MPEG-7).

    A part has 8×8 blocks, 1024 in the picture where the standard wants about 1100. A block is four means, and counts
    for the strongest of five filters, or for none. The shares stay as they are, not in the standard's 3 bits.

    Returns `(n, 80)`, part by part, row by row; a part's five sum to 1 at most, and are 0 where there is no edge.
    """
    means = _grey(batch, 64).reshape(-1, 32, 2, 32, 2).transpose(0, 2, 4, 1, 3).reshape(-1, 4, 32 * 32)
    strengths = np.abs(_FILTERS @ means.astype(np.float32))
    kinds = np.where(strengths.max(axis=1) < _FAINTEST, 5, strengths.argmax(axis=1))
    return _histograms(_parts(32, 4) * 6 + kinds, 16 * 6).reshape(-1, 16, 6)[:, :, :5].reshape(-1, 80) / np.float32(64)


_FAINT = 10.0  # grey levels; of the nearest five 0.36 were of one class, 0.34 with 1 (1066 photos, 2026-11)


@feature(
    group="structure",
    dims=324,
    metrics=(euclidean, manhattan, cosine),
    min_side=_MIN_SIDE,
    source="Dalal & Triggs 2005, doi:10.1109/CVPR.2005.177",
    is_histogram=True,
)
def hog(batch: ImageBatch) -> Matrix:
    """Histograms of oriented gradients: 4×4 cells, 9 directions, 3×3 overlapping blocks of four cells.

    A pixel counts by the length of its gradient, in its own cell alone, shared by the two directions nearest to its
    own. A block is normed, clipped at 0.2 and normed again (L2-Hys), together with one gradient of 10 grey levels
    that is then left out. The paper leaves its size open; this one keeps noise on an empty ground small.

    Returns `(n, 324)`: block by block, in each cell by cell, row by row, directions from 0° to 180°; all 0 where
    there is no gradient.
    """
    grey = _grey(batch, 64).astype(np.int32)
    right, down = np.zeros_like(grey), np.zeros_like(grey)
    np.subtract(grey[:, :, 2:], grey[:, :, :-2], out=right[:, :, 1:-1])
    np.subtract(grey[:, 2:], grey[:, :-2], out=down[:, 1:-1])
    lengths = np.sqrt((right * right + down * down).astype(np.float32))
    steps = ((down + 255) * 511 + right + 255).reshape(len(batch), -1)
    direction, beyond = (table[steps] for table in _directions())
    lengths, cell = lengths.reshape(steps.shape), _parts(64, 4) * 9
    cells = _histograms(cell + direction, 16 * 9, lengths * (1 - beyond))
    cells += _histograms(cell + (direction + 1) % 9, 16 * 9, lengths * beyond)
    cells = cells.reshape(-1, 4, 4, 9) / np.float32(16 * 16)
    corners = [cells[:, y : y + 3, x : x + 3] for y in (0, 1) for x in (0, 1)]
    blocks = np.concatenate(corners, axis=3)
    return _normed(blocks).reshape(-1, 324)


def _normed(blocks: Matrix) -> Matrix:
    norms = np.sqrt((blocks * blocks).sum(axis=-1, keepdims=True) + np.float32(_FAINT**2))
    clipped, faint = np.minimum(blocks / norms, np.float32(0.2)), np.float32(_FAINT) / norms
    return np.asarray(clipped / np.sqrt((clipped * clipped).sum(axis=-1, keepdims=True) + faint * faint))


@functools.cache
def _directions() -> tuple[NDArray[np.int8], Matrix]:
    """Of 9 directions, 10° to 170°, the one before that of a gradient, and how far it lies towards the next, 0 to 1.

    By 511 times its step down plus its step right, each plus 255.
    """
    steps = np.arange(-255, 256)
    turn = (np.degrees(np.arctan2(steps[:, None], steps)).ravel() - 10) % 180 / 20
    before = np.floor(turn)
    return (before % 9).astype(np.int8), (turn - before).astype(np.float32)


@feature(
    group="structure",
    dims=90,
    metrics=(hellinger, euclidean, manhattan, cosine),
    min_side=_MIN_SIDE,
    source="Ojala, Pietikäinen & Mäenpää 2002, doi:10.1109/TPAMI.2002.1017623 (riu2, P=8, R=1)",
    is_histogram=True,
)
def lbp(batch: ImageBatch) -> Matrix:
    """Local binary patterns, uniform and whichever way they are turned, in each of 3×3 parts.

    A pixel counts by how many of its 8 neighbours are at least as bright, 0 to 8, if they stand together in the ring,
    and as 9 if not. A solid picture is all 8.

    Returns `(n, 90)`: part by part, row by row, ten numbers each; a row sums to 1.
    """
    codes = np.array([_rings(square) for square in _grey(batch, 128)])
    kinds = _ring_kinds()[codes].reshape(len(batch), -1)
    return _histograms(_parts(126, 3) * 10 + kinds, 90) / np.float32(126 * 126)


def _rings(square: Pixels) -> Pixels:
    """Which neighbours of each pixel are at least as bright, a bit each, going round; without the border `(126, 126)`.

    A corner of the ring lies between pixels. Interpolated, it differs from the centre as the two neighbours beside it
    do, plus 1 + √2 times the one across it: a sum that float32 gets the sign of, 0 included.
    """
    grey = square.astype(np.float32)
    around = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
    centre = grey[1:-1, 1:-1]
    off = [grey[1 + y : 127 + y, 1 + x : 127 + x] - centre for y, x in around]
    codes = np.zeros(centre.shape, np.uint8)
    for i in range(8):
        at = off[i] if i % 2 == 0 else off[i - 1] + off[(i + 1) % 8] + np.float32(1 + 2**0.5) * off[i]
        codes |= (at >= 0).view(np.uint8) << np.uint8(i)
    return codes


@functools.cache
def _ring_kinds() -> NDArray[np.uint8]:
    """Of each of the 256 rings: how many bits are set, if they stand together; otherwise 9."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), 9).astype(np.uint8)


def _parts(side: int, count: int) -> Bins:
    """Number of the part that each pixel of a square lies in, row by row, of `count`×`count` parts."""
    places = np.arange(side) * count // side
    return (places[:, None] * count + places).ravel()


def _histograms(bins: Bins, dims: int, weights: Matrix | None = None) -> Matrix:
    """One histogram `(n, dims)` for each row of bins."""
    count = len(bins)
    rows = (bins + np.arange(count)[:, None] * dims).ravel()
    counts = np.bincount(rows, None if weights is None else weights.ravel(), count * dims)
    return counts.reshape(count, dims).astype(np.float32)


def _grey(batch: ImageBatch, side: int) -> Pixels:
    """The grey pictures as squares `(n, side, side)`, 128 or 64, by area averaging."""
    return batch.cached(("grey", side), lambda: _squares(batch.grey if side == 128 else _grey(batch, 128), side))


def _squares(pictures: Iterable[Pixels], side: int) -> Pixels:
    import cv2

    squares = [cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.array(squares, np.uint8)
