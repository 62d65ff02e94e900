"""SearchRequest: the validated arguments of one search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError, UnknownName
from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.index.exact_search import Distances
from imrec_core.index.generation import Generation, Rows
from imrec_core.search.fusion import FUSIONS
from imrec_core.search.pooling import POOLS
from imrec_core.sql.policy import SqlPolicy

MOST_DIVERSE = 1000
"""Hits that `diversify` chooses at most: one by one, each compared with all others in the pool."""


@dataclass(frozen=True)
class SearchRequest:
    """A search as it is carried out.

    Attributes:
        own: Rows that are part of the query, and so no hits.
        rate: `max_false_match_rate`; None for no cut.
        diversity: `diversify`; 0 for none.
        kept: The rows that may be hits, ascending; None for all.
        known: Distances of those rows by each of `chosen`, where they were computed for several searches at once.
    """

    chosen: Sequence[WeightedFeature]
    likes: Sequence[EncodedQuery]
    unlikes: Sequence[EncodedQuery] = ()
    own: tuple[int, ...] = ()
    k: int = 5
    pool: str = "mean"
    fusion: str = "score"
    rate: float | None = None
    distinct: str | None = None
    diversity: float = 0.0
    kept: Rows | None = None
    exact: bool = False
    known: Sequence[Distances] | None = None

    @property
    def counted(self) -> list[int]:
        """Positions of the features that count, in an order that does not depend on how they were given."""
        weighing = [i for i, c in enumerate(self.chosen) if c.weight > 0]
        return sorted(weighing, key=lambda i: self.chosen[i].name) if len(weighing) > 1 else weighing


def check(
    *,
    k: object,
    pool: object,
    fusion: object,
    rate: object,
    distinct: object,
    diversity: object,
) -> None:
    """Refuse what cannot be asked.

    Raises:
        QueryError: A number is out of its range.
        UnknownName: No such pool, fusion or kind of copies; says the nearest.
    """
    if not isinstance(k, int) or k < 1:
        raise QueryError(f"k is {k!r}; it must be a whole number of 1 or more")
    for kind, name, known in (("pool", pool, POOLS), ("fusion", fusion, FUSIONS), ("distinct", distinct, ("content",))):
        if str(name) not in known and not (kind == "distinct" and name is None):
            raise UnknownName(kind, str(name), known)
    if rate is not None and (not _is_number(rate) or not 0 < rate <= 1):  # type: ignore[operator]
        raise QueryError(f"max_false_match_rate is {rate!r}; it must be a number above 0, at most 1")
    if not _is_number(diversity) or not 0 <= diversity <= 1:  # type: ignore[operator]
        raise QueryError(f"diversify is {diversity!r}; it must be a number from 0 (off) to 1")
    if diversity and k > MOST_DIVERSE:
        raise QueryError(f"k is {k}; with diversify it must be at most {MOST_DIVERSE}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def kept_rows(
    generation: Generation, where: str | None, among: Sequence[str] | NDArray[np.uint64] | None, policy: SqlPolicy
) -> Rows | None:
    """The rows for which a condition holds, among some images, ascending; None for all.

    Raises:
        BadFilter: `where` is no condition over the rows.
    """
    kept = generation.filter.rows(where, policy) if where else None
    if among is None:
        return kept
    rows = np.unique(generation.rows_of(among))
    rows = rows[rows >= 0]
    return rows if kept is None else np.intersect1d(kept, rows, assume_unique=True)
