"""Walks of sources: each image file with its size and times. Opens no file.

Each entry of a folder stands for itself: one that cannot be read is a failure with a reason, and the walk continues. A
camera RAW file beside an image of the same name is its companion, and no image of its own.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from imrec_core.catalog.exclude import Exclusions
from imrec_core.catalog.file_kinds import (
    ALL,
    RAW_COMPANION,
    accepted_extensions,
    kind_of,
    missing_plugins,
    suffix_of,
)
from imrec_core.catalog.scan_report import EntryFailure
from imrec_core.lake.settings import RAW_EXTENSIONS, Settings, Source
from imrec_core.lake.storage import object_store
from imrec_core.lake.storage.files import AnyPath
from imrec_core.runtime.text import escaped

if TYPE_CHECKING:
    from upath import UPath

Found: TypeAlias = tuple[str, int, int, int, int]
"""Relative POSIX path of a file, its size, its modification time in ns, its inode, and its change time in ns."""

UNKNOWN = 0  # inode or change time, where the disk or the object store has none

_RAW = frozenset(RAW_EXTENSIONS)

LATEST = 2**63  # ns; a table holds times from 1677 to 2262


class SourceWalk:
    """One walk of a source.

    Links to folders are followed, except back to a folder that contains them.

    Args:
        leave_out: Folder to skip: the lake itself, if it is inside the source.

    Attributes:
        failures: Entries whose content or status cannot be read. They are not yielded.
        not_read: Number of files that are not read, by kind; see `file_kinds`.
        unsupported: Those among them that an optional library reads, which is not installed.
        root_inode: Inode of the root; None in an object store.

    The attributes are complete when `images` has ended.
    """

    def __init__(self, source: Source, settings: Settings, leave_out: AnyPath | None = None) -> None:
        self.failures: list[EntryFailure] = []
        self.not_read: Counter[str] = Counter()
        self.unsupported: list[Found] = []
        self.root_inode: int | None = None
        self._root = source.root
        self._scans_hidden = settings.scan_hidden
        self._exclusions = Exclusions(settings.exclude)
        self._excluded_prefixes = self._exclusions.prefixes
        self._missing = missing_plugins()
        self._extensions = accepted_extensions(settings)
        self._accepts_all = ALL in self._extensions
        self._leave_out = leave_out and str(leave_out)
        self._stack: list[tuple[str, str, tuple[tuple[int, int], ...]]] = []  # folder, prefix of its paths, parents
        self._raw: dict[str, Found] = {}  # camera RAW files of the current folder by name

    def images(self) -> Iterator[Found]:
        """Yield each image file.

        Raises:
            OSError: The root cannot be listed.
            StorageFault: The object store failed.
        """
        return self._walk_disk(self._root) if isinstance(self._root, Path) else self._walk_objects(self._root)

    # -- disks ------------------------------------------------------------------------------------------

    def _walk_disk(self, root: Path) -> Iterator[Found]:
        self._stack = [(str(root), "", ())]
        while self._stack:
            folder, prefix, above = self._stack.pop()
            try:
                stat = os.stat(folder)
                here = (stat.st_dev, stat.st_ino)
                if not prefix:
                    self.root_inode = stat.st_ino
                if here in above or folder == self._leave_out:
                    continue  # a link that leads back up, or the lake
                parents, look_at = (*above, here), self._look_at
                with os.scandir(folder) as entries:
                    for entry in entries:
                        found = look_at(entry, prefix, parents)
                        if found:
                            yield found
                if self._raw:
                    yield from self._raw_images(os.listdir(folder))
            except OSError as error:
                if not prefix:
                    raise
                if not isinstance(error, FileNotFoundError):  # removed since its parent was listed
                    self._fail_folder(prefix, error)

    def _look_at(self, entry: os.DirEntry[str], prefix: str, above: tuple[tuple[int, int], ...]) -> Found | None:
        """Return an image file; None for any other entry, which is recorded as far as it matters."""
        name = entry.name
        path = prefix + name
        try:
            if entry.is_dir():
                if self._enters(name, path):
                    self._stack.append((entry.path, f"{path}/", above))
                return None
            if name.startswith(self._excluded_prefixes) and self._exclusions.exclude(path, name):
                return None
            suffix = suffix_of(name)
            if suffix not in self._extensions and not self._is_image(name):
                self._pass_over(entry, path)
                return None
            status = entry.stat()
            if not -LATEST <= status.st_mtime_ns < LATEST:
                self._fail(path, "UnreadableImage", "its time is not between 1677 and 2262; correct it: touch")
                return None
            found = path, status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns
            if suffix not in _RAW:
                return found
            self._raw[name] = found
            return None
        except OSError as error:
            return self._look_at_broken(entry, path, error)

    def _look_at_broken(self, entry: os.DirEntry[str], path: str, error: OSError) -> Found | None:
        """Record an entry that cannot be read. A broken link to an image is listed, and fails when it is read."""
        reason = error.strerror or str(error)
        is_image = self._is_image(entry.name)
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            self._fail(path, "UnreadableImage" if is_image else "BadSource", f"cannot read the entry: {reason}")
        elif entry.is_symlink() and not is_image:
            self._fail(path, "BadSource", f"cannot follow the link: {reason}")
        elif entry.is_symlink():
            with suppress(OSError):
                return _found(path, entry.stat(follow_symlinks=False))
        return None  # otherwise it was removed since the folder was listed

    def _pass_over(self, entry: os.DirEntry[str], path: str) -> None:
        """Count a file that is not read. A link to nothing may have been a folder."""
        if entry.is_file():
            if self._count(entry.name):
                self.unsupported.append(_found(path, entry.stat()))
        elif entry.is_symlink() and not os.path.exists(entry.path):
            self._fail(path, "BadSource", "the link leads to nothing; restore its target, or remove it", is_link=True)

    # -- object stores ----------------------------------------------------------------------------------

    def _walk_objects(self, root: UPath) -> Iterator[Found]:
        """Walk a prefix. The walk of fsspec skips folders that it cannot list."""
        stack = [(root, "")]
        while stack:
            folder, prefix = stack.pop()
            if str(folder) == self._leave_out:
                continue
            try:
                entries = object_store.listing(folder)
            except OSError as error:
                if not prefix:
                    raise
                self._fail_folder(prefix, error)
                continue
            for entry in entries:
                name = object_store.name_of(entry)
                path = prefix + name
                if entry["type"] == "directory":
                    if self._enters(name, path):
                        stack.append((folder / name, f"{path}/"))
                elif not self._exclusions.exclude(path, name):
                    found = path, object_store.size_of(entry), object_store.time_of(entry), UNKNOWN, UNKNOWN
                    if suffix_of(name) in _RAW and self._is_image(name):
                        self._raw[name] = found
                    elif self._is_image(name):
                        yield found
                    elif self._count(name):
                        self.unsupported.append(found)
            yield from self._raw_images(map(object_store.name_of, entries))

    # -- both -------------------------------------------------------------------------------------------

    def _raw_images(self, names: Iterable[str]) -> Iterator[Found]:
        """Yield the RAW files of the current folder, and count those that are companions of an image.

        Args:
            names: Names of all entries of the folder.
        """
        others = (name for name in names if suffix_of(name) not in _RAW and self._is_image(name))
        stems = set(map(_folded_stem, others)) if self._raw else set()
        for name, found in self._raw.items():
            if _folded_stem(name) in stems:
                self.not_read[RAW_COMPANION] += 1
            else:
                yield found
        self._raw = {}

    def _enters(self, name: str, path: str) -> bool:
        if name.startswith(".") and not self._scans_hidden:
            return False
        return not self._exclusions.exclude(f"{path}/", name)

    def _is_image(self, name: str) -> bool:
        suffix = suffix_of(name)
        return suffix in self._extensions or (self._accepts_all and suffix not in self._missing)

    def _count(self, name: str) -> bool:
        """Count a file that is not read; return whether only a library is missing."""
        suffix = suffix_of(name)
        self.not_read[kind_of(suffix)] += 1
        return suffix in self._missing

    def _fail_folder(self, prefix: str, error: OSError) -> None:
        self._fail(prefix[:-1], "BadSource", f"cannot list the folder: {error.strerror or error}")

    def _fail(self, path: str, kind: str, reason: str, *, is_link: bool = False) -> None:
        self.failures.append(EntryFailure(escaped(path), f"{kind}: {reason}", is_link))


def _folded_stem(name: str) -> str:
    return unicodedata.normalize("NFC", name.rpartition(".")[0]).casefold()


def _found(path: str, status: os.stat_result) -> Found:
    return path, status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns
