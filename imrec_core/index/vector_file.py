"""Vectors in `.npy` files that only ever grow, so that generations can share them.

A generation that extends another has the same file under its own name, a hard link, with its new rows appended. Each
reads as many rows as it knows of, whatever follows. What is mapped somewhere is never written again and never cut off.
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
    """Where the vectors of a generation are, and how many of the file's rows are its own."""

    path: Path
    rows: int
    width: int
    dtype: str

    def opened(self) -> Matrix:
        """The vectors `(rows, width)`, memory-mapped.

        By what is known of it: the header names the rows of the last generation that has the file.
        """
        with self.path.open("rb") as file:
            is_first = np.lib.format.read_magic(file) == (1, 0)
            length = int.from_bytes(file.read(2 if is_first else 4), "little")
            start = file.tell() + length
        mapped = np.memmap(self.path, self.dtype, "r", start, (self.rows, self.width))
        return np.asarray(mapped)  # the same memory; a `memmap` is slower to take rows from

    def write(self, blocks: Iterable[Matrix]) -> None:
        """Make the file.

        Not through a memory map: on a full disk writing to one kills the process.

        Args:
            blocks: All rows, in parts.
        """
        with self.path.open("wb") as file:
            file.write(self._header())
            for block in blocks:
                file.write(np.ascontiguousarray(block, self.dtype).data)

    def grow_from(self, before: VectorFile, blocks: Iterable[Matrix]) -> bool:
        """Make the file out of that of a generation with fewer rows; False where it cannot be shared.

        A file that is longer than that generation says is not: whatever follows there may be read by somebody.

        Args:
            blocks: The rows that are new, in parts.
        """
        if not before.is_whole() or len(self._header()) != len(before._header()):
            return False
        try:
            os.link(before.path, self.path)
        except OSError:  # another disk, or one that knows no links
            return False
        with self.path.open("r+b") as file:
            file.seek(before._byte_size())
            for block in blocks:
                file.write(np.ascontiguousarray(block, self.dtype).data)
            file.seek(0)
            file.write(self._header())
        return True

    def is_whole(self) -> bool:
        """Whether the file has these rows and no others."""
        with suppress(OSError):
            return self.path.stat().st_size == self._byte_size()
        return False

    def cut_off(self) -> None:
        """Take away what was appended and is not published."""
        os.truncate(self.path, self._byte_size())
        with self.path.open("r+b") as file:
            file.write(self._header())

    def _byte_size(self) -> int:
        return len(self._header()) + self.rows * self.width * np.dtype(self.dtype).itemsize

    def _header(self) -> bytes:
        """Of the file; numpy leaves room in it for any number of rows."""
        header = io.BytesIO()
        facts = {"descr": np.dtype(self.dtype).str, "fortran_order": False, "shape": (self.rows, self.width)}
        np.lib.format.write_array_header_2_0(header, facts)
        return header.getvalue()


@contextmanager
def as_before_on_failure(files: Sequence[VectorFile]) -> Iterator[None]:
    """Let files grow in the block; where it fails, what was appended goes, and with it the room that it took."""
    growing = [file for file in files if file.is_whole()]
    try:
        yield
    except BaseException:
        for file in growing:
            if not file.is_whole():
                with suppress(OSError):  # then the next one copies it
                    file.cut_off()
        raise
