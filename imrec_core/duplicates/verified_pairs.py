"""Results of comparisons, stored in the lake, so that a search verifies only new pairs and can be continued.

Pairs are stored by content hash: renamed and moved files keep their results. A pair takes about 10 bytes on disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.duplicates.comparison import DIFFERENT, TIERS, Comparison
from imrec_core.duplicates.derivation import CHANGES, Derivation
from imrec_core.errors import LakeError, MissingTable
from imrec_core.lake import parquet
from imrec_core.lake.schemas import empty_table
from imrec_core.lake.storage.files import AnyPath

VERSION = "2"
"""Version of the comparison. Increment it when a pair of images may get another result."""

_SCHEMA = pa.schema(
    [
        ("first", pa.string()),
        ("second", pa.string()),
        ("tested", pa.string()),  # widest tier that was tested
        ("tier", pa.string()),
        ("agreement", pa.float64()),
        ("how", pa.string()),
        ("original", pa.int8()),  # of the derivation, as `change`; null if there is none
        ("change", pa.string()),
    ]
)
_SAVE_AFTER = 20.0  # seconds: at most that much work is lost when the process is killed
_SCREENED = {"variant": 1, "edited": 2}  # tiers whose screening passes more pairs than that of the others
_MAX_ROWS = 2_000_000  # stored pairs; above, pairs of contents that are no longer in the lake are dropped

log = logging.getLogger(__name__)

Pair = tuple[int, int]


@dataclass(frozen=True)
class VerifiedPair:
    """Two contents of a group, with the result of their comparison.

    Attributes:
        original: The content that the other one was made from; None if the pixels do not tell.
        change: What was done to the original: a key of `derivation.CHANGES`.
    """

    contents: tuple[str, str]
    tier: str
    agreement: float
    how: str
    original: str | None = None
    change: str | None = None

    @classmethod
    def of(cls, contents: tuple[str, str], found: Comparison) -> VerifiedPair:
        """Name the contents of a result."""
        made = found.derivation
        original, change = (contents[made.original], made.change) if made else (None, None)
        return cls(contents, str(found.tier), found.agreement, found.how, original, change)


class VerifiedPairs:
    """Results of comparisons by positions of two contents, the smaller first.

    Args:
        path: File in the lake. A damaged file, or one of another version, is replaced.
        names: Content hashes, sorted, as an array of Arrow.
        tier: Widest tier of the search. A result counts if it was tested at least for that tier.

    Attributes:
        members: Contents with a result from an earlier search.
    """

    def __init__(self, path: AnyPath, names: pa.StringArray, tier: str) -> None:
        self._path, self._names, self._tier = path, names, tier
        self._new: dict[Pair, Comparison] = {}
        self._saved = time.monotonic()
        self._results = dict(self._usable(self._read()))
        self.members = {i for pair in self._results for i in pair}

    def get(self, pair: Pair) -> Comparison | None:
        """Return the result of a pair; None if it was not compared."""
        return self._results.get(pair)

    def add(self, pair: Pair, found: Comparison) -> None:
        """Add a result; it is written by `save`."""
        self._results[pair] = self._new[pair] = found if found.tier else DIFFERENT

    def save_sometimes(self) -> None:
        """Write new results if the last write is some time ago."""
        if time.monotonic() - self._saved > _SAVE_AFTER:
            self.save()

    def save(self) -> None:
        """Write new results, together with those that other processes have written; log a warning if that fails."""
        self._saved = time.monotonic()
        if not self._new:
            return
        table = pa.concat_tables([self._read(), self._table()])
        if len(table) > _MAX_ROWS:
            is_current = (pc.is_in(table[side], self._names) for side in ("first", "second"))
            table = table.filter(pc.and_(*is_current))
        try:
            parquet.write_table(self._path, table, {"comparison": VERSION})
            self._new.clear()
        except (LakeError, OSError) as error:
            log.warning("results of comparisons cannot be stored, so the next search repeats them: %s", error)

    def _read(self) -> pa.Table:
        empty = empty_table(_SCHEMA)
        try:
            table = parquet.read_table(self._path)
        except MissingTable:
            return empty
        except (LakeError, pa.ArrowException, ValueError) as error:
            log.warning("stored results of comparisons are ignored and made again: %s", error)
            return empty
        made_from = parquet.made_from_of(table)
        table = table.replace_schema_metadata(None)
        if made_from == {"comparison": VERSION} and table.schema.equals(_SCHEMA):
            return table.filter(pc.is_in(table["tested"], pa.array(TIERS)))
        log.warning("%s is of another version of imrec; its pairs are compared again", self._path)
        return empty

    def _usable(self, table: pa.Table) -> Iterator[tuple[Pair, Comparison]]:
        """Yield the results of pairs of current contents that answer a search of this tier."""
        for side in ("first", "second"):
            table = table.append_column(f"{side}_place", pc.index_in(table[side], self._names))
        table = table.filter(pc.and_(pc.is_valid(table["first_place"]), pc.is_valid(table["second_place"])))
        columns = ("first_place", "second_place", "tested", "tier", "agreement", "how", "original", "change")
        for i, j, tested, *result in zip(*(table[name].to_pylist() for name in columns), strict=True):
            found = _comparison(*result)
            if _SCREENED.get(tested, 0) >= _SCREENED.get(self._tier, 0) or found.holds(self._tier):
                yield (i, j), found

    def _table(self) -> pa.Table:
        pairs = np.array(list(self._new), np.int64)
        found = list(self._new.values())
        columns: list[Any] = [
            self._names.take(pairs[:, 0]),
            self._names.take(pairs[:, 1]),
            [self._tier] * len(found),
            [one.tier for one in found],
            [one.agreement for one in found],
            [one.how for one in found],
            [one.derivation and one.derivation.original for one in found],
            [one.derivation and one.derivation.change for one in found],
        ]
        arrays = [pa.array(values, type=field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
        return pa.table(arrays, schema=_SCHEMA)


def _comparison(tier: str | None, agreement: float, how: str, original: int | None, change: str | None) -> Comparison:
    if tier is None:
        return DIFFERENT
    derivation = None if original is None or change not in CHANGES else Derivation(original, change)
    return Comparison(tier, agreement, how, derivation)
