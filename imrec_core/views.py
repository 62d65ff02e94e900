"""DuckDB over the lake: a view for every table, in memory, made from the declarations."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core import conditions, run_log, tables
from imrec_core.errors import BadFilter, QueryError
from imrec_core.features import Feature, known_features
from imrec_core.lake import ROWS_FILE, Lake
from imrec_core.storage import AnyPath, exists, is_remote

_CLOSED = (
    "memory_limit = '2GB'",
    "temp_directory = ''",  # what is too much for the memory is not put on a disk
    "python_enable_replacements = false",  # names of Python's own variables as tables
    "enable_external_access = false",
    "lock_configuration = true",
)

_NO_COLUMN = re.compile(r'Binder Error: Referenced column "(.+?)" not found in FROM clause')


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection with the views `catalog`, `images`, `rows` (of the generation in use), `runs` and one per feature.

    A shard's table is seen while it belongs to a source of the lake, whether or not it is up to date. Vectors come
    as `FLOAT[n]`, hashes as `UBIGINT`, longer than 64 bits as lists of them.

    Raises:
        MissingTable: There is no lake.
    """
    lake.check_version()
    connection = duckdb.connect()
    if not isinstance(lake.root, Path):
        from imrec_core.object_files import ObjectFiles  # here: fsspec takes time, and most lakes are local

        connection.register_filesystem(ObjectFiles(lake.root))  # for `runs`
    shards = lake.live_shards()
    paths: dict[str, list[AnyPath]] = {
        "catalog": [lake.catalog_path(s) for s in shards],
        "images": [lake.images_path(s) for s in shards],
    }
    for name, feature in known_features(lake).items():
        paths[name] = [lake.feature_path(name, s) for s in shards]
        beside = ", * EXCLUDE (image_id, vector)" if feature.columns else ""
        chosen = f"image_id, {_vector(feature)}{beside}"
        _view(connection, name, paths[name], chosen, feature.schema, may_differ=bool(beside))
    _view(connection, "catalog", paths["catalog"], "*", tables.CATALOG)
    _view(connection, "images", paths["images"], "*", tables.IMAGES, may_differ=True)
    _runs_view(connection, lake.run_logs())
    generation = lake.current_generation()
    if generation:
        path = lake.local_generation(generation) / ROWS_FILE
        _view(connection, "rows", [path], "* EXCLUDE (removed)", tables.ROWS, where="NOT removed")
    return connection


def _runs_view(connection: duckdb.DuckDBPyConnection, logs: Sequence[AnyPath]) -> None:
    """Make the view `runs`, empty where nothing was noted yet."""
    if not logs:
        columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in run_log.COLUMNS.items())
        connection.execute(f"CREATE VIEW runs AS SELECT {columns} WHERE false")
        return
    files = ", ".join(map(_quoted, logs))
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in run_log.COLUMNS.items())
    # A line that a killed process left half written is passed over.
    read = f"read_json([{files}], format = 'newline_delimited', ignore_errors = true, columns = {{{columns}}})"
    connection.execute(f"CREATE VIEW runs AS SELECT * FROM {read}")


def _vector(feature: Feature) -> str:
    """The column of vectors; hashes stay as they are, one number or several."""
    return "vector" if feature.dtype == "uint64" else f"vector::FLOAT[{feature.width}] AS vector"


def _view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    paths: Sequence[AnyPath],
    columns: str,
    schema: pa.Schema,
    *,
    may_differ: bool = False,
    where: str = "true",
) -> None:
    """Make a view over files; those that `may_differ`, older ones, lack columns: these are null there."""
    there = [path for path in paths if exists(path)]
    if not there:
        return
    if is_remote(there[0]):
        from imrec_core.object_files import dataset

        # Through Arrow: DuckDB itself fetches a file whole, several times, where it does not lie on a disk.
        files = f"files of {name}"
        connection.register(files, dataset(there, schema))  # type: ignore[arg-type]
        read = f'"{files}"'
    else:
        # A folder `x=y` is no column of ours. By name every footer is read, otherwise the first alone.
        files = ", ".join(map(_quoted, there))
        read = f"read_parquet([{files}], hive_partitioning = false, union_by_name = {may_differ})"
    connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns} FROM {read} WHERE {where}')


def _quoted(path: AnyPath) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def query(lake: Lake, sql: str) -> duckdb.DuckDBPyRelation:
    """The result of one SELECT over the views.

    Raises:
        QueryError: The SQL is not valid, or names a table that is not there.
    """
    connection = connect(lake)
    try:
        statements = duckdb.extract_statements(sql)
        if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
            raise QueryError("SQL: give one SELECT; the lake is changed by imrec build alone")
        return connection.sql(sql)
    except duckdb.Error as error:
        raise QueryError(f"SQL: {str(error).splitlines()[0]}") from error


class RowFilter:
    """Conditions and orders over the live rows of one generation; they can read nothing else and write nothing.

    Those of strangers are asked within `conditions.bounded`.

    Args:
        rows_path: The generation's `rows.parquet`.
    """

    def __init__(self, rows_path: Path) -> None:
        self._connection = duckdb.connect()
        live = "SELECT * EXCLUDE (removed) FROM read_parquet(?) WHERE NOT removed"
        self._connection.execute(f"CREATE TABLE rows AS {live}", [str(rows_path)])
        for setting in _CLOSED:
            self._connection.execute(f"SET {setting}")

    def rows(self, where: str) -> NDArray[np.int64]:
        """Numbers of the rows for which the condition holds, in ascending order.

        Raises:
            BadFilter: `where` is no condition over the rows.
        """
        with self._asked("where", where) as rows:
            kept = rows.filter(where).project("row").fetchnumpy()["row"]
        return np.sort(np.asarray(kept, dtype=np.int64))

    def places(self, rows: NDArray[np.int64], order_by: str) -> NDArray[np.int64]:
        """The place of each row in an order over the columns, from 1; equal ones share theirs.

        Raises:
            BadFilter: `order_by` is no order over the rows.
        """
        with self._asked("order_by", order_by) as every:
            among = f"row IN ({', '.join(map(str, rows.tolist()))})" if len(rows) else "false"
            place = f"dense_rank() OVER (ORDER BY {order_by}) AS place"
            found = every.filter(among).project(f"row, {place}").fetchnumpy()
        by_row = dict(zip(found["row"].tolist(), found["place"].tolist(), strict=True))
        return np.array([by_row[row] for row in rows.tolist()], dtype=np.int64)

    def ordered(self, order_by: str, among: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Numbers of rows in an order over the columns; equal ones by their numbers.

        Args:
            among: Of these rows, ascending; None for all.

        Raises:
            BadFilter: `order_by` is no order over the rows.
        """
        with self._asked("order_by", order_by) as every:
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
    def _asked(self, name: str, condition: object) -> Iterator[duckdb.DuckDBPyRelation]:
        """The rows, to be asked with a condition of that name."""
        if not isinstance(condition, str):
            raise BadFilter(f"{name} is {condition!r}; it must be SQL over the rows, as a string")
        connection = self._connection.cursor()  # one per call: threads may filter at the same time
        try:
            conditions.check(connection, name, condition)
            with conditions.timed(connection, name):
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


def failures(lake: Lake) -> list[dict[str, Any]]:
    """Every failed image: source, path, error, byte_size; sorted by source and path."""
    if not any(exists(lake.images_path(shard)) for shard in lake.live_shards()):
        lake.check_version()
        return []
    found = connect(lake).sql(
        "SELECT c.source, c.path, i.error, c.byte_size FROM images i JOIN catalog c USING (image_id) "
        "WHERE i.status = 'failed' ORDER BY ALL"
    )
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
