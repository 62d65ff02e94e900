"""The hashes of a picture's eight orientations from one cosine transform, or from the hash alone.

To mirror a picture changes the sign of its odd frequencies, to transpose it swaps the axes. So a query need not be
turned and hashed eight times to find copies that were turned or mirrored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATIONS = (
    "upright",
    "a quarter turn against the clock",
    "half a turn",
    "a quarter turn with the clock",
    "upside down, mirrored",
    "mirrored left to right",
    "transposed",
    "transposed, half a turn",
)
"""How a picture stands whose hash is first, second, ...; the order of PDQ's reference."""

_STEPS = (  # mirror up and down? left and right? then transpose?
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
    """The low frequencies `(n, side, side)` of pictures in each of `ORIENTATIONS`: `(n, 8, side, side)`.

    Args:
        low: Row by row, the vertical frequency growing down; of a signed type.
        first: Lowest frequency along each axis: 0 if the mean is among them.
    """
    signs = np.where((np.arange(low.shape[1]) + first) % 2, -1, 1).astype(low.dtype)
    seen = []
    for is_flipped, is_mirrored, is_transposed in _STEPS:
        turned = low * signs[:, None] if is_flipped else low
        turned = turned * signs if is_mirrored else turned
        seen.append(turned.swapaxes(1, 2) if is_transposed else turned)
    return np.stack(seen, axis=1)


def oriented_bits(bits: NDArray[np.bool_], *, first: int) -> NDArray[np.bool_]:
    """What `oriented` gives, but from hash bits `(n, side, side)` alone.

    A bit says that a coefficient is above the median. Its opposite is above the new median just if it is not, except
    where it lies between the median and the median's opposite; those few bits come out wrong.
    """
    return oriented(np.where(bits, 1, -1).astype(np.int8), first=first) > 0
