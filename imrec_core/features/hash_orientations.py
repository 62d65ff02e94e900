"""Hashes of the eight orientations of an image, from one cosine transform or from a stored hash.

Mirroring an image changes the sign of its odd frequencies, and transposing it swaps the axes. So a search for rotated
or mirrored copies needs no eight transforms of the query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATIONS = (
    "upright",
    "rotated 90° counter-clockwise",
    "rotated 180°",
    "rotated 90° clockwise",
    "mirrored vertically",
    "mirrored horizontally",
    "transposed",
    "transposed and rotated 180°",
)
"""Orientations in the order of their hashes, as in the reference implementation of PDQ."""

_STEPS = (  # whether to mirror vertically, to mirror horizontally, and then to transpose
    (False, False, False),
    (False, True, True),
    (True, True, False),
    (True, False, True),
    (True, False, False),
    (False, True, False),
    (False, False, True),
    (True, True, True),
)


def oriented(low: NDArray[Any], *, first: int) -> NDArray[Any]:
    """Compute the low frequencies in each orientation `(n, 8, side, side)`.

    Args:
        low: Low frequencies `(n, side, side)` of a signed type, with vertical frequencies increasing downwards.
        first: Lowest frequency along each axis; 0 if the mean is included.
    """
    signs = np.where((np.arange(low.shape[1]) + first) % 2, -1, 1).astype(low.dtype)
    orientations = []
    for is_flipped, is_mirrored, is_transposed in _STEPS:
        changed = low * signs[:, None] if is_flipped else low
        changed = changed * signs if is_mirrored else changed
        orientations.append(changed.swapaxes(1, 2) if is_transposed else changed)
    return np.stack(orientations, axis=1)


def oriented_bits(bits: NDArray[np.bool_], *, first: int) -> NDArray[np.bool_]:
    """Approximate the bits of `oriented` frequencies from hash bits `(n, side, side)`.

    A bit is set if a coefficient is above the median. The negated coefficient is above the new median exactly if that
    bit is not set, except for coefficients between the median and its negative. Those few bits are wrong.
    """
    return oriented(np.where(bits, 1, -1).astype(np.int8), first=first) > 0
