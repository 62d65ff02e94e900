"""Alignment of the images of a map with the rows of a generation."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.index.exact_search import Rows
from imrec_core.index.generation import Generation
from imrec_core.maps.map_table import Map


def content_keys(generation: Generation, rows: Rows) -> NDArray[np.uint64]:
    """Return the first 64 bits of the content hash of each row `(len(rows),)`."""
    hashes = pl.Series(generation.columns("content_hash")["content_hash"].take(pa.array(rows)), dtype=pl.String)
    return hashes.str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64, strict=False).fill_null(0).to_numpy()


def align_rows(made: Map, generation: Generation) -> tuple[Rows, Rows]:
    """Find the images of a map that are still in a generation.

    Returns:
        Their positions in the map's table, ascending, and their rows in the generation.
    """
    if made.generation == generation.id:
        return np.arange(len(made.table)), np.asarray(made.table["row"])
    rows = generation.rows_of(made.table["image_id"])
    places = np.flatnonzero(rows >= 0)
    return places, rows[places]
