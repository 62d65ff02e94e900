"""Tables of the columns of a lake for `docs/reference/tables.md`, generated from the schemas and their comments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType

import pyarrow as pa

from docs.markdown import table
from imrec_core.lake import run_log, schemas

_SQL_TYPES = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint64": "UBIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "timestamp[us]": "TIMESTAMP",
}
"""Arrow type → type in DuckDB."""


def column_comments(module: ModuleType, name: str) -> dict[str, str]:
    """Read the comment beside each column of a table that a module declares, by column."""
    source = inspect.getsource(module)
    declared = source[source.index(f"\n{name}") :].partition("\n)" if module is schemas else "\n}")[0]
    return dict(re.findall(r"^ +\(?\"(\w+)\".*?,  # (.+)$", declared, re.MULTILINE))


def catalog_columns() -> str:
    """Generate the columns of the view `catalog`."""
    return _columns(schemas.MANIFEST, column_comments(schemas, "CATALOG") | column_comments(schemas, "MANIFEST"))


def images_columns() -> str:
    """Generate the columns of the view `images`."""
    return _columns(schemas.IMAGES, column_comments(schemas, "IMAGES ="))


def rows_columns() -> str:
    """Generate the columns of the view `rows`, without those of user columns and tags."""
    comments = column_comments(schemas, "IMAGES =") | column_comments(schemas, "ROWS")
    shown = [field for field in schemas.ROWS if field.name != "removed"]  # rows.parquet has it, the view has not
    return _columns(pa.schema(shown), comments)


def map_columns() -> str:
    """Generate the columns of `maps/NAME.parquet`."""
    return _columns(schemas.MAP, column_comments(schemas, "MAP"))


def runs_columns() -> str:
    """Generate the columns of the view `runs`."""
    return _table(run_log.COLUMNS, column_comments(run_log, "COLUMNS"))


TABLES: Mapping[str, Callable[[], str]] = {
    "catalog_columns": catalog_columns,
    "images_columns": images_columns,
    "rows_columns": rows_columns,
    "map_columns": map_columns,
    "runs_columns": runs_columns,
}


def _columns(schema: pa.Schema, comments: Mapping[str, str]) -> str:
    return _table({field.name: _sql_type(field.type) for field in schema}, comments)


def _sql_type(kind: pa.DataType) -> str:
    return f"{_sql_type(kind.value_type)}[]" if pa.types.is_list(kind) else _SQL_TYPES[str(kind)]


def _table(types: Mapping[str, str], comments: Mapping[str, str]) -> str:
    return table(
        ("column", "type", "meaning"), ((f"`{name}`", f"`{kind}`", comments[name]) for name, kind in types.items())
    )
