"""Find the rows of a generation by image id."""

from __future__ import annotations

import binascii
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.errors import QueryError

Rows = NDArray[np.int64]

_ID_DIGITS = 16
_FEW = 100  # ids that are converted without polars, whose import takes 0.1 s and 15 MB


def former_rows(live: pa.Table, rows: Rows, names: Mapping[str, str]) -> tuple[pa.Array, Rows]:
    """Return the ids that images had under a former name of their source, and the row of each.

    Args:
        live: Columns `image_id`, `source` and `path` of the live rows.
        rows: The live rows.
        names: Name of each renamed source by its former name.
    """
    from imrec_core.catalog.former_ids import former_ids

    ids, positions = former_ids(live, names)
    return ids, rows[positions]


class RowsById:
    """The rows of images by their id.

    Args:
        ids: Image ids, 16 hex digits each.
        rows: Row of each.
        former: Returns ids that images had before, and their rows, when an id is unknown; None if there are none.
    """

    def __init__(
        self, ids: pa.ChunkedArray, rows: Rows, former: Callable[[], tuple[pa.Array, Rows]] | None = None
    ) -> None:
        self._numbers, self._rows, self._former = _numbers_of_column(ids), rows, former
        self._first: np.uint64 | None = None

    def find(self, image_id: str) -> int | None:
        """Return the row of an image; None if there is none.

        Raises:
            QueryError: The id is not one.
        """
        try:
            number = np.uint64(int(image_id, 16))
        except (ValueError, OverflowError, TypeError):
            raise QueryError(f"invalid image_id {image_id!r}: expected 16 hex digits") from None
        row = self._find_current(number)
        if row is None and self._former:
            row = _look_up_one(number, *self._former_rows)
        return row

    def find_all(self, image_ids: Sequence[str] | NDArray[np.uint64]) -> Rows:
        """Return the row of each image, and -1 for those without.

        Args:
            image_ids: Ids as 16 hex digits, or as numbers.
        """
        ids = image_ids if isinstance(image_ids, np.ndarray) else _as_numbers(image_ids)
        rows = _look_up(ids, *self._sorted)
        missing = np.flatnonzero(rows < 0)
        if len(missing) and self._former:
            rows[missing] = _look_up(ids[missing], *self._former_rows)
        return rows

    def _find_current(self, number: np.uint64) -> int | None:
        """Return the row of an id; the first id is searched for.

        In half a million ids that takes 0.3 ms, and sorting them, for further ids, 50 ms (2026-12).
        """
        if self._first is None or self._first == number:
            self._first = number
            found = np.flatnonzero(self._numbers == number)
            return int(self._rows[found[0]]) if len(found) else None
        return _look_up_one(number, *self._sorted)

    @functools.cached_property
    def _sorted(self) -> tuple[NDArray[np.uint64], Rows]:
        return _sort(self._numbers, self._rows)

    @functools.cached_property
    def _former_rows(self) -> tuple[NDArray[np.uint64], Rows]:
        """Return former ids and their rows. Computed when an id is unknown: a second for half a million images."""
        assert self._former is not None
        ids, rows = self._former()
        return _sort(_as_numbers(ids), rows)


def _sort(numbers: NDArray[np.uint64], rows: Rows) -> tuple[NDArray[np.uint64], Rows]:
    """Return numbers, ascending, and the row of each."""
    order = np.argsort(numbers)
    return numbers[order], rows[order]


def _look_up(ids: NDArray[np.uint64], numbers: NDArray[np.uint64], rows: Rows) -> Rows:
    """Return the row of each id, and -1 for unknown ids; `numbers` are ascending, with the row of each."""
    if not len(numbers):
        return np.full(len(ids), -1, np.int64)
    at = np.minimum(np.searchsorted(numbers, ids), len(numbers) - 1)
    return np.where(numbers[at] == ids, rows[at], -1)


def _look_up_one(number: np.uint64, numbers: NDArray[np.uint64], rows: Rows) -> int | None:
    """Return the row of an id; None for an unknown one."""
    at = int(np.searchsorted(numbers, number))
    return int(rows[at]) if at < len(numbers) and numbers[at] == number else None


def _numbers_of_column(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Convert the ids of a column to numbers, as `_as_numbers`; those of 16 digits without polars."""
    parts = [_digits(chunk) for chunk in ids.chunks]
    if any(part is None for part in parts):
        return _as_numbers(ids)
    digits = b"".join(part for part in parts if part is not None)
    return np.frombuffer(binascii.unhexlify(digits), ">u8").astype(np.uint64)


def _digits(ids: pa.Array) -> bytes | None:
    """Return the digits of all ids; None if an id is missing or has another length than 16."""
    if ids.null_count or ids.type != pa.string():
        return None
    _, ends, digits = ids.buffers()
    at = np.frombuffer(ends, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    if not len(ids) or (np.diff(at) != _ID_DIGITS).any():
        return b"" if not len(ids) else None
    return bytes(memoryview(digits)[at[0] : at[-1]])


def _as_numbers(ids: pa.ChunkedArray | pa.Array | Sequence[str]) -> NDArray[np.uint64]:
    """Convert image ids of 16 hex digits to numbers. In Python half a million would take half a second and 60 MB."""
    if isinstance(ids, Sequence) and len(ids) <= _FEW:
        return np.array([int(one, 16) for one in ids], np.uint64)
    import polars as pl

    return pl.Series(ids, dtype=pl.String).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
