"""EXIF data of an image file (EXIF 2.32, CIPA DC-008): orientation, camera, capture time and position.

EXIF blocks are often damaged, and fields often invalid. An unusable field counts as missing. It never causes an error
and never hides the image or another field.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from PIL import Image

from imrec_core.images import gps_position
from imrec_core.images.gps_position import Position
from imrec_core.images.jpeg_segments import JpegSegments

T = TypeVar("T")

_MAKE, _MODEL, _ORIENTATION, _DATE_TIME = 0x010F, 0x0110, 0x0112, 0x0132
_GPS_IFD = 0x8825
_EXIF_IFD, _DATE_TIME_ORIGINAL, _DATE_TIME_DIGITIZED = 0x8769, 0x9003, 0x9004

_YEARS = range(1826, 2100)  # from the first photograph
_MAX_CAMERA_LENGTH = 100  # characters; the rest of a longer name is garbage
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])\b")
_DATE_TIME_PATTERN = re.compile(r"(\d{4})\D(\d{1,2})\D(\d{1,2})(?:\D(\d{1,2})\D(\d{1,2})(?:\D(\d{1,2}))?)?", re.ASCII)


@dataclass(frozen=True)
class ExifData:
    """EXIF data of one image.

    Attributes:
        orientation: EXIF orientation, 1 to 8; 1 (upright) without a valid tag.
        camera: Make and model.
        taken: Capture time by the camera's clock, whose time zone is unknown.
        position: Latitude and longitude in degrees.
    """

    orientation: int = 1
    camera: str | None = None
    taken: datetime | None = None
    position: Position | None = None


UNKNOWN = ExifData()


def of_image(image: Image.Image) -> ExifData:
    """Read the EXIF data of an open Pillow image."""
    return _of_image(image, lambda image: image.getexif())


def of_header(image: Image.Image) -> ExifData:
    """Read the EXIF data ahead of the pixels; `of_image` decodes a PNG file without such data to look behind them."""
    return _of_image(image, Image.Image.getexif)


def of_jpeg(segments: JpegSegments) -> ExifData:
    """Read the EXIF data from the segments of a JPEG file.

    Opening the image with Pillow takes longer. The XMP packet tells orientation and position where EXIF does not.
    """
    found = of_block(segments.exif) if segments.exif else UNKNOWN
    found = _with_xmp_position(found, segments.xmp)
    if found.orientation == 1 and (stated := _XMP_ORIENTATION.search(segments.xmp)):
        return replace(found, orientation=int(stated[1]))
    return found


def _of_image(image: Image.Image, getexif: Callable[[Image.Image], Image.Exif]) -> ExifData:
    found = _with_xmp_position(_value_or(UNKNOWN, lambda: _read(getexif(image))), image.info.get("xmp"))
    if image.format == "JXL" and not getattr(image, "jpeg", None):
        return replace(found, orientation=1)  # decoding has applied the codestream's own, and EXIF's does not count
    return found


def _with_xmp_position(found: ExifData, xmp: object) -> ExifData:
    """Return the data with the position of an XMP packet, if EXIF has none."""
    if found.position is None and isinstance(xmp, bytes) and (stated := gps_position.of_xmp(xmp)):
        return replace(found, position=stated)
    return found


def of_block(block: bytes) -> ExifData:
    """Read the EXIF data from a block in the format of TIFF, which a TIFF file also is."""

    def parse() -> ExifData:
        exif = Image.Exif()
        exif.load(block)
        return _read(exif)

    return _value_or(UNKNOWN, parse)


def _read(exif: Image.Exif) -> ExifData:
    if not exif:
        return UNKNOWN
    orientation: Any = _value_or(1, lambda: exif.get(_ORIENTATION, 1))
    inner: dict[int, Any] = _value_or({}, lambda: exif.get_ifd(_EXIF_IFD))
    times = [
        lambda: inner.get(_DATE_TIME_ORIGINAL),
        lambda: inner.get(_DATE_TIME_DIGITIZED),
        lambda: exif.get(_DATE_TIME),
    ]
    make, model = (_to_text(_value_or(None, partial(exif.get, tag))) for tag in (_MAKE, _MODEL))
    return ExifData(
        orientation if orientation in range(1, 9) else 1,
        _camera_name(make, model),
        next(filter(None, (_parse_time(_to_text(_value_or(None, time))) for time in times)), None),
        _value_or(None, lambda: gps_position.of_gps_ifd(exif.get_ifd(_GPS_IFD))),
    )


def _value_or(default: T, read: Callable[[], T]) -> T:
    """Return what `read` returns, or the default if it fails."""
    try:
        return read()
    except Exception:  # Pillow raises errors of any class for damaged data
        return default


def _to_text(value: object) -> str:
    """Convert a field to one line of text; empty if it is not text.

    Pillow decodes text fields as Latin-1.
    """
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    text = value.strip("\0 ").partition("\0")[0]  # the rest is left over from a longer text
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _camera_name(make: str, model: str) -> str | None:
    """Join make and model, without the make if the model repeats it.

    An example is `NIKON CORPORATION` with `NIKON D90`.
    """
    repeats_make = model.casefold().partition(" ")[0] in make.casefold().split()
    return (model if repeats_make else f"{make} {model}".strip())[:_MAX_CAMERA_LENGTH] or None


def _parse_time(text: str) -> datetime | None:
    found = _DATE_TIME_PATTERN.match(text)
    if not found:
        return None
    try:
        time = datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None
    return time if time.year in _YEARS else None
