"""Tables in parts: Parquet, which DuckDB, polars, pandas and Lance read, and CSV."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from imrec_core import tables
from imrec_core.export.folder import moved_into_place
from imrec_core.export.selection import Block, Selection

Progress = Callable[[str], None]

_TEXT = 0.1  # of a full block: numbers as text take ten times as much


def write_parquet(selection: Selection, folder: Path, progress: Progress) -> int:
    """Write the parts that are not there; returns how many were.

    A vector is a list of fixed size in the stored dtype, a 64-bit hash one `uint64`. The metadata says of what it is.
    """
    of = {column.name: column.facts() for column in selection.columns}
    made_from = json.dumps({"generation": selection.generation.id, "features": of})

    def opened(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
        words = [f.name for f in schema if not pa.types.is_fixed_size_list(f.type)]
        return pq.ParquetWriter(  # type: ignore[no-any-return]
            path,
            schema.with_metadata({"imrec": made_from}),
            compression="zstd",
            use_dictionary=words,
            write_statistics=words,
        )

    return _write_parts(selection, folder, "parquet", opened, lambda table: table, 1.0, progress)


def write_csv(selection: Selection, folder: Path, progress: Progress) -> int:
    """Write the parts that are not there, each with a heading; returns how many were. Lists are JSON."""

    def opened(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
        return pyarrow.csv.CSVWriter(path, schema)  # type: ignore[no-any-return]

    return _write_parts(selection, folder, "csv", opened, _as_text, _TEXT, progress)


def _write_parts(
    selection: Selection,
    folder: Path,
    ending: str,
    opened: Callable[[Path, pa.Schema], AbstractContextManager[Any]],
    as_written: Callable[[pa.Table], pa.Table],
    share: float,
    progress: Progress,
) -> int:
    paths = {part: folder / f"rows-{part:05d}.{ending}" for part in selection.parts}
    missing = [part for part, path in paths.items() if not path.exists()]
    reader = selection.reader()
    schema = as_written(with_vectors(Block(reader.schema.empty_table(), _no_vectors(selection)))).schema
    for part in missing:
        with moved_into_place(paths[part]) as temporary, opened(temporary, schema) as writer:
            for block in reader.blocks(selection.part(part), share=share):
                writer.write_table(as_written(with_vectors(block)))
        progress(f"part {part + 1} of {len(paths)}: {paths[part].name}")
    return len(paths) - len(missing)


def with_vectors(block: Block) -> pa.Table:
    """The rows, and a column of vectors for each feature."""
    table = block.rows
    for name, vectors in block.vectors.items():
        table = table.append_column(name, tables.to_vectors(vectors))
    return table


def _no_vectors(selection: Selection) -> dict[str, Any]:
    return {column.name: selection.vectors(column, slice(0, 0)) for column in selection.columns}


def _as_text(table: pa.Table) -> pa.Table:
    """Lists as JSON, and what CSV cannot hold in the way that Arrow prints it."""
    for i, field in enumerate(table.schema):
        if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            values = table.column(i).to_pylist()
            lists = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
            table = table.set_column(i, field.name, pa.array(lists, pa.string()))
        elif pa.types.is_decimal(field.type) or pa.types.is_time(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
    return table
