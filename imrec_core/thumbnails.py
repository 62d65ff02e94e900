"""Small pictures of images, to be looked at: made once, kept by content hash, those looked at last.

What is kept is a cache: it may be deleted at any time. Several processes may share it.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

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
_FOLDERS, _SAMPLED = 256, 16  # of two hex digits; one in how many is looked into to say how full they are
_TENTH, _MINUTE = 10, 60.0


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


class Thumbnails:
    """The thumbnails of a lake, of which as many are kept as its setting `thumbnail_mb` says.

    They lie in folders by the first digits of a hash, so these fill alike, and each has its part of the limit. A folder
    is looked through once a tenth of its part has been written, and loses what was not looked at for longest: a few
    files are listed for each that is written, however many there are. Processes do not know of what others write, so
    with each more of them a tenth more may lie there.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._left: dict[Path, int] = {}  # bytes until a folder is looked through again
        self._counting = threading.Lock()

    def of(self, path: AnyPath, content_hash: str, side: int, *, max_pixels: int) -> bytes:
        """The thumbnail of a file, made where none is kept.

        Args:
            content_hash: Of the file as the lake knows it: no other content is shown in its name.

        Raises:
            ImageError: The file is gone, has changed, or cannot be decoded.
        """
        kept = self._lake.thumbnail_path(content_hash, side)
        with suppress(OSError):
            return _looked_at(kept)
        made = thumbnail(contents(path, content_hash), side, max_pixels=max_pixels)
        most = _part(self._lake)
        if most:
            with suppress(OSError, StorageFull, StorageFault):  # a lake may be read by those who may not write to it
                storage.write_bytes(kept, made)
                self._make_room(kept.parent, len(made), most)
        return made

    def _make_room(self, folder: Path, byte_size: int, most: int) -> None:
        with self._counting:
            left = self._left.get(folder, 0) - byte_size
            is_due = left <= 0
            self._left[folder] = most // _TENTH if is_due else left
        if is_due:
            trim(folder, most - most // _TENTH)


def _part(lake: Lake) -> int:
    """Bytes that each folder may hold."""
    return lake.settings().thumbnail_mb * 1_000_000 // _FOLDERS


def _looked_at(path: Path) -> bytes:
    """What a file holds; its time says from now on, to the minute, when it was last asked for."""
    with path.open("rb") as file:
        data, changed = file.read(), os.fstat(file.fileno()).st_mtime
    if abs(time.time() - changed) > _MINUTE:
        with suppress(OSError):  # as above
            os.utime(path)
    return data


def trim(folder: Path, most: int) -> None:
    """Remove files of a folder, what was changed longest ago first, until they hold `most` bytes or less."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another process removed it
                status = entry.stat()
                found.append((status.st_mtime_ns, status.st_size, entry.path))
    over = sum(byte_size for _, byte_size, _ in found) - most
    for _, byte_size, path in sorted(found):
        if over <= 0:
            break
        with suppress(OSError):  # removed by now, or open on Windows
            os.unlink(path)
        over -= byte_size


def kept_mb(lake: Lake) -> int:
    """About how many millions of bytes the thumbnails of a lake take, as a sixteenth of their folders says."""
    byte_size = 0
    for first in range(0, _FOLDERS, _SAMPLED):
        with suppress(OSError), os.scandir(lake.thumbnail_folder(f"{first:02x}")) as entries:
            byte_size += sum(entry.stat().st_size for entry in entries)
    return round(_SAMPLED * byte_size / 1e6)


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
