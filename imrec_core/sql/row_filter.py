"""Conditions and orders in SQL over the rows of one generation."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadFilter
from imrec_core.sql.policy import SqlPolicy, require_safe, time_limited

_CLOSED = (
    "memory_limit = '2GB'",
    "temp_directory = ''",  # what is too much for the memory is not put on a disk
    "python_enable_replacements = false",  # names of Python's own variables as tables
    "enable_external_access = false",
    "lock_configuration = true",
)

_NO_COLUMN = re.compile(r'Binder Error: Referenced column "(.+?)" not found in FROM clause')


class RowFilter:
    """Conditions and orders over the live rows of one generation; they can read nothing else and write nothing.

    What takes SQL takes the policy by which it is checked, too: there is no default that a caller could forget.

    Args:
        rows_path: The generation's `rows.parquet`.
    """

    def __init__(self, rows_path: Path) -> None:
        self._connection = duckdb.connect()
        live = "SELECT * EXCLUDE (removed) FROM read_parquet(?) WHERE NOT removed"
        self._connection.execute(f"CREATE TABLE rows AS {live}", [str(rows_path)])
        for setting in _CLOSED:
            self._connection.execute(f"SET {setting}")

    def rows(self, where: str, policy: SqlPolicy) -> NDArray[np.int64]:
        """Numbers of the rows for which the condition holds, in ascending order.

        Raises:
            BadFilter: `where` is no condition over the rows.
        """
        with self._relation("where", where, policy) as rows:
            kept = rows.filter(where).project("row").fetchnumpy()["row"]
        return np.sort(np.asarray(kept, dtype=np.int64))

    def places(self, rows: NDArray[np.int64], order_by: str, policy: SqlPolicy) -> NDArray[np.int64]:
        """The place of each row in an order over the columns, from 1; equal ones share theirs.

        Raises:
            BadFilter: `order_by` is no order over the rows.
        """
        with self._relation("order_by", order_by, policy) as every:
            among = f"row IN ({', '.join(map(str, rows.tolist()))})" if len(rows) else "false"
            place = f"dense_rank() OVER (ORDER BY {order_by}) AS place"
            found = every.filter(among).project(f"row, {place}").fetchnumpy()
        by_row = dict(zip(found["row"].tolist(), found["place"].tolist(), strict=True))
        return np.array([by_row[row] for row in rows.tolist()], dtype=np.int64)

    def ordered(self, order_by: str, policy: SqlPolicy, among: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Numbers of rows in an order over the columns; equal ones by their numbers.

        Args:
            among: Of these rows, ascending; None for all.

        Raises:
            BadFilter: `order_by` is no order over the rows.
        """
        with self._relation("order_by", order_by, policy) as every:
            found = every.order(f"{order_by}, row").project("row").fetchnumpy()["row"]
        rows = np.asarray(found, dtype=np.int64)
        return rows if among is None else rows[np.isin(rows, among)]

    def row(self, number: int) -> dict[str, Any]:
        """All that is known of a live row, by column."""
        found = self._connection.cursor().execute("SELECT * FROM rows WHERE row = ?", [number])
        names = [column[0] for column in found.description]
        return dict(zip(names, found.fetchall()[0], strict=True))

    def images_of(self, contents: Sequence[str], most: int) -> list[tuple[str, str, str]]:
        """The first live images with these content hashes: image_id, source and path of each."""
        found = self._connection.cursor().execute(
            "SELECT image_id, source, path FROM rows WHERE content_hash IN (SELECT unnest(?)) ORDER BY row LIMIT ?",
            [list(contents), most],
        )
        return [(str(image_id), str(source), str(path)) for image_id, source, path in found.fetchall()]

    def columns(self) -> dict[str, str]:
        """Name to type in SQL."""
        return {str(c[0]): str(c[1]) for c in self._connection.cursor().execute("DESCRIBE rows").fetchall()}

    def common(self, column: str, most: int) -> list[str]:
        """The most common values of a column of text, the most common first; none where nearly all differ."""
        quoted = '"' + column.replace('"', '""') + '"'
        cursor = self._connection.cursor()
        counts = cursor.execute(f"SELECT count({quoted}), count(DISTINCT {quoted}) FROM rows").fetchall()[0]
        if counts[1] * 2 > counts[0] > most:
            return []
        found = cursor.execute(
            f"SELECT {quoted} FROM rows WHERE {quoted} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT ?", [most]
        )
        return [str(value) for (value,) in found.fetchall()]

    @contextmanager
    def _relation(self, name: str, sql: object, policy: SqlPolicy) -> Iterator[duckdb.DuckDBPyRelation]:
        """The rows, to be queried with SQL that the policy allows."""
        if not isinstance(sql, str):
            raise BadFilter(f"{name} is {sql!r}; it must be SQL over the rows, as a string")
        connection = self._connection.cursor()  # one per call: threads may filter at the same time
        try:
            if not policy.is_trusted:
                require_safe(connection, name, sql)
            with time_limited(connection, name, policy.seconds):
                yield connection.table("rows")
        except (duckdb.Error, RuntimeError, UnicodeError) as error:
            columns = list(self.columns())
            raise BadFilter(f"{name}: {_in_words(error, columns)} (columns: {', '.join(columns)})") from error


def _in_words(error: Exception, columns: list[str]) -> str:
    """What DuckDB says first; of a column that is not there which one is nearest to it."""
    said = str(error).splitlines()[0]
    missing = _NO_COLUMN.match(said)
    if missing is None:
        return said
    near = difflib.get_close_matches(missing[1], columns, n=1)
    return f"no column named {missing[1]!r}" + (f"; did you mean {near[0]!r}?" if near else "")
