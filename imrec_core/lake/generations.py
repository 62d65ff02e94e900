"""The folders of generations: atomic creation, publication, fetching from an object store, and removal of old ones.

`index` knows the files inside a generation.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imrec_core.lake.layout import GENERATION_FACTS, LakeLayout
from imrec_core.lake.storage import file_locks, files, object_store, transfers
from imrec_core.lake.storage.files import AnyPath

if TYPE_CHECKING:
    from upath import UPath


class GenerationStore:
    """The generations of one lake."""

    def __init__(self, layout: LakeLayout) -> None:
        self._layout = layout

    def ids(self) -> list[str]:
        """List the ids of the complete generations, oldest first."""
        names = files.list_names(self._layout.generations_folder)
        names = [name for name in names if not files.is_temporary(name)]
        return [name for name in names if files.exists(self._layout.generation_path(name) / GENERATION_FACTS)]

    def current(self) -> str | None:
        """Return the id of the generation in use; None before the first build.

        Every search calls this, so the file is read only after a change.
        """
        status = files.status(self._layout.current_path)
        return None if status is None else _read_id(self._layout.current_path, status)

    @contextmanager
    def create(self, generation: str) -> Iterator[Path]:
        """Yield a temporary local folder that becomes the generation when the block ends without an error."""
        with self._empty_folder(generation) as temporary:
            yield temporary
            if self._layout.is_remote:
                transfers.put(temporary, self._remote_path(generation), last=GENERATION_FACTS)

    @contextmanager
    def _empty_folder(self, generation: str) -> Iterator[Path]:
        """Yield an empty local folder that replaces a cached generation, such as one of an earlier lake at this URL."""
        folder = self._layout.local_generation_path(generation)
        with files.replacing(folder) as temporary:
            temporary.mkdir()
            yield temporary
            if self._layout.is_remote:
                file_locks.remove_unless_held(folder, GENERATION_FACTS)

    def fetch(self, generation: str) -> Path:
        """Return the local folder of a generation; download it first if the lake is in an object store.

        Raises:
            StaleIndex: The object store lacks the generation, or a file differs from its checksum.
            StorageFault: The object store failed.
        """
        folder = self._layout.local_generation_path(generation)
        if self._layout.is_remote:
            at = self._remote_path(generation)
            checksums = transfers.read_checksums(at)
            with file_locks.exclusive_lock(self._layout.fetch_lock_path):
                if not transfers.is_fetched(folder, checksums):
                    with self._empty_folder(generation) as empty:
                        transfers.fetch(at, empty, checksums)
        return folder

    def _remote_path(self, generation: str) -> UPath:
        path = self._layout.generation_path(generation)
        assert not isinstance(path, Path)
        return path

    def publish(self, generation: str, *, keep: int = 2) -> None:
        """Make a generation the one in use; remove all but the newest `keep` complete ones, and those being read."""
        layout = self._layout
        files.write_text(layout.current_path, generation)
        kept = {layout.current_path.name, generation, *self.ids()[-keep:]}
        for folder in {layout.generations_folder, layout.local_generations_folder}:
            for name in files.list_names(folder):
                if name not in kept and not files.is_temporary(name):
                    _remove(folder / name)


def _remove(path: AnyPath) -> None:
    if isinstance(path, Path):
        file_locks.remove_unless_held(path, GENERATION_FACTS)
    else:
        object_store.remove(path)  # readers use a copy on their own machine


@functools.lru_cache(maxsize=64)
def _read_id(path: AnyPath, status: files.Status) -> str:
    """Read the file once per status. It is always replaced as a whole."""
    return files.read_bytes(path).decode().strip()
