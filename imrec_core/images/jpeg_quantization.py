"""Quantisation of JPEG files (ITU-T T.81, annex A.3.4): traces that it leaves in pixels that were once stored so.

The 8×8 blocks of a decoded JPEG have cosine coefficients near multiples of the steps of its table. They stay there when
the pixels are stored again with smaller steps, or without loss.
"""

from __future__ import annotations

import io

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import UnreadableImage
from imrec_core.images.jpeg_segments import JPEG_START

Table = NDArray[np.float32]

_LEAST_STEP = 4  # smaller steps drown in the rounding of the pixels
_LEAST_COUNT = 200  # coefficients that are needed for an answer
_LARGER = 1.2  # ratio of steps
_TRACES = 0.16  # mean distance from a multiple, in steps; 0.25 by chance


def luma_table(data: bytes) -> Table | None:
    """Read the steps of the luma coefficients `(8, 8)`, rows by vertical frequency; None for other formats."""
    if not data.startswith(JPEG_START):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "MPO")) as image:
            table = getattr(image, "quantization", {}).get(0)
    except (OSError, ValueError, SyntaxError):
        return None
    return None if table is None or len(table) != 64 else np.array(table, np.float32).reshape(8, 8)


def decode_luma(data: bytes) -> NDArray[np.uint8]:
    """Decode the luma `(h, w)` of a JPEG file as it is stored.

    Raises:
        UnreadableImage: The file is damaged.
    """
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "GRAY"), np.uint8)[..., 0]
    except ValueError as error:
        raise UnreadableImage(f"damaged JPEG: {error}") from error


def has_traces(luma: NDArray[np.uint8], table: Table, own: Table | None = None) -> bool | None:
    """Test whether an image `(h, w)` was once stored as JPEG with this table, by blocks that begin at its corner.

    Args:
        own: Steps with which the image is stored now, if it is JPEG. Only steps that are clearly larger tell.

    Returns:
        None if too few coefficients tell.
    """
    in_steps = _coefficients(luma) / table
    telling = (np.abs(in_steps) > 0.5) & (table >= _LEAST_STEP)
    if own is not None:
        telling &= table >= _LARGER * own
    telling[:, 0, 0] = False  # the mean, of which every value occurs
    if telling.sum() < _LEAST_COUNT:
        return None
    return bool(np.abs(in_steps - np.round(in_steps))[telling].mean() < _TRACES)


def _coefficients(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the cosine coefficients of the whole blocks `(n, 8, 8)`."""
    rows, columns = (side // 8 for side in luma.shape)
    blocks = luma[: 8 * rows, : 8 * columns].reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    frequency, place = np.arange(8)[:, None], np.arange(8)[None]
    cosines = np.cos((2 * place + 1) * frequency * np.pi / 16) / 2
    cosines[0] /= np.sqrt(2)
    basis = cosines.astype(np.float32)
    return np.asarray(basis @ (blocks.astype(np.float32) - 128) @ basis.T, np.float32)
