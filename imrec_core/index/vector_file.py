"""Vectors in append-only `.npy` files that several generations share.

A generation that extends another has the same file under its own name, as a hard link, with its new rows appended.
Each generation maps only its own number of rows. Mapped bytes are never written again and never truncated.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]


@dataclass(frozen=True)
class VectorFile:
    """The vectors of a feature in a generation: the file, and the number of its rows that belong to the generation.

    Attributes:
        offset: Byte at which the first vector starts, from the manifest; None if the header says it.
    """

    path: Path
    rows: int
    width: int
    dtype: str
    offset: int | None = None

    def map(self) -> Matrix:
        """Map the vectors `(rows, width)` into memory.

        Ignores the shape in the header, which is that of the newest generation with this file.
        """
        mapped = np.memmap(self.path, self.dtype, "r", self.start(), (self.rows, self.width))
        return np.asarray(mapped)  # the same memory; taking rows from a `memmap` is slower

    def start(self) -> int:
        """Return the byte at which the first vector starts."""
        if self.offset is not None:
            return self.offset
        with self.path.open("rb") as file:
            is_version_1 = np.lib.format.read_magic(file) == (1, 0)
            length = int.from_bytes(file.read(2 if is_version_1 else 4), "little")
            return file.tell() + length

    def end(self) -> int:
        """Return the byte after the last vector of the generation."""
        return self.start() + self.rows * self.width * np.dtype(self.dtype).itemsize

    def write(self, blocks: Iterable[Matrix]) -> None:
        """Write the file from blocks of all rows.

        Not through a memory map: writing to one on a full disk kills the process.
        """
        with self.path.open("wb") as file:
            file.write(self._header())
            for block in blocks:
                file.write(np.ascontiguousarray(block, self.dtype).data)

    def extend(self, previous: VectorFile, blocks: Iterable[Matrix]) -> bool:
        """Create the file as a hard link to a file with fewer rows, and append the new rows in blocks.

        Returns:
            False if the file cannot be shared: the disk has no hard links, or the file is longer than `previous` and
            other processes may have mapped the rest.
        """
        if not previous.is_complete() or len(self._header()) != len(previous._header()):
            return False
        try:
            os.link(previous.path, self.path)
        except OSError:  # another disk, or a file system without hard links
            return False
        with self.path.open("r+b") as file:
            file.seek(previous._byte_size())
            for block in blocks:
                file.write(np.ascontiguousarray(block, self.dtype).data)
            file.seek(0)
            file.write(self._header())
        return True

    def has_header(self) -> bool:
        """Return whether the file begins with the header of an array of such vectors, perhaps of more rows."""
        with self.path.open("rb") as file:
            try:
                is_version_1 = np.lib.format.read_magic(file) == (1, 0)
                read = np.lib.format.read_array_header_1_0 if is_version_1 else np.lib.format.read_array_header_2_0
                shape, is_fortran_order, dtype = read(file)
            except (ValueError, UnicodeError, SyntaxError):
                return False
            is_as_declared = shape[1:] == (self.width,) and shape[0] >= self.rows and dtype == np.dtype(self.dtype)
            return is_as_declared and not is_fortran_order and file.tell() == self.start()

    def is_complete(self) -> bool:
        """Return whether the file has exactly these rows."""
        with suppress(OSError):
            return self.path.stat().st_size == self._byte_size()
        return False

    def truncate(self) -> None:
        """Remove rows that were appended and not published."""
        os.truncate(self.path, self._byte_size())
        with self.path.open("r+b") as file:
            file.write(self._header())

    def _byte_size(self) -> int:
        return len(self._header()) + self.rows * self.width * np.dtype(self.dtype).itemsize

    def _header(self) -> bytes:
        """Encode the header; numpy pads it, so that its length is the same for any number of rows."""
        header = io.BytesIO()
        facts = {"descr": np.dtype(self.dtype).str, "fortran_order": False, "shape": (self.rows, self.width)}
        np.lib.format.write_array_header_2_0(header, facts)
        return header.getvalue()


@contextmanager
def truncate_on_failure(files: Sequence[VectorFile]) -> Iterator[None]:
    """Truncate files to their rows if the block raises, which frees the space of what the block appended."""
    complete = [file for file in files if file.is_complete()]
    try:
        yield
    except BaseException:
        for file in complete:
            if not file.is_complete():
                with suppress(OSError):  # the next build then copies the file
                    file.truncate()
        raise
