"""Parquet files in an object store as an Arrow dataset, of which SQL downloads only what it needs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
from upath import UPath

from imrec_core.lake.storage import object_store

_READ_AHEAD = 1 << 18  # minimum bytes per request


def dataset(paths: Sequence[UPath], schema: pa.Schema) -> pyarrow.dataset.FileSystemDataset:
    """Open Parquet files as one table for DuckDB. Columns that a file lacks are null."""
    files = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(ObjectFiles(paths[0])))
    return pyarrow.dataset.dataset([str(path) for path in paths], _with_float32(schema), "parquet", files)


def _with_float32(schema: pa.Schema) -> pa.Schema:
    """Replace float16, which DuckDB reads from Parquet but not from Arrow, by float32."""
    vectors = [field for field in schema if pa.types.is_fixed_size_list(field.type)]
    for field in vectors:
        if pa.types.is_float16(field.type.value_type):
            kind = pa.list_(pa.float32(), field.type.list_size)
            schema = schema.set(schema.get_field_index(field.name), field.with_type(kind))
    return schema


class ObjectFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]  # has no types
    """Read-only fsspec file system of one object store, with the retries of `object_store.send`."""

    cachable = False

    def __init__(self, root: UPath) -> None:
        super().__init__()
        self._root, self.protocol = root, root.protocol

    def _path(self, name: str) -> UPath:
        return self._root.with_segments(name if "://" in name else f"{self._root.protocol}://{name}")

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return the fsspec entry of an object."""
        found = object_store.cached_listing(self._path(path).parent).get(self._path(path).name)
        if found is None:
            raise FileNotFoundError(path)
        return found

    def modified(self, path: str) -> Any:
        """Return the time of the last write."""
        return next((value for key, value in self.info(path).items() if key in ("LastModified", "created")), None)

    def glob(self, path: str, *_: Any, **__: Any) -> list[str]:
        """Return the path itself, because all files are given by name."""
        return [path]

    def open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        """Open an object as a file."""
        return io.BufferedReader(_RangeReader(self._path(path), object_store.size_of(self.info(path))), _READ_AHEAD)


class _RangeReader(io.RawIOBase):
    """File whose reads are range requests to an object."""

    def __init__(self, path: UPath, byte_size: int) -> None:
        self._path, self._size, self._at = path, byte_size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = object_store.read_part(self._path, self._at, end)
        buffer[: len(data)] = data
        self._at = end
        return len(data)
