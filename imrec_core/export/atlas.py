"""Embedding Atlas: one Parquet file with map positions, neighbours and thumbnails in the columns it expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core.export.output_folder import write_missing
from imrec_core.export.parquet_csv import Progress
from imrec_core.export.thumbnails import read_thumbnails, remove_thumbnails, write_thumbnails
from imrec_core.export.viewer_selection import ViewerSelection
from imrec_core.maps.gallery import load_gallery

ROWS = 100_000
"""Default maximum number of images: the viewer keeps the file, about 5 kB per image, in the browser's memory."""

_SIDE = 160  # pixels of a thumbnail
_BATCH = 4_096

_NEIGHBOURS = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
_IMAGE = pa.struct([("bytes", pa.binary())])


def write_atlas(selection: ViewerSelection, folder: Path, neighbours: int, progress: Progress) -> tuple[int, int]:
    """Write the file if it is missing; return the number of files kept, and in total."""
    kept = write_missing(
        folder, {"atlas.parquet": lambda path: _write(selection, path, folder, neighbours, progress)}, progress
    )
    remove_thumbnails(folder)
    return kept, 1


def _write(selection: ViewerSelection, path: Path, folder: Path, neighbours: int, progress: Progress) -> None:
    ids = selection.facts["image_id"].to_pylist()
    write_thumbnails(selection.lake, selection.generation, ids, _SIDE, folder, progress)
    near = load_gallery(selection.generation, selection.feature, neighbours, progress, selection.rows).near
    names = [f"own_{name}" if name in ("neighbors", "image") else name for name in selection.facts.column_names]
    facts = selection.facts.rename_columns(names)
    schema = pa.schema([("image", _IMAGE), *facts.schema, ("neighbors", _NEIGHBOURS)])
    pictures = read_thumbnails(folder, len(selection))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, len(selection), _BATCH):
            part = slice(first, min(first + _BATCH, len(selection)))
            images = [next(pictures) for _ in range(part.start, part.stop)]
            thumbnails = pa.array([None if jpeg is None else {"bytes": jpeg} for jpeg in images], _IMAGE)
            lists = [_lists(near.indices[part]), _lists(near.distances[part])]
            neighbour_lists = pa.StructArray.from_arrays(lists, fields=list(_NEIGHBOURS))
            rows = facts.slice(part.start, part.stop - part.start).combine_chunks()
            writer.write_table(pa.table([thumbnails, *rows.columns, neighbour_lists], schema=schema))


def _lists(values: NDArray[Any]) -> pa.Array:
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))
