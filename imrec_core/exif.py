"""What a camera wrote beside the picture (EXIF 2.32, CIPA DC-008): how it was held, which camera it was, when.

Blocks are often damaged and fields often nonsense. Whatever cannot be used is as good as absent: no field is worth
losing the picture for, nor another field.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from PIL import Image

T = TypeVar("T")

_MAKE, _MODEL, _ORIENTATION, _CHANGED = 0x010F, 0x0110, 0x0112, 0x0132
_SUB_BLOCK, _TAKEN, _DIGITIZED = 0x8769, 0x9003, 0x9004

_YEARS = range(1826, 2100)  # from the first photo on
_LONGEST = 100  # characters of a camera's name, after which it is garbage
_WHEN = re.compile(r"(\d{4})\D(\d{1,2})\D(\d{1,2})(?:\D(\d{1,2})\D(\d{1,2})(?:\D(\d{1,2}))?)?", re.ASCII)


@dataclass(frozen=True)
class Shot:
    """How a picture was taken, as far as the file says.

    Attributes:
        orientation: Turn to be undone, 1 to 8; 1 where nothing is said.
        camera: Maker and model.
        taken: By the camera's clock, whose zone is not known.
    """

    orientation: int = 1
    camera: str | None = None
    taken: datetime | None = None


UNKNOWN = Shot()


def of_image(image: Image.Image) -> Shot:
    """What the EXIF block of an opened image says."""
    return _or(UNKNOWN, lambda: _read(image.getexif()))


def of_jpeg(data: bytes) -> Shot:
    """What the EXIF block of a JPEG file says; found without opening the file, which takes longer than reading it."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1] not in (0xDA, 0xD9):  # start of scan, end of image
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return _of_block(data[at + 4 : at + 2 + length])
        at += 2 + length
    return UNKNOWN


def _of_block(block: bytes) -> Shot:
    def parsed() -> Shot:
        exif = Image.Exif()
        exif.load(block)
        return _read(exif)

    return _or(UNKNOWN, parsed)


def _read(exif: Image.Exif) -> Shot:
    if not exif:
        return UNKNOWN
    orientation: Any = _or(1, lambda: exif.get(_ORIENTATION, 1))
    inner: dict[int, Any] = _or({}, lambda: exif.get_ifd(_SUB_BLOCK))
    times = [lambda: inner.get(_TAKEN), lambda: inner.get(_DIGITIZED), lambda: exif.get(_CHANGED)]
    return Shot(
        orientation if orientation in range(1, 9) else 1,
        _camera(_text(_or(None, lambda: exif.get(_MAKE))), _text(_or(None, lambda: exif.get(_MODEL)))),
        next(filter(None, (_time(_text(_or(None, time))) for time in times)), None),
    )


def _or(otherwise: T, value: Callable[[], T]) -> T:
    try:
        return value()
    except Exception:  # Pillow raises whatever the damage makes it
        return otherwise


def _text(value: object) -> str:
    """A field as one line of text; empty where it is none. Pillow takes the bytes of texts for Latin-1."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    text = value.strip("\0 ").partition("\0")[0]  # what follows a NUL is left over from a longer text
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _camera(make: str, model: str) -> str | None:
    """Maker and model; the maker once, where the model begins with its name: `NIKON CORPORATION` `NIKON D90`."""
    makers = make.casefold().split()
    named = model.casefold().partition(" ")[0] in makers
    return (model if named else f"{make} {model}".strip())[:_LONGEST] or None


def _time(text: str) -> datetime | None:
    found = _WHEN.match(text)
    if not found:
        return None
    try:
        time = datetime(*(int(part or 0) for part in found.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None
    return time if time.year in _YEARS else None
