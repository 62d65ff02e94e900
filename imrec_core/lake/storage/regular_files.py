"""Open and read regular files on a disk, and nothing else: all files of sources are opened here."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path


def open_regular(path: str | os.PathLike[str], *, follow_links: bool = True) -> io.FileIO:
    """Open a regular file for reading, unbuffered. All files of sources are opened here.

    What is no regular file is not opened: a FIFO would wait for a writer, a device may act when it is opened. If it
    takes the place of a file in between, opening it does not wait either.

    Args:
        follow_links: Whether the last part of the path may be a symbolic link.

    Raises:
        OSError: The file is missing, a folder, a FIFO, a socket or a device, or access is denied.
    """
    _require_regular(os.stat(path, follow_symlinks=follow_links), path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | (0 if follow_links else getattr(os, "O_NOFOLLOW", 0)))
    try:
        _require_regular(os.fstat(descriptor), path)
        return io.FileIO(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _require_regular(found: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))


def read(path: Path, at_most: int | None = None) -> bytes:
    """Read as many bytes of a file as it has when it is opened; see `files.read_bytes`."""
    with open_regular(path) as file:
        left = os.fstat(file.fileno()).st_size
        if at_most is not None and left > at_most:
            raise OSError(errno.EFBIG, f"it has {left:,} bytes, and at most {at_most:,} are read", str(path))
        parts = []
        while left and (part := file.read(left)):  # the system returns at most 2 GB at once
            parts.append(part)
            left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
