"""Hash of all that makes two image files the same: values, size, depth, transparency and profile of every frame.

Forms of storage that lose nothing are equal: a palette and its colours, grey and the same grey in three channels, an
alpha channel without transparency and none, an orientation by tag or by pixels, a profile of sRGB and none.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import UnsupportedFormat
from imrec_core.images import exif
from imrec_core.images.color_profile import open_profile, stated_gamma
from imrec_core.images.decode import MAX_PIXELS, available_formats
from imrec_core.images.file_facts import bit_depth, frame_count, refuse_misread_layout
from imrec_core.images.jxl_header import is_jxl
from imrec_core.images.raw_files import is_raw
from imrec_core.images.repair import repaired
from imrec_core.images.rgb import apply_orientation, grey_values, is_deep, profile_mode

Values = NDArray[Any]

_MAX_FRAMES = 1000
_MAX_TOTAL = 4  # pixels of all frames, in multiples of the limit for one image
_OWN_MODES = ("CMYK", "YCbCr", "LAB", "HSV")  # compared as stored, as no other mode holds the same values


def pixel_hash(data: bytes, max_pixels: int = MAX_PIXELS) -> bytes | None:
    """Hash the values, size, depth, transparency and profile of every frame of an image file.

    Equal hashes mean the same image. None means that no claim can be made: the file is damaged, has too many frames or
    pixels, or stores more than can be read from it, such as 10 bits in AVIF, a camera RAW file, or JPEG XL, of which
    one frame is decoded.
    """
    if is_raw(data) or is_jxl(data):
        return None
    try:
        return _hash_frames(data, max_pixels)
    except UnsupportedFormat:
        return None
    except Exception:  # Pillow's plugins raise errors of any class for damaged data
        whole = repaired(data)
        return None if whole is None else pixel_hash(whole, max_pixels)


def _hash_frames(data: bytes, max_pixels: int) -> bytes | None:
    digest = hashlib.blake2b(digest_size=16)
    with Image.open(io.BytesIO(data), formats=available_formats()) as image:
        refuse_misread_layout(image)
        frames, depth = frame_count(image), bit_depth(image, data)
        pixels = image.width * image.height
        has_other_sizes = len(image.info.get("sizes", ())) > 1  # of an icon, whose largest image is read
        if frames > _MAX_FRAMES or pixels > max_pixels or frames * pixels > _MAX_TOTAL * max_pixels or has_other_sizes:
            return None
        orientation = exif.of_image(image).orientation
        for number in range(frames):
            image.seek(number)
            image.load()
            if image.format == "TIFF":  # turned by Pillow
                orientation = 1
            values = _values(image, data, depth, frames)
            if values is None:
                return None
            upright = apply_orientation(values, orientation)
            digest.update(f"{upright.shape} {upright.dtype.str} {_kind(image)} {_profile_key(image)}\n".encode())
            digest.update(upright.data)
    return digest.digest()


def _values(image: Image.Image, data: bytes, depth: int, frames: int) -> Values | None:
    """Return the values `(h, w, channels)` of the current frame; None if they cannot be read without loss."""
    if is_deep(image):
        values, clear = grey_values(image), image.info.get("transparency")
        channels = (
            [values] * 3 if clear is None else [*[values] * 3, np.where(values == clear, 0, -1).astype(values.dtype)]
        )
        return np.stack(channels, axis=-1)
    if depth > 8:
        return _deep_colours(data) if frames == 1 else None
    if image.mode in _OWN_MODES:
        return np.asarray(image)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    values = np.asarray(image.convert("RGBA"))
    return values if (values[..., 3] < 255).any() else np.ascontiguousarray(values[..., :3])


def _deep_colours(data: bytes) -> Values | None:
    """Read colours of 16 bits, of which Pillow keeps the high byte only."""
    import cv2

    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        return None
    values = np.atleast_3d(values)
    order = {1: [0, 0, 0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(values.shape[2])
    if order is None:
        return None
    colours = values[..., order]
    is_opaque = colours.shape[2] == 4 and (colours[..., 3] == np.iinfo(np.uint16).max).all()
    return np.ascontiguousarray(colours[..., :3] if is_opaque else colours)


def _kind(image: Image.Image) -> str:
    return image.mode if image.mode in _OWN_MODES else "RGB"


def _profile_key(image: Image.Image) -> str:
    """Return what tells profiles apart; empty for sRGB and for no profile."""
    data = image.info.get("icc_profile")
    if not data:
        gamma = stated_gamma(image.info)
        return "" if gamma is None else f"gamma {gamma:.5f}"
    profile = open_profile(data, profile_mode(image))
    is_srgb = profile.transform is None and not profile.is_damaged
    return "" if is_srgb else hashlib.blake2b(data, digest_size=16).hexdigest()
