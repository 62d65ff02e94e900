"""Facets of a generation: its images counted by folder, date, camera, size and kind, each under the other choices."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import UnknownName
from imrec_core.index.generation import Generation
from imrec_core.lake import tags
from imrec_core.search.facet_dates import DateCounts, DateFacet
from imrec_core.search.facet_folders import Folders, FolderTree
from imrec_core.search.facet_values import FacetCounts, value_facets
from imrec_core.sql.policy import SqlPolicy

NAMES = ("folder", "taken", "camera", "size", "orientation", "format", "colour", "traits")
"""Facets, in the order in which they are shown."""

OTHER = "other"
"""Name of the conditions that belong to no facet; they apply to all."""

_KEPT_MASKS = 16

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """All facets under a set of conditions.

    Attributes:
        images: Number of images that satisfy all conditions.
        sources: Sources, the first level of the tree of folders.
        taken: Histogram of dates; None if the rows have no dates.
        values: Facets with few values that divide the images of the lake.
    """

    images: int
    sources: Folders
    taken: DateCounts | None
    values: Sequence[FacetCounts]


class Facets:
    """Counts the images of a generation by facets. Safe to use from several threads.

    The counts of a facet are under the conditions of all others, but not its own: a further value can be chosen.

    Args:
        policy: What conditions may contain.
    """

    def __init__(self, generation: Generation, policy: SqlPolicy) -> None:
        self.generation, self._policy = generation, policy
        self._tree = FolderTree(generation)
        self._dates = DateFacet(generation) if "taken" in generation.column_names else None
        self._values = value_facets(generation)
        self._mask_of = functools.lru_cache(_KEPT_MASKS)(self._find)

    def count(
        self,
        conditions: Mapping[str, str],
        among: NDArray[np.uint64] | None = None,
        span: tuple[date, date] | None = None,
    ) -> Counts:
        """Count the images of each value of each facet.

        Args:
            conditions: SQL condition by the name of its facet, or `OTHER`.
            among: Ids of images as numbers, to count only these; None for all.
            span: First and last day of the histogram; None for those of the lake.

        Raises:
            BadFilter: A condition is invalid.
            UnknownName: There is no facet of that name.
        """
        base, masks = self._masks(conditions, among)

        def under_others(name: str) -> Mask:
            return functools.reduce(np.logical_and, [mask for of, mask in masks.items() if of != name], base)

        dates = self._dates.count(under_others("taken"), span) if self._dates is not None else None
        return Counts(
            int(np.count_nonzero(under_others(""))),
            self._tree.list_sources(under_others("folder")),
            dates,
            [facet.count(under_others(facet.name), conditions.get(facet.name, "")) for facet in self._values],
        )

    def list_folders(
        self, source: str, folder: str, conditions: Mapping[str, str], among: NDArray[np.uint64] | None = None
    ) -> Folders:
        """List the folders in a folder with their numbers of images, under the conditions of the other facets.

        Args:
            folder: Path in the source with a final `/`; empty for the source itself.

        Raises:
            BadFilter: A condition is invalid.
            UnknownName: There is no facet, or no source, of that name.
        """
        if source not in self._tree.sources:
            raise UnknownName("source", source, self._tree.sources)
        others = {name: condition for name, condition in conditions.items() if name != "folder"}
        base, masks = self._masks(others, among)
        return self._tree.list_folders(source, folder, functools.reduce(np.logical_and, masks.values(), base))

    def _masks(self, conditions: Mapping[str, str], among: NDArray[np.uint64] | None) -> tuple[Mask, dict[str, Mask]]:
        """Return the rows to count `(rows,)`, and those that satisfy each condition."""
        for name in conditions:
            if name not in (*NAMES, OTHER):
                raise UnknownName("facet", name, (*NAMES, OTHER))
        base = self.generation.is_live
        if among is not None:
            rows = self.generation.rows_of(among)
            inside = np.zeros(len(base), np.bool_)
            inside[rows[rows >= 0]] = True
            base = base & inside
        return base, {name: self._rows_with(condition) for name, condition in conditions.items() if condition}

    def _rows_with(self, condition: str) -> Mask:
        """Return the rows that satisfy a condition; kept, unless it is on tags, which change."""
        return self._find(condition) if tags.COLUMN in condition.lower() else self._mask_of(condition)

    def _find(self, condition: str) -> Mask:
        mask = np.zeros(len(self.generation), np.bool_)
        mask[self.generation.filter.rows(condition, self._policy)] = True
        return mask
