"""Checksums of the files of a generation: recorded when it is built, verified before the files are used.

Rows and graphs have one checksum each, verified once per process. A file of vectors has one per block, because
generations share and extend it; `vector_check` verifies them in the background. Generations of imrec 0.1 have none.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imrec_core.errors import DamagedGeneration, UnreadableGeneration
from imrec_core.index.manifest import is_vector_file, vector_file_name
from imrec_core.index.vector_file import VectorFile
from imrec_core.lake.checksums import BLOCK_BYTES, block_checksums, file_checksum
from imrec_core.lake.lake import GENERATION_FACTS
from imrec_core.lake.storage import files


@dataclass(frozen=True)
class GenerationFiles:
    """The files of one generation and their checksums.

    Attributes:
        vectors: Files of vectors by file name.
        whole: Checksum of each other file by file name.
        blocks: Checksums of the blocks of each file of vectors by file name.
        block_bytes: Size of a block.
    """

    folder: Path
    vectors: Mapping[str, VectorFile]
    whole: Mapping[str, str]
    blocks: Mapping[str, list[str]]
    block_bytes: int

    @classmethod
    def of(cls, folder: Path, facts: Mapping[str, Any]) -> GenerationFiles:
        """Read the files of a generation from its manifest."""
        sizes, vectors = facts["files"], {}
        for feature, stored in facts["features"].items():
            name, rows, width = vector_file_name(feature), int(facts["rows"]), int(stored["width"])
            data = rows * width * np.dtype(stored["dtype"]).itemsize
            start = sizes[name] - data if name in sizes else None
            vectors[name] = VectorFile(folder / name, rows, width, stored["dtype"], start)
        stored = facts.get("checksums", {})
        block_bytes = int(stored.get("block_bytes", BLOCK_BYTES))
        return cls(folder, vectors, stored.get("files", {}), stored.get("blocks", {}), block_bytes)

    def require_whole(self, name: str) -> None:
        """Verify a file of rows or a graph; once per process while the file stays the same.

        Raises:
            DamagedGeneration: The file is missing, differs from its checksum, or cannot be read.
        """
        path = self.folder / name
        require_undamaged(path)
        status = files.status(path)
        if status is None:
            raise DamagedGeneration(path, "is missing")
        expected = self.whole.get(name)
        try:
            is_whole = expected is None or _checksum(path, status) == expected
        except OSError as error:
            raise UnreadableGeneration(path, error) from error
        if not is_whole:
            mark_damaged(path)
            raise DamagedGeneration(path, "differs from its checksum")

    def check_blocks(self, name: str) -> Iterator[bool]:
        """Yield whether each block of a file of vectors has its checksum.

        Raises:
            OSError: The file is missing or cannot be read.
        """
        file, expected = self.vectors[name], self.blocks.get(name, [])
        found = block_checksums(file.path, file.start(), file.end(), self.block_bytes)
        for checksum in expected:
            yield next(found, None) == checksum

    def record(self, previous: GenerationFiles | None) -> dict[str, Any]:
        """Compute the checksums of all files, as `generation.json` holds them.

        Checksums of content that a previous generation shares are taken from it, so that damage stays detectable.

        Raises:
            DamagedGeneration: Shared vectors differ from the checksums of the previous generation.
        """
        whole, blocks = {}, {}
        for path in sorted(self.folder.iterdir()):
            name, shared = path.name, previous is not None and _is_same_file(path, previous.folder / path.name)
            if is_vector_file(name):
                blocks[name] = self._record_blocks(name, previous, is_shared=shared)
            elif name != GENERATION_FACTS:
                known = previous.whole.get(name) if previous is not None and shared else None
                whole[name] = known or file_checksum(path)
        return {"block_bytes": self.block_bytes, "files": whole, "blocks": blocks}

    def _record_blocks(self, name: str, previous: GenerationFiles | None, *, is_shared: bool) -> list[str]:
        file = self.vectors[name]
        known = previous.blocks.get(name, []) if previous is not None else []
        if previous is None or not known or previous.block_bytes != self.block_bytes:
            return list(block_checksums(file.path, file.start(), file.end(), self.block_bytes))
        before = previous.vectors[name]
        byte_size = before.end() - before.start()
        full = known[: byte_size // self.block_bytes]
        first = file.start() + len(full) * self.block_bytes  # of the bytes that make no full block in the previous one
        last = file_checksum(file.path, first, file.start() + byte_size) if byte_size % self.block_bytes else None
        kept = full if is_shared else list(block_checksums(file.path, file.start(), first, self.block_bytes))
        if kept != full or (last is not None and last != known[-1]):
            mark_damaged(before.path)
            raise DamagedGeneration(before.path, "differs from its checksum")
        return [*full, *block_checksums(file.path, first, file.end(), self.block_bytes)]


@functools.lru_cache(maxsize=1 << 12)
def _checksum(path: Path, status: files.Status) -> str:
    """Compute the checksum of a file once per status."""
    return file_checksum(path)


def _is_same_file(path: Path, other: Path) -> bool:
    return other.exists() and os.path.samefile(path, other)


# -- damage that this process found, also in a lake that it cannot change ------------------------------------

_damaged: set[tuple[Path, files.Status | None]] = set()


def mark_damaged(path: Path) -> None:
    """Remember a damaged file, so that no generation of this process uses it again."""
    _damaged.add((path, files.status(path)))


def require_undamaged(path: Path) -> None:
    """Raise `DamagedGeneration` for a file that was marked as damaged and is still the same."""
    if _damaged and (path, files.status(path)) in _damaged:
        raise DamagedGeneration(path, "is damaged")
