"""The rows of a generation: `rows.parquet` for SQL and other programs, and a copy for memory mapping for searches.

Searches read single values of a few columns. For half a million rows, these columns took 80 MB of memory and 0.4 s when
they were read from Parquet; mapped, they take neither (2026-12).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.lake import parquet
from imrec_core.lake.layout import MAPPED_ROWS_FILE, ROWS_FILE

_BATCH_ROWS = 65_536  # rows read at a time
_FEW = 100  # rows whose values are read one by one; the function `take` of Arrow takes 30 ms to import (pyarrow 26)


def write_rows(folder: Path, table: pa.Table) -> None:
    """Write the rows of a generation into its folder."""
    parquet.write_file(folder / ROWS_FILE, table)
    with pa.OSFile(str(folder / MAPPED_ROWS_FILE), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())


class RowTable:
    """The rows of a generation, whose files were verified.

    Args:
        path: Path of `rows.parquet`. Generations of earlier versions have no `rows.arrow` beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: dict[str, pa.Array] = {}

    @functools.cached_property
    def _mapped(self) -> pa.Table | None:
        path = self._path.with_name(MAPPED_ROWS_FILE)
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all() if path.exists() else None

    @functools.cached_property
    def column_names(self) -> list[str]:
        """Names of all columns."""
        table = self._mapped
        return list((parquet.open_file(self._path).schema_arrow if table is None else table.schema).names)

    def read_all(self) -> pa.Table:
        """Read all columns, one chunk each."""
        return (parquet.open_file(self._path).read() if self._mapped is None else self._mapped).combine_chunks()

    def columns(self, *names: str) -> pa.Table:
        """Read columns; each is mapped or read once, and kept as one chunk.

        To take ten of half a million rows, Arrow needs 1.4 ms from several chunks and 0.02 ms from one.
        """
        self._read(names)
        return pa.table({name: self._columns[name] for name in names})

    def _read(self, names: Sequence[str]) -> None:
        """Map or read the columns that are not read yet."""
        missing = [name for name in names if name not in self._columns]
        if missing and self._mapped is not None:
            self._columns |= {name: _as_one(self._mapped[name].chunks) for name in missing}
        elif missing:  # in batches, which leaves less than half as much memory allocated
            batches = list(parquet.open_file(self._path).iter_batches(_BATCH_ROWS, columns=missing))
            self._columns |= {name: _as_one([batch.column(name) for batch in batches]) for name in missing}
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


def _as_one(chunks: Sequence[pa.Array]) -> pa.Array:
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def _to_arrow(rows: NDArray[np.int64]) -> pa.Array:
    """Convert rows to an Arrow array.

    Given a NumPy array, Arrow imports pandas if it is installed, which takes 0.2 s (pyarrow 26).
    """
    return pa.Int64Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows, np.int64))])
