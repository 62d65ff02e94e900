"""Lance: one dataset of rows and vectors, with one index per feature."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa

from imrec_core.errors import MissingDependency
from imrec_core.export.parquet_csv import Progress, with_vectors
from imrec_core.export.selection import Block, Reader, Selection

INDEXED = 10_000  # minimum number of rows for an index; below it an exact scan is fast enough

_CLUSTER = 4096  # vectors per cell of an index, about


def check() -> None:
    """Require the library.

    Raises:
        MissingDependency: pylance is not installed.
    """
    if find_spec("lance") is None:
        raise MissingDependency("lance", extra="lance")


def write_lance(selection: Selection, folder: Path, progress: Progress) -> int:
    """Append the missing parts, then create the missing indexes; return how many parts existed.

    A part is a version of the dataset, which Lance commits atomically.
    """
    import lance

    path = folder / "images.lance"
    there = 0
    if path.exists() and any((path / "_versions").glob("*")):
        there = -(-lance.dataset(path).count_rows() // selection.part_rows)
    reader = selection.reader()
    for part in selection.parts[there:]:
        data = pa.RecordBatchReader.from_batches(_schema(selection, reader), _batches(selection, reader, part))
        lance.write_dataset(data, path, mode="append" if part else "create")
        progress(f"part {part + 1} of {len(selection.parts)}")
    dataset = lance.dataset(path)
    indexed = {index.name for index in dataset.describe_indices()}
    for column in selection.columns if len(selection) >= INDEXED else ():
        if f"{column.name}_index" not in indexed:
            dataset.create_index(
                column.name,
                "IVF_FLAT",
                name=f"{column.name}_index",
                metric=column.space.distance,
                num_partitions=-(-len(selection) // _CLUSTER),
            )
            progress(f"index of {column.name}")
    # Remove what a killed run did not commit, of any age: the folder is locked, so no other process is writing.
    dataset.cleanup_old_versions(timedelta(0), delete_unverified=True)
    return there


def _batches(selection: Selection, reader: Reader, part: int) -> Iterator[pa.RecordBatch]:
    for block in reader.blocks(selection.part(part)):
        yield from with_vectors(block).to_batches()


def _schema(selection: Selection, reader: Reader) -> pa.Schema:
    none = {column.name: selection.vectors(column, slice(0, 0)) for column in selection.columns}
    return with_vectors(Block(reader.schema.empty_table(), none)).schema
