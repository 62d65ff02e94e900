"""FAISS: one index per feature, and the rows as Parquet."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from imrec_core.errors import BadExport, MissingDependency
from imrec_core.export.parquet_csv import Progress, write_parquet
from imrec_core.export.selection import Column, Selection
from imrec_core.index.exact_search import Matrix
from imrec_core.lake.storage.files import moved_into_place

LINKS, BREADTH = 16, 100  # M and ef_construction, as of a graph of all dims


def check() -> None:
    """Require the library.

    Raises:
        MissingDependency: faiss is not installed.
    """
    if find_spec("faiss") is None:
        raise MissingDependency("faiss", extra="faiss")


def write_faiss(selection: Selection, folder: Path, progress: Progress, *, hnsw: bool = False) -> int:
    """Write the missing files; return how many existed. Ids are positions in the rows, from 0.

    Args:
        hnsw: Build HNSW instead of flat indexes, except for hashes. Holds all vectors of a feature in memory.
    """
    there = write_parquet(replace(selection, columns=()), folder, progress)
    for column in selection.columns:
        path = folder / f"{column.name}.faiss"
        if path.exists():
            there += 1
            continue
        with moved_into_place(path) as temporary:
            if hnsw and column.space.distance in ("L2", "inner product"):
                _write_graph(selection, column, temporary)
            else:
                _write_flat(selection, column, temporary)
        progress(f"{path.name}: {column.space.distance} of {len(selection)} vectors")
    return there


def _blocks(selection: Selection, column: Column) -> Iterator[Matrix]:
    step = replace(selection, columns=(column,)).step()
    kind = np.uint8 if column.space.distance == "Hamming" else np.float32
    for first in range(0, len(selection), step):
        yield np.ascontiguousarray(selection.vectors(column, slice(first, min(first + step, len(selection)))), kind)


def _write_flat(selection: Selection, column: Column, path: Path) -> None:
    """Stream a flat index to disk: the header of a one-vector index with the count replaced, then all vectors."""
    import faiss

    is_binary = column.space.distance == "Hamming"
    with path.open("wb") as file:
        file.write(_flat_header(faiss, column, path, len(selection)))
        for block in _blocks(selection, column):
            _write(file, block)
    read = faiss.read_index_binary if is_binary else faiss.read_index
    index = read(str(path), faiss.IO_FLAG_MMAP_IFC)  # with IO_FLAG_MMAP FAISS still reads flat vectors (1.15)
    if (index.ntotal, index.d) != (len(selection), column.width * (8 if is_binary else 1)):
        raise BadExport(f"faiss {faiss.__version__} uses another file format than 1.15; install faiss 1.15")


def _write(file: BinaryIO, block: Matrix) -> None:
    file.write(block.data.cast("B"))


def _flat_header(faiss: Any, column: Column, path: Path, count: int) -> bytes:
    one = np.ones((1, column.width), np.uint8 if column.space.distance == "Hamming" else np.float32)
    if column.space.distance == "Hamming":
        index, at = faiss.IndexBinaryFlat(8 * column.width), 12  # offset of the count, after type, dims, code size
        index.add(one)
        _save(faiss.write_index_binary, index, path)
    else:
        index, at = faiss.IndexFlat(column.width, _metric(faiss, column)), 8  # after type and dims
        index.add(one)
        _save(faiss.write_index, index, path)
    head = bytearray(path.read_bytes()[: -one.nbytes])
    head[at : at + 8] = struct.pack("<q", count)
    head[-8:] = struct.pack("<q", count * column.width)
    return bytes(head)


def _write_graph(selection: Selection, column: Column, path: Path) -> None:
    import faiss

    index = faiss.IndexHNSWFlat(column.width, LINKS, _metric(faiss, column))
    index.hnsw.efConstruction = BREADTH
    for block in _blocks(selection, column):
        index.add(block)
    _save(faiss.write_index, index, path)


def _save(write: Callable[[Any, str], None], index: Any, path: Path) -> None:
    try:
        write(index, str(path))
    except RuntimeError as error:  # its text contains the message of the operating system
        raise OSError(" ".join(str(error).split())) from error


def _metric(faiss: Any, column: Column) -> int:
    kinds = {"L2": faiss.METRIC_L2, "inner product": faiss.METRIC_INNER_PRODUCT, "L1": faiss.METRIC_L1}
    return int(kinds[column.space.distance])
