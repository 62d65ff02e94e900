"""The facet of folders: the tree of sources and folders with their numbers of images."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.index.generation import Generation
from imrec_core.search.facet_values import codes_of, quote

MOST_FOLDERS = 200
"""Folders of one level that are listed; the others are counted."""

_SEPARATOR = "\0"  # between source and folder; a path cannot contain it
_AFTER = "\U0010ffff"


@dataclass(frozen=True)
class Folder:
    """A folder, or a source.

    Attributes:
        name: Last part of the path; for a source its name.
        folder: Path in the source with a final `/`; empty for a source.
        where: Condition that the images in it satisfy.
        images: Number of images in it and below.
        has_folders: Whether there are images in folders below.
    """

    name: str
    source: str
    folder: str
    where: str
    images: int
    has_folders: bool


@dataclass(frozen=True)
class Folders:
    """Folders of one level by name; `further_folders` and `further_images` count those that are not listed."""

    folders: Sequence[Folder]
    further_folders: int
    further_images: int


class FolderTree:
    """Sources and folders of the images of a generation."""

    def __init__(self, generation: Generation) -> None:
        import pyarrow.compute as pc

        table = generation.columns("source", "path")
        folders = pc.replace_substring_regex(table["path"], "[^/]*$", "")
        joined = pc.binary_join_element_wise(table["source"], folders, _SEPARATOR)
        codes, names = codes_of(joined)
        del folders, joined
        pa.default_memory_pool().release_unused()
        order = np.array(sorted(range(len(names)), key=lambda i: names[i]), np.int32)
        self._names = [str(names[i]) for i in order]
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        self._codes: NDArray[np.int32] = place[codes]
        live = np.bincount(self._codes[generation.is_live], minlength=len(order)) > 0
        self._live: NDArray[np.bool_] = live
        self.sources = sorted({self._names[i].split(_SEPARATOR)[0] for i in np.flatnonzero(live)})

    def list_sources(self, allowed: NDArray[np.bool_]) -> Folders:
        """List the sources with the numbers of allowed rows."""
        images = self._images(allowed)
        found = []
        for source in self.sources:
            first, last = self._range(source + _SEPARATOR)
            is_deep = any("/" in self._names[i] and self._live[i] for i in range(first, last))
            total = int(images[first:last].sum())
            found.append(Folder(source, source, "", f"source = {quote(source)}", total, is_deep))
        return _listed(found)

    def list_folders(self, source: str, folder: str, allowed: NDArray[np.bool_]) -> Folders:
        """List the folders in a folder with the numbers of allowed rows; none if there is no such folder.

        Args:
            folder: Path in the source; empty for the source itself.
        """
        folder = f"{folder.rstrip('/')}/" if folder else ""
        images, prefix = self._images(allowed), f"{source}{_SEPARATOR}{folder}"
        totals: dict[str, int] = {}
        deep: set[str] = set()
        for i in range(*self._range(prefix)):
            name, _, rest = self._names[i][len(prefix) :].partition("/")
            if not name or not self._live[i]:
                continue
            totals[name] = totals.get(name, 0) + int(images[i])
            if rest:
                deep.add(name)
        found = []
        for name, total in totals.items():
            path = f"{folder}{name}/"
            found.append(Folder(name, source, path, self._condition(source, path), total, name in deep))
        return _listed(found)

    def _condition(self, source: str, folder: str) -> str:
        inside = f"starts_with(path, {quote(folder)})"
        return inside if len(self.sources) == 1 else f"source = {quote(source)} AND {inside}"

    def _images(self, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(self._codes[allowed], minlength=len(self._names)).astype(np.int64)

    def _range(self, prefix: str) -> tuple[int, int]:
        """Return the range of names that begin with a prefix."""
        return bisect_left(self._names, prefix), bisect_left(self._names, prefix + _AFTER)


def _listed(found: list[Folder]) -> Folders:
    """List the largest folders by name, and count the others."""
    largest = sorted(found, key=lambda one: (-one.images, one.name))
    listed, rest = largest[:MOST_FOLDERS], largest[MOST_FOLDERS:]
    return Folders(sorted(listed, key=lambda one: one.name.lower()), len(rest), sum(one.images for one in rest))
