"""DuckDB views of the tables of a lake, derived from their declarations; nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from imrec_core.errors import DamagedGeneration, QueryError, UnreadableGeneration
from imrec_core.extraction.failures import list_failures
from imrec_core.features import Feature, known_features
from imrec_core.lake import parquet, run_log, schemas, tags
from imrec_core.lake.checksums import file_checksum
from imrec_core.lake.lake import GENERATION_FACTS, ROWS_FILE, Lake
from imrec_core.lake.storage.files import AnyPath, exists, is_remote
from imrec_core.lake.tags import tag_file

_MAY_BE_DAMAGE = (
    duckdb.InvalidInputException,
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.InternalException,
    duckdb.FatalException,
)
"""Errors of DuckDB while it reads a damaged Parquet file; some are errors of the SQL, too."""

_ADVICE = "run: imrec"  # in messages of views whose table has not been made


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """Open a connection with views of a lake's tables.

    The views are `catalog`, `images`, `rows` (of the current generation), `issues` (of its images, as `imrec issues`
    last found them), `runs`, and one per feature. They have the tables of all shards of the lake's sources, up to date
    or not. Vectors are `FLOAT[n]`, hashes `UBIGINT`, and hashes of more than 64 bits lists of `UBIGINT`.

    Raises:
        MissingTable: There is no lake.
    """
    lake.check_version()
    connection = duckdb.connect()
    if not isinstance(lake.root, Path):
        from imrec_core.lake.storage.arrow_dataset import ObjectFiles  # fsspec is slow to import

        connection.register_filesystem(ObjectFiles(lake.root))  # for `runs`
    shards = lake.live_shards()
    paths: dict[str, list[AnyPath]] = {
        "catalog": [lake.catalog_path(s) for s in shards],
        "images": [lake.images_path(s) for s in shards],
    }
    for name, feature in known_features(lake).items():
        paths[name] = [lake.feature_path(name, s) for s in shards]
        others = ", * EXCLUDE (image_id, vector)" if feature.columns else ""
        columns = f"image_id, {_vector_column(feature)}{others}"
        _create_view(connection, name, paths[name], columns, feature.schema, may_lack_columns=bool(others))
    _create_view(connection, "catalog", paths["catalog"], "*", schemas.MANIFEST, may_lack_columns=True)
    _create_view(connection, "images", paths["images"], "*", schemas.IMAGES, may_lack_columns=True)
    _create_runs_view(connection, lake.run_logs())
    generation = lake.current_generation()
    if generation:
        path = _whole_rows(lake, generation)
        _create_rows_view(connection, lake, path)
        _create_issues_view(connection, lake, generation)
    return connection


def _whole_rows(lake: Lake, generation: str) -> Path:
    """Return the path of a generation's rows, after they were compared with their checksum.

    Raises:
        DamagedGeneration: They are missing or damaged, or cannot be read.
    """
    path = lake.local_generation(generation) / ROWS_FILE
    try:
        checksums = json.loads((path.parent / GENERATION_FACTS).read_bytes()).get("checksums", {})
        expected = checksums.get("files", {}).get(ROWS_FILE)
        is_whole = expected in (None, file_checksum(path))
    except OSError as error:
        raise UnreadableGeneration(path, error) from error
    except (ValueError, AttributeError):
        is_whole = False
    if not is_whole:
        raise DamagedGeneration(path, "is damaged; to make it again, run: imrec build")
    return path


def _create_runs_view(connection: duckdb.DuckDBPyConnection, logs: Sequence[AnyPath]) -> None:
    """Create the view `runs`; empty if there is no run log yet."""
    if not logs:
        columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in run_log.COLUMNS.items())
        connection.execute(f"CREATE VIEW runs AS SELECT {columns} WHERE false")
        return
    files = ", ".join(map(_quote, logs))
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in run_log.COLUMNS.items())
    # Incomplete lines, left by a killed process, are ignored.
    read = f"read_json([{files}], format = 'newline_delimited', ignore_errors = true, columns = {{{columns}}})"
    connection.execute(f"CREATE VIEW runs AS SELECT * FROM {read}")


def _create_rows_view(connection: duckdb.DuckDBPyConnection, lake: Lake, path: Path) -> None:
    """Create the view `rows`, with the tags of each image unless a user column has their name."""
    live = f"SELECT * EXCLUDE (removed) FROM read_parquet({_quote(path)}) WHERE NOT removed"
    if tags.COLUMN in (name.lower() for name in pq.read_schema(path).names):
        connection.execute(f"CREATE VIEW rows AS {live}")
        return
    by_content = tag_file(lake).by_content()
    if not by_content:
        connection.execute(f"CREATE VIEW rows AS SELECT *, []::VARCHAR[] AS tags FROM ({live})")
        return
    columns = [pa.array(list(by_content), pa.string()), pa.array(list(by_content.values()), pa.list_(pa.string()))]
    connection.register("tags of contents", pa.table(columns, ["content_hash", tags.COLUMN]))
    connection.execute(
        f"CREATE VIEW rows AS SELECT rows.*, coalesce(tagged.tags, []) AS tags FROM ({live}) AS rows "
        'LEFT JOIN "tags of contents" AS tagged ON rows.content_hash = tagged.content_hash'
    )


def _create_issues_view(connection: duckdb.DuckDBPyConnection, lake: Lake, generation: str) -> None:
    """Create the view `issues`; without issues of this generation, reading it is an error that says what to do."""
    path = lake.layout.issues_path
    if (parquet.made_from(path) or {}).get("generation") == generation:
        source = f"SELECT image_id, issue, severity, value FROM read_parquet({_quote(path)})"
    else:
        columns = "NULL::VARCHAR AS image_id, NULL::VARCHAR AS issue, NULL::DOUBLE AS severity, NULL::DOUBLE AS value"
        message = f"the issues of generation {generation} are not known yet; {_ADVICE} issues"
        source = f"SELECT {columns} WHERE error({_quote(message)})"
    connection.execute(f"CREATE VIEW issues AS {source}")


def _vector_column(feature: Feature) -> str:
    """Return the SQL of the vector column; hashes stay as stored."""
    return "vector" if feature.dtype == "uint64" else f"vector::FLOAT[{feature.width}] AS vector"


def _create_view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    paths: Sequence[AnyPath],
    columns: str,
    schema: pa.Schema,
    *,
    may_lack_columns: bool = False,
) -> None:
    """Create a view over the files that exist.

    Args:
        may_lack_columns: Whether older files may lack columns, which are then null.
    """
    existing = [path for path in paths if exists(path)]
    if not existing:
        return
    if is_remote(existing[0]):
        from imrec_core.lake.storage.arrow_dataset import dataset

        # Through Arrow, because DuckDB reads remote files whole and several times.
        files = f"files of {name}"
        connection.register(files, dataset(existing, schema))  # type: ignore[arg-type]
        read = f'"{files}"'
    else:
        # A folder `x=y` is not a column. `union_by_name` reads the footer of every file, otherwise only the first.
        files = ", ".join(map(_quote, existing))
        read = f"read_parquet([{files}], hive_partitioning = false, union_by_name = {may_lack_columns})"
    connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns} FROM {read}')


def _quote(path: AnyPath | str) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def query(lake: Lake, sql: str) -> duckdb.DuckDBPyRelation:
    """Run one SELECT over the views.

    Raises:
        QueryError: The SQL is invalid, names a table that does not exist, or reads a damaged one. The rows of the
            result are read later; see `translate_errors`.
        DamagedGeneration: The rows of the generation are damaged.
    """
    with translate_errors():
        connection = connect(lake)
        statements = duckdb.extract_statements(sql)
        if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
            raise QueryError("SQL: expected one SELECT; only imrec build changes the lake")
        return connection.sql(sql)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the errors of DuckDB as errors of imrec, also while the rows of a result are read."""
    try:
        yield
    except duckdb.Error as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        may_be_damage = isinstance(error, _MAY_BE_DAMAGE) and _ADVICE not in line
        hint = "; if the SQL is right, a table is damaged, see: imrec check" if may_be_damage else ""
        raise QueryError(f"SQL: {line}{hint}") from error


def failures(lake: Lake) -> list[dict[str, Any]]:
    """Every failed image: source, path, error, byte_size; sorted by source and path.

    Raises:
        MissingTable: There is no lake.
    """
    lake.check_version()
    return list_failures(lake)
