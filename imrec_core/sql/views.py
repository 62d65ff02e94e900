"""DuckDB over the lake: a view for every table, in memory, made from the declarations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from imrec_core.errors import QueryError
from imrec_core.features import Feature, known_features
from imrec_core.lake import run_log, schemas
from imrec_core.lake.lake import ROWS_FILE, Lake
from imrec_core.lake.storage.files import AnyPath, exists, is_remote


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
        from imrec_core.lake.storage.arrow_dataset import (
            ObjectFiles,  # here: fsspec takes time, and most lakes are local
        )

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
    _view(connection, "catalog", paths["catalog"], "*", schemas.CATALOG)
    _view(connection, "images", paths["images"], "*", schemas.IMAGES, may_differ=True)
    _runs_view(connection, lake.run_logs())
    generation = lake.current_generation()
    if generation:
        path = lake.local_generation(generation) / ROWS_FILE
        _view(connection, "rows", [path], "* EXCLUDE (removed)", schemas.ROWS, where="NOT removed")
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
        from imrec_core.lake.storage.arrow_dataset import dataset

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
