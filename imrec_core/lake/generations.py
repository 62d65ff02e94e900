"""The folders of generations: atomic creation, publication, fetching from an object store, and removal of old ones.

`index` knows the files inside a generation.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imrec_core.lake.checksums import file_checksum
from imrec_core.lake.current_generation import CurrentGeneration
from imrec_core.lake.layout import GENERATION_FACTS, LakeLayout
from imrec_core.lake.storage import file_locks, files, object_store, transfers
from imrec_core.lake.storage.files import AnyPath

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)


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

        If `CURRENT` is damaged it is the newest complete generation.
        """
        found = self._read_current()
        if found is not None or not files.exists(self._layout.current_path):
            return found.id if found else None
        ids = self.ids()
        return ids[-1] if ids else None

    def manifest_checksum(self, generation: str) -> str | None:
        """Return the checksum of a generation's manifest by `CURRENT`; None if it is not known."""
        found = self._read_current()
        return found.checksums.get(generation) if found else None

    def is_published(self, generation: str) -> bool:
        """Return whether `CURRENT` names a generation as the one in use."""
        found = self._read_current()
        return found is not None and found.id == generation

    def _read_current(self) -> CurrentGeneration | None:
        """Read `CURRENT`; None if it is missing or damaged. Every search does, so only after a change of the file."""
        status = files.status(self._layout.current_path)
        return None if status is None else _parse_current(self._layout.current_path, status)

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
        layout, known = self._layout, self._read_current()
        kept = {layout.current_path.name, generation, *self.ids()[-keep:]}
        checksums = {id_: checksum for id_, checksum in (known.checksums if known else {}).items() if id_ in kept}
        checksums[generation] = file_checksum(layout.local_generation_path(generation) / GENERATION_FACTS)
        files.write_text(layout.current_path, CurrentGeneration(generation, checksums).render())
        for folder in {layout.generations_folder, layout.local_generations_folder}:
            for name in files.list_names(folder):
                if name not in kept and not files.is_temporary(name):
                    _remove(folder / name)

    def withdraw(self) -> None:
        """Use no generation any more. The folders stay for readers; `upkeep.unused_files` removes them."""
        files.remove(self._layout.current_path)


def _remove(path: AnyPath) -> None:
    if isinstance(path, Path):
        file_locks.remove_unless_held(path, GENERATION_FACTS)
    else:
        object_store.remove(path)  # readers use a copy on their own machine


@functools.lru_cache(maxsize=64)
def _parse_current(path: AnyPath, status: files.Status) -> CurrentGeneration | None:
    """Read the file once per status. It is always replaced as a whole."""
    found = CurrentGeneration.parse(files.read_bytes(path))
    if found is None:
        log.warning("%s is damaged; using the newest complete generation. To repair it, run: imrec build", path)
    return found
