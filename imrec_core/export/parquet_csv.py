"""Parquet and CSV: tables of rows and vectors, in parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from imrec_core.export.selection import Block, Selection
from imrec_core.lake import schemas
from imrec_core.lake.storage.files import moved_into_place

Progress = Callable[[str], None]

_TEXT = 0.1  # of a full block: numbers as text take ten times the memory


def write_parquet(selection: Selection, folder: Path, progress: Progress) -> int:
    """Write the missing parts; return how many existed.

    A vector is a fixed-size list of the stored dtype, a 64-bit hash a `uint64`, a varying number of them a list. The
    schema metadata names the generation and the features.
    """
    features = {column.name: column.facts() for column in selection.columns}
    made_from = json.dumps({"generation": selection.generation.id, "features": features})

    def open_writer(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
        scalars = [f.name for f in schema if not pa.types.is_fixed_size_list(f.type)]
        return pq.ParquetWriter(  # type: ignore[no-any-return]
            path,
            schema.with_metadata({"imrec": made_from}),
            compression="zstd",
            use_dictionary=scalars,
            write_statistics=scalars,
        )

    return _write_parts(selection, folder, "parquet", open_writer, lambda table: table, 1.0, progress)


def write_csv(selection: Selection, folder: Path, progress: Progress) -> int:
    """Write the missing parts, each with a header; return how many existed. Lists are JSON."""

    def open_writer(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
        return pyarrow.csv.CSVWriter(path, schema)  # type: ignore[no-any-return]

    return _write_parts(selection, folder, "csv", open_writer, _to_text, _TEXT, progress)


def _write_parts(
    selection: Selection,
    folder: Path,
    ending: str,
    open_writer: Callable[[Path, pa.Schema], AbstractContextManager[Any]],
    convert: Callable[[pa.Table], pa.Table],
    share: float,
    progress: Progress,
) -> int:
    paths = {part: folder / f"rows-{part:05d}.{ending}" for part in selection.parts}
    missing = [part for part, path in paths.items() if not path.exists()]
    reader = selection.reader()
    variable = [column.name for column in selection.columns if column.feature.is_variable]
    schema = convert(with_vectors(Block(reader.schema.empty_table(), _no_vectors(selection)), variable)).schema
    for part in missing:
        with moved_into_place(paths[part]) as temporary, open_writer(temporary, schema) as writer:
            for block in reader.blocks(selection.part(part), share=share):
                writer.write_table(convert(with_vectors(block, variable)))
        progress(f"part {part + 1} of {len(paths)}: {paths[part].name}")
    return len(paths) - len(missing)


def with_vectors(block: Block, variable: Sequence[str] = ()) -> pa.Table:
    """Append a column of vectors per feature to the rows of a block; `variable` names those of varying length."""
    table = block.rows
    for name, vectors in block.vectors.items():
        table = table.append_column(name, schemas.to_vectors(vectors, is_variable=name in variable))
    return table


def _no_vectors(selection: Selection) -> dict[str, Any]:
    return {column.name: selection.vectors(column, slice(0, 0)) for column in selection.columns}


def _to_text(table: pa.Table) -> pa.Table:
    """Convert lists to JSON, and types that Arrow's CSV writer lacks to strings."""
    for i, field in enumerate(table.schema):
        if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type):
            values = table.column(i).to_pylist()
            lists = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
            table = table.set_column(i, field.name, pa.array(lists, pa.string()))
        elif pa.types.is_decimal(field.type) or pa.types.is_time(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
    return table
