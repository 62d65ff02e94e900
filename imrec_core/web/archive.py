"""ArchiveWriter: a zip that is sent while it is written, with one file in memory at a time."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator

_FIRST_YEAR, _LAST_YEAR = 1980, 2107  # of the format
_CHUNK = 65_536  # bytes; a client must take each within `write_seconds`


class ArchiveWriter:
    """Writes a zip without compression; images hardly shrink.

    Each method returns the bytes that follow, in chunks. Local headers have sizes and checksums, so that programs can
    unpack the zip while they read it.
    """

    def __init__(self) -> None:
        self._window = _Window()
        self._zip = _SentZip(self._window, "w", zipfile.ZIP_STORED)

    def add(self, name: str, data: bytes, mtime_ns: int | None = None) -> Iterator[bytes]:
        """Add a file, with its modification time in the time zone of the server; by default the time of now."""
        seconds = time.time() if mtime_ns is None else mtime_ns / 1e9
        entry = zipfile.ZipInfo(name, _date_time(seconds))
        entry.external_attr = 0o644 << 16
        self._zip.writestr(entry, data)
        return self._window.drain()

    def finish(self) -> Iterator[bytes]:
        """Add the directory, which ends the zip."""
        self._zip.close()
        return self._window.drain()


class _SentZip(zipfile.ZipFile):
    def __del__(self) -> None:
        """Do nothing: a zip whose client has left is not completed."""


class _Window:
    """The last part of a file: `zipfile` seeks back to the header of an entry, and never to one that was sent."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._start = 0

    def write(self, data: bytes) -> int:
        return self._buffer.write(data)

    def tell(self) -> int:
        return self._start + self._buffer.tell()

    def seek(self, position: int) -> int:
        return self._start + self._buffer.seek(position - self._start)

    def flush(self) -> None:
        """Do nothing: `drain` takes the bytes."""

    def close(self) -> None:
        """Do nothing: there is no file."""

    def drain(self) -> Iterator[bytes]:
        """Forget the bytes, and return them in chunks."""
        buffer, self._buffer = self._buffer, io.BytesIO()
        self._start += buffer.getbuffer().nbytes
        buffer.seek(0)
        return iter(lambda: buffer.read(_CHUNK), b"")


def _date_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    try:
        year, *rest = time.localtime(seconds)[:6]
    except (OverflowError, ValueError, OSError):
        year, rest = 0, []
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return _FIRST_YEAR, 1, 1, 0, 0, 0
    month, day, hour, minute, second = rest
    return year, month, day, hour, minute, second
