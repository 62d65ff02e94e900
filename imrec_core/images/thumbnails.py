"""Thumbnails of images, and an on-disk cache of them by content hash with a size limit.

The cache may be deleted at any time, and several processes may share it.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from imrec_core.errors import LakeError, UnreadableImage
from imrec_core.images import hashing
from imrec_core.images.decode import MAX_BYTES, decode
from imrec_core.images.rgb import Pixels
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

SIDES = (160, 320, 640)
"""Pixels of the longer side."""

_QUALITY = 82
_FOLDERS, _SAMPLED = 256, 16  # folders named by two hex digits; `kept_mb` reads one in 16 of them
_TENTH, _MINUTE = 10, 60.0


def thumbnail(data: bytes, side: int, *, max_pixels: int, allow_truncated: bool = False) -> bytes:
    """Make an upright JPEG thumbnail with no side longer than `side`.

    A smaller image keeps its size.

    Args:
        data: Content of an image file.
        allow_truncated: Whether to show what is left of an image that lost pixels.

    Raises:
        ImageError: The image cannot be decoded.
    """
    # Decoding shrinks a JPEG to no less than twice the size, so that the last step still averages pixels.
    decoded = decode(data, max_pixels=max_pixels, min_side=side, allow_truncated=allow_truncated)
    return jpeg_thumbnail(decoded.pixels, side)


def jpeg_thumbnail(pixels: Pixels, side: int, quality: int = _QUALITY) -> bytes:
    """Encode pixels `(h, w, 3 or 4)` as a JPEG with no side longer than `side`."""
    return encode_jpeg(scale_to_fit(pixels, side, Image.Resampling.LANCZOS), quality)


def scale_to_fit(pixels: Pixels, side: int, resampling: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    """Scale pixels `(h, w, 3 or 4)` down to an RGB image with no side longer than `side`."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3]))
    image.thumbnail((side, side), resampling)
    return image


def encode_jpeg(image: Image.Image, quality: int, *, optimize: bool = False) -> bytes:
    """Encode an image as the bytes of a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=optimize)
    return file.getvalue()


_CHANGED = "the file has changed since the last build; run: imrec build"


class Thumbnails:
    """Thumbnail cache of a lake with a limit set by `thumbnail_mb`.

    Files lie in folders by the first digits of a hash. The folders fill evenly, so each has an equal part of the limit.
    After writes of a tenth of that part, the cache lists the folder and removes the least recently used files. So each
    write lists only a few files, whatever the size of the cache. A process does not count the writes of others: each
    further process may exceed the limit by a tenth.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._left: dict[Path, int] = {}  # bytes until a folder is trimmed again
        self._counting = threading.Lock()

    def of(self, path: AnyPath, content_hash: str, side: int, *, max_pixels: int, byte_size: int = MAX_BYTES) -> bytes:
        """Return the thumbnail of a file from the cache, or make and cache it.

        Args:
            content_hash: Hash of the file in the lake. A file with other content is an error.
            byte_size: Size of the file in the lake. A larger file is not read.

        Raises:
            ImageError: The file is missing, has changed, or cannot be decoded.
        """
        cached = self._lake.thumbnail_path(content_hash, side)
        with suppress(OSError):
            return _read_and_touch(cached)
        made = thumbnail(contents(path, content_hash, byte_size), side, max_pixels=max_pixels, allow_truncated=True)
        limit = _folder_limit(self._lake)
        if limit:
            with suppress(OSError, LakeError):  # a user may have no write access to the lake
                files.write_bytes(cached, made, synced=False)
                self._count_write(cached.parent, len(made), limit)
        return made

    def _count_write(self, folder: Path, byte_size: int, limit: int) -> None:
        with self._counting:
            left = self._left.get(folder, 0) - byte_size
            is_due = left <= 0
            self._left[folder] = limit // _TENTH if is_due else left
        if is_due:
            trim(folder, limit - limit // _TENTH)


def _folder_limit(lake: Lake) -> int:
    """Return the bytes that each folder may hold."""
    return lake.settings().thumbnail_mb * 1_000_000 // _FOLDERS


def _read_and_touch(path: Path) -> bytes:
    """Read a file, and set its modification time to now, to the minute."""
    with path.open("rb") as file:
        data, changed = file.read(), os.fstat(file.fileno()).st_mtime
    if abs(time.time() - changed) > _MINUTE:
        with suppress(OSError):  # without write access
            os.utime(path)
    return data


def trim(folder: Path, most: int) -> None:
    """Remove the oldest files of a folder until at most `most` bytes are left."""
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
        with suppress(OSError):  # removed by another process, or open on Windows
            os.unlink(path)
        over -= byte_size


def kept_mb(lake: Lake) -> int:
    """Estimate the MB of a lake's thumbnail cache from a sixteenth of its folders."""
    byte_size = 0
    for first in range(0, _FOLDERS, _SAMPLED):
        with suppress(OSError), os.scandir(lake.thumbnail_folder(f"{first:02x}")) as entries:
            byte_size += sum(entry.stat().st_size for entry in entries)
    return round(_SAMPLED * byte_size / 1e6)


def contents(path: AnyPath, content_hash: str, byte_size: int = MAX_BYTES) -> bytes:
    """Read a file and verify that its content has the hash in the lake.

    Args:
        byte_size: Size of the file in the lake. A larger file has changed, and is not read.

    Raises:
        UnreadableImage: The file is missing, has changed, or cannot be read.
    """
    try:
        data = files.read_bytes(path, at_most=byte_size)
    except (OSError, ValueError, LakeError) as error:
        if getattr(error, "errno", None) == errno.EFBIG:
            raise UnreadableImage(_CHANGED) from error
        raise UnreadableImage(
            f"the file cannot be read ({getattr(error, 'strerror', None) or 'storage fault'})"
        ) from error
    if hashing.content_hash(data) != content_hash:
        raise UnreadableImage(_CHANGED)
    return data
