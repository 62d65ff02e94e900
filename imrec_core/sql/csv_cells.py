"""Results of SQL as CSV: values that a cell cannot hold become JSON."""

from __future__ import annotations

import duckdb

_NESTED = ("map", "list", "array", "struct", "union")
_TEXTS = ("interval", "bit", "time with time zone")  # which polars does not read


def csv_of(result: duckdb.DuckDBPyRelation) -> str:
    """Write a result as CSV, with a header. Maps, lists, vectors and structs are JSON, bytes Base64.

    Raises:
        duckdb.Error: A table is damaged, or the SQL fails on a row.
    """
    columns = enumerate(zip(result.columns, result.types, strict=True), 1)
    cells = [f'{_cell(f"#{i}", kind.id)} AS "{_escape(name)}"' for i, (name, kind) in columns]
    return str(result.project(", ".join(cells)).pl().write_csv())


def _cell(column: str, kind: str) -> str:
    if kind in _NESTED:
        return f"CAST(to_json({column}) AS VARCHAR)"
    if kind == "blob":
        return f"base64({column})"
    return f"CAST({column} AS VARCHAR)" if kind in _TEXTS else column


def _escape(name: str) -> str:
    return name.replace('"', '""')
