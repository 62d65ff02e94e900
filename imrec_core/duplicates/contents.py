"""The contents of a lake's files: files of the same bytes are one content, and contents are what is compared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.generation import Generation
from imrec_core.storage import AnyPath, fingerprint, place, read_bytes

Pairs = NDArray[np.int64]

_COLUMNS = ["image_id", "source", "path", "content_hash", "width", "height", "byte_size", "mtime_ns"]


@dataclass(frozen=True)
class Copy:
    """One file of a group.

    Attributes:
        path: Of the file, to be opened.
        below: The same from the root of its source on.
        is_kept: Whether it is to stay.
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
    is_kept: bool = False


class Contents:
    """The files of a generation by their content, in the order of the hashes."""

    def __init__(self, generation: Generation, roots: Mapping[str, AnyPath], between: tuple[str, str] | None) -> None:
        table = generation.columns(*_COLUMNS)
        sources = table["source"].to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(np.isin(sources, list(between or roots)) & generation.is_live)
        hashes = table["content_hash"].to_numpy(zero_copy_only=False)[rows].astype(str)
        self.names, at = np.unique(hashes, return_inverse=True)
        order = np.argsort(at, kind="stable")
        ends = np.cumsum(np.bincount(at, minlength=len(self.names)))
        self._table, self._roots, self._between = table, roots, between
        self._rows = np.split(rows[order], ends[:-1]) if len(self.names) else []
        self._copies: dict[int, list[Copy]] = {}
        self._sides = [np.isin(np.arange(len(self.names)), at[sources[rows] == name]) for name in (between or ())]
        self.left_out: set[str] = set()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def rows(self) -> NDArray[np.int64]:
        """A row of each content."""
        return np.array([rows[0] for rows in self._rows], np.int64)

    @property
    def repeated(self) -> Iterator[int]:
        """Those with several files."""
        return (i for i, rows in enumerate(self._rows) if len(rows) > 1)

    def across(self, pairs: Pairs) -> Pairs:
        """Of the pairs those that join the two sources, where there are two; no file that is gone is in one."""
        if self._sides:
            first, second = self._sides
            i, j = pairs.T
            pairs = pairs[(first[i] & second[j]) | (first[j] & second[i])]
        there = np.zeros(len(self), np.bool_)
        wanted = np.unique(pairs)
        there[wanted] = [bool(self.copies(int(i))) for i in wanted]
        return pairs[there[pairs].all(axis=1)] if len(pairs) else pairs

    def copies(self, i: int) -> list[Copy]:
        """The files of a content that are as the last build found them."""
        if i not in self._copies:
            made = []
            for number in self._rows[i].tolist():
                row = {name: self._table[name][number].as_py() for name in _COLUMNS}
                path = self._roots[row["source"]] / row["path"]
                if fingerprint(path) == (row["byte_size"], row["mtime_ns"]):
                    made.append(Copy(**{**row, "path": str(path), "below": row["path"]}))
                else:
                    self.left_out.add(str(path))
            # Of links and of sources that overlap, a file is no copy of itself; but two sources may share it.
            self._copies[i] = made if self._between else _once_each(made)
        return self._copies[i]

    def drop(self, i: int) -> None:
        """Leave out a content whose files cannot be read."""
        self.left_out.update(copy.path for copy in self.copies(i))
        self._copies[i] = []

    def read(self, i: int) -> bytes:
        return read_bytes(place(self.copies(i)[0].path))


def _once_each(copies: list[Copy]) -> list[Copy]:
    """One of those that lead to the same file, rather the file itself than a link to it."""
    if len(copies) < 2:
        return copies
    links_first = sorted(copies, key=lambda copy: not os.path.islink(copy.path))
    return list({os.path.realpath(copy.path): copy for copy in links_first}.values())
