"""The generations of a lake as folders: written whole, published, fetched from an object store, removed when old."""

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
        """Ids of the complete generations, oldest first."""
        found = (name for name in files.names(self._layout.generations_folder) if not files.is_temporary(name))
        return [name for name in found if files.exists(self._layout.generation_path(name) / GENERATION_FACTS)]

    def current(self) -> str | None:
        """The id of the generation in use; None before the first. Every search asks, so it is read when it changes."""
        status = files.status(self._layout.current_path)
        return None if status is None else _read_id(self._layout.current_path, status)

    @contextmanager
    def create(self, generation: str) -> Iterator[Path]:
        """A local folder to write a generation into; it appears under its name when the block ends well."""
        with self._empty_folder(generation) as temporary:
            yield temporary
            if self._layout.is_remote:
                transfers.put(temporary, self._remote_path(generation), last=GENERATION_FACTS)

    @contextmanager
    def _empty_folder(self, generation: str) -> Iterator[Path]:
        """A local folder that takes the generation's place; one fetched from a lake that stood here before goes."""
        folder = self._layout.local_generation_path(generation)
        with files.replacing(folder) as temporary:
            temporary.mkdir()
            yield temporary
            if self._layout.is_remote:
                file_locks.remove_unless_held(folder, GENERATION_FACTS)

    def fetch(self, generation: str) -> Path:
        """The local folder of a generation; from an object store it is fetched if it is not there yet.

        Raises:
            StaleIndex: It is not in the object store, or not as it was put there.
            StorageFault: The object store failed.
        """
        folder = self._layout.local_generation_path(generation)
        if self._layout.is_remote:
            at = self._remote_path(generation)
            checksums = transfers.checksums_of(at)
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
        """Make a generation the one in use; remove all but the newest `keep` complete ones, and those that are read."""
        layout = self._layout
        files.write_text(layout.current_path, generation)
        kept = {layout.current_path.name, generation, *self.ids()[-keep:]}
        for folder in {layout.generations_folder, layout.local_generations_folder}:
            for name in files.names(folder):
                if name not in kept and not files.is_temporary(name):
                    _remove(folder / name)


def _remove(path: AnyPath) -> None:
    if isinstance(path, Path):
        file_locks.remove_unless_held(path, GENERATION_FACTS)
    else:
        object_store.remove(path)  # readers have it on their own machines


@functools.lru_cache(maxsize=64)
def _read_id(path: AnyPath, status: files.Status) -> str:
    """Read once for each state of a file that is always replaced whole."""
    return files.read_bytes(path).decode().strip()
