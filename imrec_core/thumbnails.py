"""Small pictures of images, to be looked at: made once, kept by content hash.

What is kept is a cache: it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress

import numpy as np
from PIL import Image

from imrec_core import storage
from imrec_core.decode import WELL_KNOWN, Pixels, decode
from imrec_core.errors import StorageFault, StorageFull, UnreadableImage
from imrec_core.lake import Lake
from imrec_core.storage import AnyPath

SIDES = (160, 320, 640)
"""Pixels of the longer side."""

_QUALITY = 82


def thumbnail(data: bytes, side: int, *, max_pixels: int) -> bytes:
    """A JPEG of the picture in the bytes of a file, upright, no side longer than `side`; none is made larger.

    Raises:
        ImageError: They cannot be decoded.
    """
    # A JPEG is shrunk while it is decoded, to twice of what is needed at least: the rest is averaged.
    return encoded(decode(data, max_pixels=max_pixels, min_side=side, formats=WELL_KNOWN).pixels, side)


def encoded(pixels: Pixels, side: int, quality: int = _QUALITY) -> bytes:
    """A picture `(h, w, 4)` as a JPEG, no side longer than `side`."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def kept_thumbnail(lake: Lake, path: AnyPath, content_hash: str, side: int, *, max_pixels: int) -> bytes:
    """The thumbnail of a file, made where there is none yet.

    Args:
        content_hash: Of the file as the lake knows it: no other content is shown in its name.

    Raises:
        ImageError: The file is gone, has changed, or cannot be decoded.
    """
    kept = lake.thumbnail_path(content_hash, side)
    with suppress(OSError):
        return kept.read_bytes()
    made = thumbnail(contents(path, content_hash), side, max_pixels=max_pixels)
    with suppress(OSError, StorageFull, StorageFault):  # a lake may be read by those who may not write to it
        storage.write_bytes(kept, made)
    return made


def contents(path: AnyPath, content_hash: str) -> bytes:
    """The bytes of a file that is as the lake knows it.

    Raises:
        UnreadableImage: It is gone, has changed, or cannot be read.
    """
    try:
        data = storage.read_bytes(path)
    except (OSError, ValueError, StorageFault) as error:
        raise UnreadableImage(
            f"the file cannot be read ({getattr(error, 'strerror', None) or 'storage fault'})"
        ) from error
    if hashlib.blake2b(data, digest_size=16).hexdigest() != content_hash:
        raise UnreadableImage("the file has changed since the last build; run: imrec build")
    return data
