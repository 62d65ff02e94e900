"""Checksums of the files of a lake, by XXH3 with 64 bits.

They detect accidental damage and no forgery. XXH3 hashes 10 GB/s on one core (2026-11), more than a disk reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import xxhash

BLOCK_BYTES = 1 << 22  # of `block_checksums`; generations record it
_READ_BYTES = 1 << 20  # stays in the CPU cache between reading and hashing


def checksum(data: bytes) -> str:
    """Return the checksum of some bytes, 16 hex digits."""
    return xxhash.xxh3_64(data).hexdigest()


def file_checksum(path: Path, start: int = 0, end: int | None = None) -> str:
    """Return the checksum of a file, or of its bytes from `start` up to `end`.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        return _hash(file, (path.stat().st_size if end is None else end) - start)


def block_checksums(path: Path, start: int, end: int, block_bytes: int = BLOCK_BYTES) -> Iterator[str]:
    """Yield the checksum of each block of a file's bytes from `start` up to `end`; the last block may be shorter.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        for first in range(start, end, block_bytes):
            file.seek(first)
            yield _hash(file, min(block_bytes, end - first))


def _hash(file: BinaryIO, byte_size: int) -> str:
    """Hash up to `byte_size` bytes from the position of a file."""
    state, buffer = xxhash.xxh3_64(), memoryview(bytearray(min(_READ_BYTES, max(byte_size, 1))))
    while byte_size > 0:
        count = file.readinto(buffer[: min(len(buffer), byte_size)])  # type: ignore[attr-defined]
        if not count:
            break
        state.update(buffer[:count])
        byte_size -= count
    return state.hexdigest()
