"""Arrays in temporary files that are mapped, so that the system can take back their memory."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIZES = 1 << 20, 1 << 26  # bytes of the first file and of the largest; each has twice the size of the one before
_ALIGNMENT = 8

log = logging.getLogger(__name__)


class MappedArrays:
    """Copies of arrays in unnamed files, whose disk space is freed with the last array of a file or with the process.

    Args:
        folder: Local folder of the files; it is made if needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free, self._size = np.empty(0, np.uint8), _SIZES[0]
        self._is_full = False

    def copy(self, array: NDArray[Any]) -> NDArray[Any]:
        """Copy an array to a mapped file, with its shape and dtype.

        If no file can be made, such as on a full disk, a warning is logged once and the copy is in memory.
        """
        needed = -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        if needed > len(self._free):
            self._free = self._new_block(max(needed, self._size))
            self._size = min(2 * self._size, _SIZES[1])
        place, self._free = self._free[: array.nbytes], self._free[needed:]
        copied = place.view(array.dtype).reshape(array.shape)
        copied[...] = array
        return copied

    def _new_block(self, size: int) -> NDArray[np.uint8]:
        if not self._is_full:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=self._folder) as file:
                    file.write(bytes(size))  # a write to a mapped file that finds no room would end the process
                    file.flush()
                    return np.asarray(np.memmap(file, np.uint8, "r+", shape=(size,)))
            except OSError as error:
                self._is_full = True
                log.warning("summaries of images stay in memory, 20 kB each: no temporary file can be made: %s", error)
        return np.empty(size, np.uint8)
