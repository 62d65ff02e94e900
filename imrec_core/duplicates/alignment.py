"""Alignment of two images that are shifted or scaled by a few percent, as by a slight crop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.duplicates.block_agreement import Floats
from imrec_core.images.rgb import Pixels

Shift = NDArray[np.float64]
"""Displacement of x as `(at the centre, at the right edge beyond that)` in half widths, then of y in half heights."""

_SIDES = 48, 384  # pixels of the longer side of the coarsest and the finest size at which the images are aligned
_STEPS = 3  # Gauss-Newton steps per size
_LARGEST = 0.08  # displacement in half sides
_LEAST = 0.5  # pixels
_OUTLIERS, _SAMPLED = 0.9, 4  # quantile of the differences, above which pixels are left out; of one pixel in four


def align(a: Pixels, b: Pixels) -> tuple[Pixels, Pixels] | None:
    """Align two images of one size by shift and scale along both axes.

    Returns:
        The parts of both images that show the same area, of one size; None if they are aligned already, or too far
        apart.
    """
    import cv2

    grey = [np.asarray(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), np.float32) for x in (a, b)]
    shift: Shift = np.zeros(4)
    side = _SIDES[0]
    while True:
        small = [_shrink(x, side) for x in grey]
        for _ in range(_STEPS):
            shift += _step(small[0], _warp(small[1], shift))
            if np.abs(shift).max() > _LARGEST:
                return None
        if side >= min(_SIDES[1], max(a.shape)):
            break
        side *= 2
    if np.abs(shift).max() * max(a.shape) / 2 < _LEAST:
        return None
    columns, rows = (_valid(side, *shift[i : i + 2]) for side, i in ((a.shape[1], 0), (a.shape[0], 2)))
    return np.ascontiguousarray(a[rows, columns]), np.ascontiguousarray(_warp(b, shift)[rows, columns])


def _shrink(grey: Floats, longest: int) -> Floats:
    import cv2

    height, width = grey.shape
    scale = min(longest / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def _warp(image: Any, shift: Shift) -> Any:
    """Move an image so that its content lies where `shift` found it in the other image."""
    import cv2

    rows = []
    for side, (centre, edge) in zip((image.shape[1], image.shape[0]), shift.reshape(2, 2), strict=True):
        half = (side - 1) / 2
        rows.append((1 + edge, half * (1 + centre) - half * (1 + edge)))
    matrix = np.array([[rows[0][0], 0, rows[0][1]], [0, rows[1][0], rows[1][1]]])
    size = image.shape[1], image.shape[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _step(standing: Floats, moving: Floats) -> Shift:
    """Compute one Gauss-Newton step of the displacement of `moving`, without the pixels that differ most."""
    import cv2

    height, width = standing.shape
    along_x = cv2.Sobel(moving, cv2.CV_32F, 1, 0, ksize=1) * (width - 1) / 4  # levels per half width
    along_y = cv2.Sobel(moving, cv2.CV_32F, 0, 1, ksize=1) * (height - 1) / 4
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    wrong = standing - moving
    difference = np.abs(wrong)
    kept = (difference <= np.quantile(difference.ravel()[::_SAMPLED], _OUTLIERS)).astype(np.float32)
    along_x, along_y = along_x * kept, along_y * kept
    slopes = np.stack([along_x, along_x * x, along_y, along_y * y]).reshape(4, -1)
    normal = (slopes @ slopes.T).astype(np.float64)
    normal += np.eye(4) * (1e-3 * np.trace(normal) + 1e-6)
    return np.asarray(np.linalg.solve(normal, (slopes @ wrong.ravel()).astype(np.float64)))


def _valid(side: int, centre: float, edge: float) -> slice:
    """Return the pixels along one side that the moved image covers."""
    half = (side - 1) / 2
    first, last = ((target - centre) / (1 + edge) for target in (-1, 1))
    return slice(max(int(np.ceil(half * (1 + first))), 0), min(int(half * (1 + last)) + 1, side))
