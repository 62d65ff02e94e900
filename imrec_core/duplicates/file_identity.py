"""Identity and state of files on disks: whether two paths are one file, and whether a file is still the same."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias, cast

from imrec_core.images.hashing import content_hash_of
from imrec_core.lake.storage import regular_files
from imrec_core.lake.storage.files import is_url

FileId: TypeAlias = tuple[int, int] | str

TIME_RESOLUTION = 2 * 10**9  # ns; that of FAT, the coarsest: two writes within it may have one time


def file_id(path: str | os.PathLike[str]) -> FileId:
    """Return the identity of a file, equal for all paths that reach it.

    Device and inode: symbolic links, hard links, bind mounts, overlapping sources and names that differ in case only
    reach one file. Without inodes, or if the file is missing, its real path; for an object its URL.
    """
    if is_url(str(path)):
        return str(path)
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return os.path.realpath(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def is_one_file(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    """Test whether two paths are one file; see `file_id`."""
    return file_id(a) == file_id(b)


@dataclass(frozen=True)
class FileState:
    """State of a file by its inode. As long as it stays equal, so does the content."""

    device: int
    inode: int
    byte_size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> FileState:
        """Take the state from the result of a `stat`."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def is_settled(self) -> bool:
        """Test whether a later change is sure to change the state: it is older than the resolution of the clock."""
        return time.time_ns() - self.ctime_ns > TIME_RESOLUTION


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """Open a regular file that is no link; see `regular_files.open_regular`.

    Raises:
        OSError: The file is missing, a link, a folder, a FIFO or a device. A FIFO does not block.
    """
    with cast(BufferedReader, BufferedReader(regular_files.open_regular(path, follow_links=False))) as file:
        yield file


class ContentReader:
    """Reads content hashes of files. An unchanged file is opened each time, but read once."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[FileState, str]] = {}

    def read(self, path: Path) -> tuple[FileState, str]:
        """Return the state and the content hash of a file.

        The file is opened even if its hash is known: a network disk then checks its cached attributes.

        Raises:
            OSError: The file is missing, no regular file, unreadable, or was changed while it was read.
        """
        with open_regular(path) as file:
            state = FileState.of(os.fstat(file.fileno()))
            known = self._known.get(path)
            if known and known[0] == state:
                return known
            is_settled = state.is_settled()
            digest = content_hash_of(file)
            if FileState.of(os.fstat(file.fileno())) != state:
                raise OSError(errno.EBUSY, "changed while it was read", str(path))
        if is_settled:
            self._known[path] = state, digest
        return state, digest
