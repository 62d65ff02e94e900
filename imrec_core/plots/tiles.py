"""Images as tiles of contact sheets and notebooks: loaded upright, at a limited size, or the reason why not."""

from __future__ import annotations

import base64

import numpy as np
from PIL import Image

from imrec_core.errors import ImageError
from imrec_core.images.decode import decode_file
from imrec_core.images.thumbnails import encode_jpeg, scale_to_fit
from imrec_core.lake.storage.files import AnyPath

MISSING, DAMAGED = "missing file", "unreadable file"


def open_tile(image: AnyPath | Image.Image, side: int) -> Image.Image | str:
    """Load an image as RGB of at most `side` × `side` pixels, upright; return the reason if that fails.

    The reason is `MISSING` or `DAMAGED`.
    """
    if isinstance(image, Image.Image):
        return scale_to_fit(np.asarray(image.convert("RGB")), side)
    try:
        return scale_to_fit(decode_file(image, min_side=side).pixels, side)
    except ImageError as error:
        return MISSING if isinstance(error.__cause__, FileNotFoundError) else DAMAGED


def load_image(image: AnyPath | Image.Image, side: int) -> Image.Image | None:
    """Load an image as RGB of at most `side` × `side` pixels; None if the file is missing or damaged."""
    tile = open_tile(image, side)
    return None if isinstance(tile, str) else tile


def as_data_uri(image: Image.Image, *, quality: int = 85) -> str:
    """Encode an image as a JPEG data URI, for self-contained SVG and HTML."""
    jpeg = encode_jpeg(image, quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
