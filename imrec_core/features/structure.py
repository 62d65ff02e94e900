"""Edge and texture features of the grey image.

All features use a grey square of 128×128 or 64×64 pixels, so each image is shrunk once. Resizing to a square ignores
the aspect ratio, so that an index of the vector always stands for the same relative position in the image.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature import Blank, feature
from imrec_core.features.metrics import cosine, euclidean, hellinger, manhattan
from imrec_core.images.batch import ImageBatch
from imrec_core.images.rgb import Pixels

Matrix = NDArray[np.float32]
Bins = NDArray[np.intp]

_MIN_SIDE = 256  # shrinking to this while decoding hardly changes the 128×128 square

_NO_EDGES = Blank.zeros("edges")

_MIN_EDGE = 11  # grey levels of the filter response from which a block has an edge; the standard leaves it open
_FILTERS = np.array(
    [
        [1, -1, 1, -1],  # a vertical edge
        [1, 1, -1, -1],  # a horizontal edge
        [2**0.5, 0, 0, -(2**0.5)],  # an edge at 45°
        [0, 2**0.5, -(2**0.5), 0],  # an edge at 135°
        [2, -2, -2, 2],  # an edge without direction
    ],
    np.float32,
)


@feature(
    group="structure",
    dims=80,
    metrics=(manhattan, euclidean, cosine),
    min_side=_MIN_SIDE,
    blank=_NO_EDGES,
    source="MPEG-7 edge histogram, ISO/IEC 15938-3; Won, Park & Park 2002, ETRI Journal 24(1)",
    is_histogram=True,
)
def edge_histogram(batch: ImageBatch) -> Matrix:
    """Shares of edges in four directions and of other edges, in 4×4 parts (MPEG-7).

    The directions are vertical, horizontal, 45° and 135°. A part has 8×8 blocks: 1024 in the image, while the standard
    has about 1100. A block consists of four mean values, and counts for the filter with the strongest response, or for
    none. Shares are not quantized to 3 bits as in the standard.

    Returns `(n, 80)`, part by part, row by row. The five shares of a part sum to at most 1, and are 0 without edges.
    """
    means = _grey_squares(batch, 64).reshape(-1, 32, 2, 32, 2).transpose(0, 2, 4, 1, 3).reshape(-1, 4, 32 * 32)
    strengths = np.abs(_FILTERS @ means.astype(np.float32))
    kinds = np.where(strengths.max(axis=1) < _MIN_EDGE, 5, strengths.argmax(axis=1))
    return _histograms(_parts(32, 4) * 6 + kinds, 16 * 6).reshape(-1, 16, 6)[:, :, :5].reshape(-1, 80) / np.float32(64)


_FAINT = 10.0  # grey levels; 0.36 of the five nearest had the class of the query, 0.34 with 1 (1066 photos, 2026-11)


@feature(
    group="structure",
    dims=324,
    metrics=(euclidean, manhattan, cosine),
    min_side=_MIN_SIDE,
    blank=_NO_EDGES,
    source="Dalal & Triggs 2005, doi:10.1109/CVPR.2005.177",
    is_histogram=True,
)
def hog(batch: ImageBatch) -> Matrix:
    """Histograms of oriented gradients: 9 directions, 3×3 blocks of four cells.

    Blocks overlap, and the image has 4×4 cells. The gradient of a pixel contributes its magnitude to its own cell,
    divided between the two nearest directions. A block is normalised, clipped at 0.2 and normalised again (L2-Hys). The
    norm includes an extra gradient of 10 grey levels, which keeps noise on a uniform background small. The paper leaves
    its value open.

    Returns `(n, 324)`: block by block, in each block cell by cell, row by row, directions from 0° to 180°; all 0
    without gradients.
    """
    grey = _grey_squares(batch, 64).astype(np.int32)
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
    return _normalize_blocks(blocks).reshape(-1, 324)


def _normalize_blocks(blocks: Matrix) -> Matrix:
    norms = np.sqrt((blocks * blocks).sum(axis=-1, keepdims=True) + np.float32(_FAINT**2))
    clipped, faint = np.minimum(blocks / norms, np.float32(0.2)), np.float32(_FAINT) / norms
    return np.asarray(clipped / np.sqrt((clipped * clipped).sum(axis=-1, keepdims=True) + faint * faint))


@functools.cache
def _directions() -> tuple[NDArray[np.int8], Matrix]:
    """Tabulate the direction of a gradient by its differences.

    The first table has the last of 9 directions (10° to 170°) before the gradient, the second its position between that
    direction and the next, 0 to 1. The index is 511 times the vertical difference plus the horizontal difference, each
    plus 255.
    """
    steps = np.arange(-255, 256)
    angle = (np.degrees(np.arctan2(steps[:, None], steps)).ravel() - 10) % 180 / 20
    before = np.floor(angle)
    return (before % 9).astype(np.int8), (angle - before).astype(np.float32)


@feature(
    group="structure",
    dims=90,
    metrics=(hellinger, euclidean, manhattan, cosine),
    min_side=_MIN_SIDE,
    blank=Blank("texture", lambda vectors: vectors[:, 8::10].sum(axis=1) >= 1 - 1e-6),
    source="Ojala, Pietikäinen & Mäenpää 2002, doi:10.1109/TPAMI.2002.1017623 (riu2, P=8, R=1)",
    is_histogram=True,
)
def lbp(batch: ImageBatch) -> Matrix:
    """Uniform, rotation-invariant local binary patterns in each of 3×3 parts.

    The pattern of a pixel is the number of its 8 neighbours that are at least as bright, 0 to 8, if they are adjacent
    in the ring; otherwise it is 9. In a uniform image all patterns are 8.

    Returns `(n, 90)`: part by part, row by row, ten numbers each; a row sums to 1.
    """
    codes = np.array([_ring_codes(square) for square in _grey_squares(batch, 128)])
    kinds = _ring_patterns()[codes].reshape(len(batch), -1)
    return _histograms(_parts(126, 3) * 10 + kinds, 90) / np.float32(126 * 126)


def _ring_codes(square: Pixels) -> Pixels:
    """Set a bit for each neighbour in the ring that is at least as bright.

    Returns `(126, 126)`, without the border.

    A diagonal point of the ring lies between pixels. Its interpolated difference from the centre has the sign of the
    differences of the two adjacent neighbours plus 1 + √2 times that of the diagonal neighbour. float32 gives the exact
    sign of this sum, including 0.
    """
    grey = square.astype(np.float32)
    around = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
    centre = grey[1:-1, 1:-1]
    differences = [grey[1 + y : 127 + y, 1 + x : 127 + x] - centre for y, x in around]
    codes = np.zeros(centre.shape, np.uint8)
    for i in range(8):
        difference = differences[i]
        if i % 2:
            difference = differences[i - 1] + differences[(i + 1) % 8] + np.float32(1 + 2**0.5) * difference
        codes |= (difference >= 0).view(np.uint8) << np.uint8(i)
    return codes


@functools.cache
def _ring_patterns() -> NDArray[np.uint8]:
    """Return the pattern of each of the 256 ring codes.

    It is the number of set bits if they are adjacent, otherwise 9.
    """
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), 9).astype(np.uint8)


def _parts(side: int, count: int) -> Bins:
    """Return the part of each pixel of a square with `count`×`count` parts."""
    parts = np.arange(side) * count // side
    return (parts[:, None] * count + parts).ravel()


def _histograms(bins: Bins, dims: int, weights: Matrix | None = None) -> Matrix:
    """Count each row of bins in a histogram `(n, dims)`."""
    count = len(bins)
    rows = (bins + np.arange(count)[:, None] * dims).ravel()
    counts = np.bincount(rows, None if weights is None else weights.ravel(), count * dims)
    return counts.reshape(count, dims).astype(np.float32)


def _grey_squares(batch: ImageBatch, side: int) -> Pixels:
    """Resize the grey images to squares `(n, side, side)` of 128 or 64 pixels."""
    return batch.cached(
        ("grey", side), lambda: _resize_all(batch.grey if side == 128 else _grey_squares(batch, 128), side)
    )


def _resize_all(images: Iterable[Pixels], side: int) -> Pixels:
    import cv2

    squares = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images]
    return np.array(squares, np.uint8)
