"""Read the columns of a generation's `rows.parquet`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.lake import parquet

_BATCH_ROWS = 65_536  # rows read at a time
_FEW = 100  # rows whose values are read one by one; the function `take` of Arrow takes 30 ms to import (pyarrow 26)


class RowTable:
    """The rows of a generation, whose file was verified."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: dict[str, pa.Array] = {}

    @functools.cached_property
    def column_names(self) -> list[str]:
        """Names of all columns."""
        return list(parquet.open_file(self._path).schema_arrow.names)

    def read_all(self) -> pa.Table:
        """Read all columns, one chunk each."""
        return parquet.open_file(self._path).read().combine_chunks()

    def columns(self, *names: str) -> pa.Table:
        """Read columns; each is read once and kept as one chunk.

        To take ten of half a million rows, Arrow needs 1.4 ms from several chunks and 0.02 ms from one. Reading in
        batches leaves less than half as much memory allocated.
        """
        self._read(names)
        return pa.table({name: self._columns[name] for name in names})

    def _read(self, names: Sequence[str]) -> None:
        """Read the columns that are not read yet."""
        missing = [name for name in names if name not in self._columns]
        if missing:
            batches = list(parquet.open_file(self._path).iter_batches(_BATCH_ROWS, columns=missing))
            for name in missing:
                self._columns[name] = pa.concat_arrays([batch.column(name) for batch in batches])
            del batches
            pa.default_memory_pool().release_unused()

    def values(self, rows: NDArray[np.int64], *names: str) -> dict[str, list[Any]]:
        """Return the values of columns in some rows, in the order of `rows`, by column."""
        if len(rows) > _FEW:
            values: dict[str, list[Any]] = self.columns(*names).take(_to_arrow(rows)).to_pydict()
            return values
        self._read(names)
        return {name: [self._columns[name][row].as_py() for row in rows.tolist()] for name in names}

    def rows_equal_to(self, name: str, value: str) -> NDArray[np.int64]:
        """Return the rows with a value in a text column, ascending.

        The bytes of the column are searched. Arrow's `equal` imports pandas if it is installed, which takes 0.2 s
        (pyarrow 26).

        Args:
            value: Text that is not empty.
        """
        self._read([name])
        _, ends, text = self._columns[name].buffers()
        starts = np.frombuffer(ends or b"", np.int32)[self._columns[name].offset :]
        data, wanted, rows = bytes(text or b""), value.encode(), []
        at = data.find(wanted)
        while at >= 0:
            row = int(np.searchsorted(starts[: len(self._columns[name]) + 1], at, side="right")) - 1
            if starts[row] == at and starts[row + 1] == at + len(wanted):
                rows.append(row)
            at = data.find(wanted, at + 1)
        return np.array(rows, np.int64)


def _to_arrow(rows: NDArray[np.int64]) -> pa.Array:
    """Convert rows to an Arrow array.

    Given a NumPy array, Arrow imports pandas if it is installed, which takes 0.2 s (pyarrow 26).
    """
    return pa.Int64Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows, np.int64))])
