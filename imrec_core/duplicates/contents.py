"""Files of a lake by content: files with equal bytes share one content, and comparisons are between contents."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.duplicates.companions import Folders, without_companions
from imrec_core.duplicates.file_identity import FileId, file_id
from imrec_core.index.generation import Generation
from imrec_core.lake.storage.files import AnyPath, fingerprint, place, read_bytes

Pairs = NDArray[np.int64]

_COLUMNS = ("image_id", "source", "path", "content_hash", "width", "height", "byte_size", "mtime_ns")
_FACTS = (
    "format",
    "taken",
    "camera",
    "latitude",
    "longitude",
    "color_profile",
    "bit_depth",
    "has_alpha",
    "frames",
    "damaged",
)  # generations of 0.1 lack some
_AT_ONCE = 4096  # contents whose files are looked at together, and held: 2 kB each


@dataclass(frozen=True, slots=True)
class Copy:
    """One file of a group.

    Attributes:
        path: Full path of the file.
        below: Path relative to the root of its source.
        taken: Time when the image was taken, in ISO 8601; None if it is not known.
        frames: Number of pages, frames or images in the file; None as the others if the generation lacks it.
        is_kept: The file is not moved away.
        companions: Names of the files in its folder that belong to it, such as sidecars.
    """

    image_id: str
    source: str
    path: str
    below: str
    content_hash: str
    width: int
    height: int
    byte_size: int
    mtime_ns: int
    format: str | None = None
    taken: str | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    color_profile: str | None = None
    bit_depth: int | None = None
    has_alpha: bool | None = None
    frames: int | None = None
    damaged: bool | None = None
    is_kept: bool = False
    companions: tuple[str, ...] = ()


class Contents:
    """The files of a generation by content, in the order of the content hashes.

    Args:
        roots: Root folders of the sources, by name.
        between: Two sources; None for all sources.

    Attributes:
        names: Content hashes, sorted, as an array of Arrow.
        left_out: Paths of files that are missing, changed or unreadable.
    """

    def __init__(self, generation: Generation, roots: Mapping[str, AnyPath], between: tuple[str, str] | None) -> None:
        names = (*_COLUMNS, *(name for name in _FACTS if name in generation.column_names))
        table = generation.columns(*names)
        rows = np.flatnonzero(_is_of(table, between or roots) & generation.is_live)
        # Not as an array of NumPy: its strings take four bytes a character, and sorting copies them several times.
        hashes = table["content_hash"].combine_chunks().take(rows)
        order = pc.sort_indices(hashes)  # stable
        hashes = hashes.take(order)
        is_first = np.ones(len(rows), np.bool_)
        is_first[1:] = pc.not_equal(hashes[1:], hashes[:-1]).to_numpy(zero_copy_only=False)
        self.names = hashes.filter(pa.array(is_first))
        self._table, self._roots, self._between = table, roots, between
        self._rows, self._bounds = rows[order], np.append(np.flatnonzero(is_first), len(rows))  # of the contents
        self._copies: dict[int, list[Copy]] = {}  # of the contents that were loaded last
        self._dropped: set[int] = set()
        self._loading = threading.Lock()
        self._sides = [self._have(_is_of(table, [name])) for name in (between or ())]
        self._folders = Folders()
        self.left_out: set[str] = set()

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """Return the content hash of a content."""
        return str(self.names[i])

    @property
    def rows(self) -> NDArray[np.int64]:
        """One row per content `(n,)`."""
        return np.asarray(self._rows[self._bounds[:-1]])

    @property
    def sides(self) -> list[NDArray[np.bool_]]:
        """Masks of the contents with a file in the first and in the second source of `between`; empty without it."""
        return self._sides

    @property
    def repeated(self) -> Iterator[int]:
        """Contents with several files."""
        return iter(np.flatnonzero(np.diff(self._bounds) > 1).tolist())

    def across(self, pairs: Pairs) -> Pairs:
        """Select the pairs whose files exist and, with `between`, that join the two sources."""
        if self._sides:
            first, second = self._sides
            i, j = pairs.T
            pairs = pairs[(first[i] & second[j]) | (first[j] & second[i])]
        exists = np.zeros(len(self), np.bool_)
        exists[[i for i, _ in self.existing(np.unique(pairs).tolist())]] = True
        return pairs[exists[pairs].all(axis=1)] if len(pairs) else pairs

    def existing(self, members: Sequence[int]) -> Iterator[tuple[int, Copy]]:
        """Yield the contents with a file that is unchanged since the last build, and their first file."""
        for first in range(0, len(members), _AT_ONCE):
            some = members[first : first + _AT_ONCE]
            self.load(some)
            yield from ((i, copies[0]) for i in some if (copies := self.copies(i)))

    def copies(self, i: int) -> list[Copy]:
        """List the files of a content that are unchanged since the last build."""
        copies = self._copies.get(i)
        return self.load([i])[i] if copies is None else copies

    def load(self, members: Sequence[int]) -> Mapping[int, list[Copy]]:
        """Look at the files of several contents at once, which is faster than one by one; return those by content."""
        with self._loading:
            known = {i: self._copies[i] for i in members if i in self._copies}
            loaded = known | self._load([i for i in members if i not in known])
            held = {**self._copies, **loaded}
            self._copies = dict(itertools.islice(held.items(), max(len(held) - _AT_ONCE, 0), None))
        return loaded

    def _load(self, missing: Sequence[int]) -> dict[int, list[Copy]]:
        if not missing:
            return {}
        numbers = [self._rows[self._bounds[i] : self._bounds[i + 1]] for i in missing]
        rows = iter(self._table.take(np.concatenate(numbers)).to_pylist())
        loaded = {}
        for i, some in zip(missing, numbers, strict=True):
            made = [copy for row in itertools.islice(rows, len(some)) if (copy := self._copy(row))]
            first_source = self._between[0] if self._between else None
            loaded[i] = [] if i in self._dropped else _one_path_per_file(made, first_source)
        return loaded

    def _have(self, is_asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the contents with a file in some rows of the table."""
        found = np.zeros(len(self), np.bool_)
        found[np.searchsorted(self._bounds, np.flatnonzero(is_asked[self._rows]), side="right") - 1] = True
        return found

    def _copy(self, row: dict[str, Any]) -> Copy | None:
        """Make a file of a row; None if it is missing or has changed."""
        path = self._roots[row["source"]] / row["path"]
        if fingerprint(path) != (row["byte_size"], row["mtime_ns"]):
            self.left_out.add(str(path))
            return None
        taken = row["taken"].isoformat() if row.get("taken") else None
        return Copy(**{**row, "taken": taken, "path": str(path), "below": row["path"]})

    def files(self, members: Iterable[int]) -> list[Copy]:
        """List the files of several contents with their companions; a companion of another file is left out."""
        copies = [copy for i in members for copy in self.copies(i)]
        paths = set(without_companions([copy.path for copy in copies]))
        return [
            replace(copy, companions=tuple(map(os.path.basename, self._folders.companions(copy.path))))
            for copy in copies
            if copy.path in paths
        ]

    def drop(self, i: int) -> None:
        """Leave out a content whose files cannot be read."""
        self.left_out.update(copy.path for copy in self.copies(i))
        self._dropped.add(i)
        self._copies.pop(i, None)

    def read(self, i: int) -> bytes:
        """Read the bytes of a content, from its first file."""
        first = self.copies(i)[0]
        return read_bytes(place(first.path), at_most=first.byte_size)


def _is_of(table: pa.Table, sources: Iterable[str]) -> NDArray[np.bool_]:
    """Mark the rows of some sources."""
    is_of = pc.is_in(table["source"], pa.array(list(sources), pa.string()))
    return np.asarray(is_of.to_numpy())


def _one_path_per_file(copies: list[Copy], first_source: str | None) -> list[Copy]:
    """Keep one path per file: links, mounts and overlapping sources list a file several times, but it is no copy.

    Prefers paths in the first of two sources that are compared, whose files stay, and the file itself over a link.
    """
    if len(copies) < 2:
        return copies
    chosen: dict[FileId, Copy] = {}
    for copy in sorted(copies, key=lambda copy: (copy.source != first_source, os.path.islink(copy.path))):
        chosen.setdefault(file_id(copy.path), copy)
    ids = {copy.image_id for copy in chosen.values()}
    return [copy for copy in copies if copy.image_id in ids]
