"""PDQ, the 256-bit hash that platforms exchange lists of, and how much there is in a picture to hash.

The reference (ThreatExchange, pdq/cpp) blurs the grey picture with a box along both axes, twice, takes 64×64 points
of that, and looks at 16×16 low frequencies. All up to the points is linear, so here it is two sparse matrices: every
point is a weighted sum of a few neighbours, and nothing is computed between the points.

Two things differ. Luma is rounded to whole grey levels before the blur, as it is shared with other features: of 256
bits 0 change (median of 1066 photos; 4 at most; 2026-11), and no quality. And pictures come as they are decoded, where
the reference's program first squeezes those larger than 512 pixels into 512×512, without averaging. For photos four
times as large the hashes with and without that were 6 bits apart (median; 16 at most), and those of a decode shrunk to
256 pixels and a full one 10 (22 at most).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch, Pixels
from imrec_core.features.declare import feature
from imrec_core.features.dihedral import oriented, oriented_bits
from imrec_core.metrics import hamming, hamming_dihedral

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]
Columns = dict[str, NDArray[np.uint8]]

_MIN_SIDE = 256
_POINTS = 64
_LOW = 16  # frequencies along each axis: 1 to 16
_LEAST_SIDE = 5  # of pictures that the reference hashes
_DECIMALS = 2  # of coefficients; what is below is rounding, and would decide the bits of pictures of one colour


def pdq_orientations(batch: ImageBatch) -> Hashes:
    """The hashes of each picture in the eight `dihedral.ORIENTATIONS`, side by side `(n, 32)`."""
    bits = _above_median(oriented(_low(batch), first=1))
    return _packed(bits).reshape(-1, 32)


def pdq_turned(hashes: Hashes) -> Hashes:
    """What `pdq_orientations` gives `(n, 32)`, but from the hashes `(n, 4)` alone, hence not in every bit."""
    octets = np.ascontiguousarray(hashes).astype(">u8").view(np.uint8)
    bits = np.unpackbits(octets, axis=1)[:, ::-1].reshape(-1, _LOW, _LOW).astype(np.bool_)
    return _packed(oriented_bits(bits, first=1)).reshape(-1, 32)


@feature(
    group="hashes",
    dims=256,
    dtype="uint64",
    metrics=(hamming, hamming_dihedral),
    min_side=_MIN_SIDE,
    source="PDQ, github.com/facebook/ThreatExchange; Facebook 2019, The TMK+PDQF and the PDQ hashing algorithms",
    columns={"quality": "uint8"},
    orientations=pdq_orientations,
    turned=pdq_turned,
)
def pdq(batch: ImageBatch) -> tuple[Hashes, Columns]:
    """PDQ: signs of 16×16 low frequencies (DCT) against their median.

    Returns `(n, 4)`, the words of the reference's hex digits from the left; two pictures are taken for copies up to 31
    bits apart. And `quality`, 0 to 100: how much contrast there is; hashes below 50 are not to be trusted.
    """
    small = _points(batch)
    return _packed(_above_median(_low(batch))), {"quality": _quality(small)}


def _points(batch: ImageBatch) -> Floats:
    """Luma of the blurred pictures at 64×64 points `(n, 64, 64)`; 0 where a picture is too small."""
    return batch.cached("pdq", lambda: np.array([_sampled(grey) for grey in batch.grey], np.float64))


def _sampled(grey: Pixels) -> NDArray[np.float32]:
    height, width = grey.shape
    if min(height, width) < _LEAST_SIDE:
        return np.zeros((_POINTS, _POINTS), np.float32)
    rows = _weights(height) @ grey.astype(np.float32)
    return np.asarray((_weights(width) @ rows.T).T)


@functools.lru_cache(maxsize=512)
def _weights(length: int) -> Any:
    """Which pixels of a row of that length each of 64 points is made of `(64, length)`, sparse.

    The box is as wide as half a point's share, rounded up, and smaller where it would reach over an end; one of an
    even width reaches further to the right.
    """
    window = -(-length // (2 * _POINTS))
    right = window // 2
    pixels = np.arange(length)
    inside = np.abs(2 * (pixels - pixels[:, None]) - (2 * right - window + 1)) < window
    box = inside / inside.sum(axis=1, keepdims=True)
    points = ((np.arange(_POINTS) + 0.5) * length / _POINTS).astype(int)
    return scipy.sparse.csr_array((box[points] @ box).astype(np.float32))


@functools.cache
def _cosines() -> Floats:
    """The cosine transform's rows for frequencies 1 to 16 `(16, 64)`."""
    frequencies = np.arange(1, _LOW + 1)[:, None]
    angles = np.pi / (2 * _POINTS) * frequencies * (2 * np.arange(_POINTS) + 1)
    return np.asarray(np.sqrt(2 / _POINTS) * np.cos(angles))


def _low(batch: ImageBatch) -> Floats:
    return np.asarray((_cosines() @ _points(batch) @ _cosines().T).round(_DECIMALS))


def _above_median(low: Floats) -> NDArray[np.bool_]:
    """Which coefficients `(..., 16, 16)` are above the median of theirs, of two middle ones the lower."""
    flat = low.reshape(*low.shape[:-2], _LOW * _LOW)
    median = np.partition(flat, _LOW * _LOW // 2 - 1, axis=-1)[..., _LOW * _LOW // 2 - 1]
    return np.asarray(low > median[..., None, None])


def _packed(bits: NDArray[np.bool_]) -> Hashes:
    """Bits, 256 a picture, row by row, the least significant first, as `(n, 4)` numbers, the most significant first."""
    octets = np.packbits(bits.reshape(-1, _LOW * _LOW)[:, ::-1], axis=1)
    return octets.view(">u8").astype(np.uint64)


def _quality(small: Floats) -> NDArray[np.uint8]:
    """Sum of the steps between neighbouring points, each in whole hundredths of the range, over 90; 100 at most."""
    steps = [np.trunc(np.abs(np.diff(small, axis=axis)) * 100 / 255).sum(axis=(1, 2)) for axis in (1, 2)]
    return np.asarray(np.minimum(np.sum(steps, axis=0) // 90, 100), np.uint8)
