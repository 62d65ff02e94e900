"""What an image file tells without decoding its pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import simplejpeg
from PIL import Image

from imrec_core.errors import ImageError, UnreadableImage
from imrec_core.images import exif, raw_files
from imrec_core.images.color_profile import ColorProfile, open_profile, stated_gamma
from imrec_core.images.decode import available_formats
from imrec_core.images.exif import ExifData
from imrec_core.images.file_facts import bit_depth, frame_count, refuse_misread_layout
from imrec_core.images.gps_position import Position
from imrec_core.images.jpeg_segments import JPEG_START, read_segments
from imrec_core.images.repair import lacks_end
from imrec_core.images.rgb import is_deep, profile_mode


@dataclass(frozen=True)
class Header:
    """Facts of an image file; `images.decode.DecodedImage` documents those that it has too.

    Attributes:
        is_plain: Whether pixels are 8-bit values in sRGB: no profile, gamma or larger range is converted.
    """

    frames: int
    color_profile: str | None
    bit_depth: int
    is_damaged: bool
    orientation: int
    position: Position | None
    is_plain: bool


def read_header(data: bytes) -> Header:
    """Read the header of a file that could be decoded before.

    Raises:
        ImageError: The file cannot be opened.
    """
    try:
        if data.startswith(JPEG_START):
            return _read_jpeg(data)
        return _read_raw(data) if raw_files.is_raw(data) else _read_other(data)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise errors of any class for damaged data
        raise UnreadableImage(f"damaged header: {error}") from error


def _read_jpeg(data: bytes) -> Header:
    segments = read_segments(data)
    kind = simplejpeg.decode_jpeg_header(data)[2]
    mode = {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}.get(kind, "RGBX")
    profile = open_profile(segments.icc_profile, mode) if segments.icc_profile else None
    return _header(profile, segments.frames, 8, exif.of_jpeg(segments), is_scaled=False, is_damaged=False)


def _read_raw(data: bytes) -> Header:
    with raw_files.open_raw(data) as raw:
        depth, orientation = raw_files.stored_bit_depth(raw), raw_files.stored_orientation(raw)
    shot = replace(exif.of_block(data), orientation=orientation)
    return _header(None, 1, depth, shot, is_scaled=True, is_damaged=False)


def _read_other(data: bytes) -> Header:
    with Image.open(io.BytesIO(data), formats=available_formats()) as image:
        refuse_misread_layout(image)
        icc_profile = image.info.get("icc_profile")
        profile = open_profile(icc_profile, profile_mode(image)) if icc_profile else None
        return _header(
            profile,
            frame_count(image),
            bit_depth(image, data),
            exif.of_image(image) if image.format != "PNG" or _has_late_chunks(data) else exif.of_header(image),
            is_scaled=is_deep(image) or stated_gamma(image.info) is not None,
            is_damaged=lacks_end(data),
        )


def _has_late_chunks(png: bytes) -> bool:
    """Check whether a PNG file has metadata behind its pixels."""
    at = png.rfind(b"IDAT")
    end = at + 8 + int.from_bytes(png[max(at - 4, 0) : max(at, 0)], "big")
    return png[end + 4 : end + 8] != b"IEND"


def _header(
    profile: ColorProfile | None, frames: int, depth: int, shot: ExifData, *, is_scaled: bool, is_damaged: bool
) -> Header:
    return Header(
        frames,
        profile.name if profile else None,
        depth,
        is_damaged or (profile is not None and profile.is_damaged),
        shot.orientation,
        shot.position,
        is_plain=not is_scaled and (profile is None or profile.transform is None),
    )
