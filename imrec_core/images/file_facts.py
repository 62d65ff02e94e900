"""What a file says of its image beside the pixels: number of frames, bits per channel, layout of the channels."""

from __future__ import annotations

from typing import Any

from PIL import Image

from imrec_core.errors import UnsupportedFormat

_BITS_PER_SAMPLE, _PLANAR_CONFIGURATION = 258, 284  # tags of TIFF 6.0
_SEPARATE_PLANES = 2
_DEPTH_OF_MODE = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}


def frame_count(image: Image.Image) -> int:
    """Count the pages, frames or images of an opened file; what follows damaged data is not counted."""
    try:
        return max(int(getattr(image, "n_frames", 1)), 1)
    except Exception:  # Pillow's plugins raise errors of any class for damaged data
        return 1


def bit_depth(image: Image.Image, data: bytes) -> int:
    """Return the bits per channel that an opened file states; 8 if its format has no others."""
    tags: Any = getattr(image, "tag_v2", {})
    if image.format == "TIFF" and _BITS_PER_SAMPLE in tags:
        return max(_numbers(tags[_BITS_PER_SAMPLE]))
    if image.format == "PNG":
        return data[24]
    if image.format in ("AVIF", "HEIF"):
        return _byte_behind(data, b"pixi", 5, default=8)  # version and flags, number of channels, bits of each
    if image.format == "JPEG2000":
        return 1 + (_byte_behind(data, b"\xff\x51", 38, default=7) & 0x7F)  # the highest bit tells the sign
    if image.format == "PPM" and image.mode == "I":
        return 16
    return _DEPTH_OF_MODE.get(image.mode, 8)


def refuse_misread_layout(image: Image.Image) -> None:
    """Refuse TIFF files that Pillow reads wrongly.

    Raises:
        UnsupportedFormat: Channels of more than 8 bits are stored one after the other.
    """
    tags: Any = getattr(image, "tag_v2", {})
    bits = _numbers(tags.get(_BITS_PER_SAMPLE, 1))
    if tags.get(_PLANAR_CONFIGURATION) == _SEPARATE_PLANES and len(bits) > 1 and max(bits) > 8:
        raise UnsupportedFormat(
            f"a TIFF of separate planes with {max(bits)} bits per channel; expected 8 bits, or channels stored together"
        )


def _numbers(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _byte_behind(data: bytes, marker: bytes, offset: int, *, default: int) -> int:
    """Return the byte at an offset behind the first marker; the default if either is missing."""
    at = data.find(marker)
    inside = at + len(marker) + offset
    return data[inside] if at >= 0 and inside < len(data) else default
