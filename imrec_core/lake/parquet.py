"""Parquet files of a lake: atomic writes, and metadata in the footer of what a table was made from."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imrec_core.errors import DamagedTable, LakeError, MissingTable
from imrec_core.lake.storage import files, object_store
from imrec_core.lake.storage.files import AnyPath
from imrec_core.lake.storage.os_errors import is_of_system, to_lake_error

ROW_GROUP = 122_880
"""Rows of a group in a Parquet file, as in a table of DuckDB: a reader holds one group at a time."""

_FOOTER = 1 << 16  # bytes of the first request for the footer of a Parquet file


def write_table(path: AnyPath, table: pa.Table, made_from: Mapping[str, str]) -> int:
    """Write a Parquet file with `made_from` in its metadata; return its size in bytes.

    Raises:
        StorageFull: The disk is full. An earlier file is unchanged.
    """
    metadata = {**(table.schema.metadata or {}), b"imrec": json.dumps(dict(made_from)).encode()}
    with files.replacing(path) as temporary:
        write_file(temporary, table.replace_schema_metadata(metadata))
        return temporary.stat().st_size


def write_file(path: Path, table: pa.Table) -> None:
    """Write a local Parquet file, with a checksum of each page."""
    # Dictionaries and statistics of vectors are useless, and took half of the time to write and read.
    words = [column.name for column in table.schema if not pa.types.is_fixed_size_list(column.type)]
    pq.write_table(
        table,
        path,
        row_group_size=ROW_GROUP,
        compression="zstd",
        use_dictionary=words,
        write_statistics=words,
        write_page_checksum=True,
    )


def open_file(source: Path | pa.NativeFile) -> pq.ParquetFile:
    """Open a Parquet file for reading; pages that differ from their checksum raise an `OSError`."""
    return pq.ParquetFile(source, memory_map=isinstance(source, Path), page_checksum_verification=True)


def read_table(path: AnyPath, columns: list[str] | None = None, *, optional: Collection[str] = ()) -> pa.Table:
    """Read a Parquet file.

    Args:
        optional: Those of `columns` that a file of an earlier version may lack.

    Raises:
        MissingTable: There is no such file.
        DamagedTable: The file is damaged or lacks a column.
        StorageFault, LakeError: The disk or the object store failed, or denies it.
    """
    try:
        # Given a path, Arrow opens it twice, and another process may replace the file in between.
        file = pa.OSFile(str(path)) if isinstance(path, Path) else pa.BufferReader(files.read_listed(path))
        # Not `pq.read_table`: it imports Arrow's datasets, and these pandas, which takes 0.3 s.
        opened = pq.ParquetFile(file, page_checksum_verification=True)
        if columns is None:
            return opened.read()
        names = opened.schema_arrow.names
        columns = [name for name in columns if name in names or name not in optional]
        if missing := [name for name in columns if name not in names]:
            raise ValueError(f"it has no column {missing[0]}")
        return opened.read(columns).select(columns)
    except FileNotFoundError as error:
        raise MissingTable(f"{path} is missing; run: imrec build") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _to_lake_error(path, error) from error


def made_from(path: AnyPath) -> dict[str, str] | None:
    """Read what a Parquet file was made from; None if it is missing, damaged or not written by imrec."""
    status = files.status(path)
    footer = None if status is None else _read_footer(path, status)
    return None if footer is None or footer[1] is None else dict(footer[1])


def row_count(path: AnyPath) -> int:
    """Read the number of rows from the footer of a Parquet file; 0 if there is no such file.

    Raises:
        DamagedTable: The file is damaged.
    """
    status = files.status(path)
    footer = None if status is None else _read_footer(path, status)
    if status is not None and footer is None:
        raise _damaged(path, ValueError("it is not a Parquet file"))
    return footer[0] if footer else 0


def made_from_of(table: pa.Table | pa.Schema) -> dict[str, str] | None:
    """Return what a table was made from, by its metadata; None if imrec did not write it."""
    schema = table.schema if isinstance(table, pa.Table) else table
    return _parse_metadata(schema.metadata)


@functools.lru_cache(maxsize=1 << 16)
def _read_footer(path: AnyPath, status: files.Status) -> tuple[int, dict[str, str] | None] | None:
    """Read the number of rows and what the table was made from; None if it is missing or not a Parquet file.

    Cached per status of the file: with derived features a plan reads the same footers many times.
    """
    try:
        footer = _file_metadata(path, status.byte_size)
    except (OSError, ValueError, pa.ArrowException) as error:
        if is_of_system(error) and not isinstance(error, FileNotFoundError):
            raise _to_lake_error(path, error) from error
        return None
    return int(footer.num_rows), _parse_metadata(footer.metadata)


def _file_metadata(path: AnyPath, byte_size: int) -> pq.FileMetaData:
    if isinstance(path, Path):
        return pq.read_metadata(path)
    try:
        return pq.read_metadata(pa.BufferReader(object_store.read_part(path, max(byte_size - _FOOTER, 0), byte_size)))
    except pa.ArrowInvalid:  # the footer is longer
        if byte_size <= _FOOTER:
            raise
        return pq.read_metadata(pa.BufferReader(files.read_bytes(path)))


def _parse_metadata(metadata: Mapping[bytes, bytes] | None) -> dict[str, str] | None:
    try:
        return dict(json.loads((metadata or {})[b"imrec"]))
    except (KeyError, TypeError, ValueError):
        return None


def _to_lake_error(path: AnyPath, error: Exception) -> LakeError:
    if isinstance(error, OSError) and is_of_system(error):
        return to_lake_error(error, path)
    return _damaged(path, error)


def _damaged(path: AnyPath, error: Exception) -> DamagedTable:
    reason = " ".join(str(error).split())  # Arrow's messages have several lines
    return DamagedTable(path, reason)
