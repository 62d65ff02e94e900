"""SQL filters and orders over the rows of one generation, with DuckDB."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core.errors import BadFilter
from imrec_core.lake import tags
from imrec_core.lake.parquet import ROW_GROUP
from imrec_core.lake.storage.files import Status
from imrec_core.lake.tags import TagFile
from imrec_core.sql.filter_errors import explain
from imrec_core.sql.nesting import nesting_error
from imrec_core.sql.policy import SqlPolicy, require_safe, time_limited
from imrec_core.sql.row_cache import RowCache, is_volatile
from imrec_core.sql.syntax_errors import is_empty

_SANDBOX = (
    "memory_limit = '2GB'",
    "temp_directory = ''",  # no spilling to disk
    "python_enable_replacements = false",  # no Python variables as tables
    "enable_external_access = false",
    "lock_configuration = true",
)

_DATABASE = "generation"
_TABLE = f"{_DATABASE}.rows"
_CACHED = 8  # filters, and as many orders; 32 MB each at half a million rows


class RowFilter:
    """Filters and orders over the live rows of one generation.

    SQL can read nothing else, and write nothing. Methods that take SQL require a policy; there is no default.

    The column `tags` has the tags of the users, as they are when a condition names it.

    Args:
        rows_path: Path of the generation's `rows.parquet`.
        tag_file: Tags by content; None for a filter without them. They have no column if a generation of an earlier
            version has a user column of that name.
    """

    def __init__(self, rows_path: Path, tag_file: TagFile | None = None) -> None:
        self._connection = duckdb.connect()
        has_own = tags.COLUMN in (name.lower() for name in pq.read_schema(rows_path).names)
        self._tag_file = None if has_own else tag_file
        self._tags_read: Status | None = None
        self._reading_tags = threading.Lock()
        self._filtered, self._sorted = RowCache(_CACHED), RowCache(_CACHED)
        self._load(str(rows_path))
        for setting in _SANDBOX:
            self._connection.execute(f"SET {setting}")

    def _load(self, rows_path: str) -> None:
        """Read the live rows into a compressed table, a part at a time: each is uncompressed until its checkpoint.

        Half a million rows take 30 MB instead of 130, and filters as long.
        """
        run = self._connection.execute
        run("SET allocator_flush_threshold = '1MB'")  # return the memory of each part
        run(f"ATTACH ':memory:' AS {_DATABASE} (COMPRESS)")
        no_tags = "" if self._tag_file is None else f", []::VARCHAR[] AS {tags.COLUMN}"
        live = f"SELECT * EXCLUDE (removed){no_tags} FROM read_parquet(?) WHERE NOT removed"
        run(f"CREATE TABLE {_TABLE} AS {live} LIMIT 0", [rows_path])
        for first in range(0, pq.read_metadata(rows_path).num_rows, ROW_GROUP):
            run(f"INSERT INTO {_TABLE} {live} AND row BETWEEN ? AND ?", [rows_path, first, first + ROW_GROUP - 1])
            run(f"CHECKPOINT {_DATABASE}")
        run(f"CREATE VIEW rows AS FROM {_TABLE}")  # so that conditions with a subquery need no name of a database

    def rows(self, where: str, policy: SqlPolicy) -> NDArray[np.int64]:
        """Find the rows that satisfy a condition, ascending. Those of clients are cached.

        Raises:
            BadFilter: `where` is not a valid condition over the rows.
        """

        def compute() -> NDArray[np.int64]:
            with self._relation("where", where, policy) as table:
                matching = table.filter(where).project("row").fetchnumpy()["row"]
            return np.sort(np.asarray(matching, dtype=np.int64))

        return self._cached(self._filtered, where, policy, compute)

    def ranks(self, rows: NDArray[np.int64], order_by: str, policy: SqlPolicy) -> NDArray[np.int64]:
        """Rank rows by an order over the columns, from 1; ties share a rank.

        Raises:
            BadFilter: `order_by` is not a valid order over the rows.
        """
        with self._relation("order_by", order_by, policy) as table:
            among = f"row IN ({', '.join(map(str, rows.tolist()))})" if len(rows) else "false"
            rank = f"dense_rank() OVER (ORDER BY {order_by}) AS place"
            ranked = table.filter(among).project(f"row, {rank}").fetchnumpy()
        by_row = dict(zip(ranked["row"].tolist(), ranked["place"].tolist(), strict=True))
        return np.array([by_row[row] for row in rows.tolist()], dtype=np.int64)

    def sort(self, order_by: str, policy: SqlPolicy, among: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Sort rows by an order over the columns, ties by row number. Orders of clients are cached.

        Args:
            among: Rows to sort, ascending; None for all.

        Raises:
            BadFilter: `order_by` is not a valid order over the rows.
        """

        def compute() -> NDArray[np.int64]:
            with self._relation("order_by", order_by, policy) as table:
                ordered = table.order(f"{order_by}, row").project("row").fetchnumpy()["row"]
            return np.asarray(ordered, dtype=np.int64)

        rows = self._cached(self._sorted, order_by, policy, compute)
        if among is None or not len(rows):
            return rows
        is_among = np.zeros(rows.max() + 1, np.bool_)  # `np.isin` sorts
        is_among[among] = True
        return rows[is_among[rows]]

    def _cached(
        self, cache: RowCache, sql: object, policy: SqlPolicy, compute: Callable[[], NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        """Return rows from a cache, by the SQL and the tags that it may name; the SQL of the local user is run."""
        if policy.is_trusted or not isinstance(sql, str) or is_volatile(sql):
            return compute()
        names_tags = self._tag_file is not None and tags.COLUMN in sql.lower()
        status = self._tag_file.status() if self._tag_file is not None and names_tags else None
        return cache.of((sql, status), compute)

    def row(self, number: int) -> dict[str, Any]:
        """Return all columns of a live row.

        Raises:
            SchemaMismatch: The file of the tags is damaged.
        """
        self._read_tags()
        result = self._connection.cursor().execute("SELECT * FROM rows WHERE row = ?", [number])
        names = [column[0] for column in result.description]
        return dict(zip(names, result.fetchall()[0], strict=True))

    def images_with_content(self, hashes: Sequence[str], limit: int) -> list[tuple[str, str, str]]:
        """Return image_id, source and path of the first live images with one of these content hashes."""
        result = self._connection.cursor().execute(
            "SELECT image_id, source, path FROM rows WHERE content_hash IN (SELECT unnest(?)) ORDER BY row LIMIT ?",
            [list(hashes), limit],
        )
        return [(str(image_id), str(source), str(path)) for image_id, source, path in result.fetchall()]

    def columns(self) -> dict[str, str]:
        """Return the SQL type of each column."""
        return {str(c[0]): str(c[1]) for c in self._connection.cursor().execute("DESCRIBE rows").fetchall()}

    def common_values(self, column: str, limit: int) -> list[str]:
        """Return the most common values of a text column, by frequency; none if most values are distinct."""
        quoted = '"' + column.replace('"', '""') + '"'
        cursor = self._connection.cursor()
        counts = cursor.execute(f"SELECT count({quoted}), count(DISTINCT {quoted}) FROM rows").fetchall()[0]
        if counts[1] * 2 > counts[0] > limit:
            return []
        result = cursor.execute(
            f"SELECT {quoted} FROM rows WHERE {quoted} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT ?",
            [limit],
        )
        return [str(value) for (value,) in result.fetchall()]

    def _read_tags(self) -> None:
        """Update the column of tags if their file has changed."""
        if self._tag_file is None:
            return
        with self._reading_tags:
            status = self._tag_file.status()
            if status == self._tags_read:
                return
            by_content = self._tag_file.by_content()
            cursor = self._connection.cursor()
            cursor.begin()
            cursor.execute(f"UPDATE {_TABLE} SET tags = [] WHERE len(tags) > 0")
            cursor.execute(
                f"UPDATE {_TABLE} AS rows SET tags = new.tags "
                "FROM (SELECT unnest(?) AS content_hash, unnest(?) AS tags) AS new "
                "WHERE rows.content_hash = new.content_hash",
                [list(by_content), list(by_content.values())],
            )
            cursor.commit()
            self._tags_read = status

    @contextmanager
    def _relation(self, name: str, sql: object, policy: SqlPolicy) -> Iterator[duckdb.DuckDBPyRelation]:
        """Yield the table of rows, to be queried with SQL that the policy allows."""
        if not isinstance(sql, str):
            raise BadFilter(name, f"found {sql!r}; expected SQL over the columns, as a string")
        too_deep = nesting_error(sql)  # SQL of the local user too: it would take all memory
        if too_deep:
            raise BadFilter(name, too_deep)
        if is_empty(sql):
            raise BadFilter(name, "there is no SQL in it; expected SQL over the columns", columns=self.columns())
        if tags.COLUMN in sql.lower():  # only then, so that a damaged file stops no other condition
            self._read_tags()
        connection = self._connection.cursor()  # one per call, for concurrent filters
        try:
            with time_limited(connection, name, policy.seconds):
                if not policy.is_trusted:
                    require_safe(connection, name, sql)
                yield connection.table(_TABLE)
        except (duckdb.Error, RuntimeError, UnicodeError) as error:
            raise explain(connection, name, sql, error, self.columns()) from error
