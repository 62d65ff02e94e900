"""Resolving paths in user files, such as labels, pairs and columns, to images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.lake.storage.files import AnyPath

NOT_FOUND, AMBIGUOUS = -1, -2


def find_rows(paths: pa.Array, images: pa.Table, sources: Mapping[str, AnyPath]) -> NDArray[np.int64]:
    """Find the image of each path.

    Args:
        paths: Paths relative to a source, `SOURCE/path`, or absolute; `(n,)` strings.
        images: Table with the columns `source` and `path`.
        sources: Root folders by name, for absolute paths.

    Returns:
        Row numbers in `images` `(n,)`; `NOT_FOUND` if there is no such image, `AMBIGUOUS` if several sources have one.
    """
    queries = pl.DataFrame({"name": pl.Series(paths, dtype=pl.String)})
    known = pl.DataFrame(images.select(["source", "path"])).with_row_index("row")
    names = pl.concat([names.join(queries, on="name", how="semi") for names in _names(known, sources)])
    matches = names.group_by("name").agg(pl.col("row").first().cast(pl.Int64), several=pl.len() > 1)
    row = pl.when("several").then(AMBIGUOUS).otherwise("row").fill_null(NOT_FOUND)
    return queries.join(matches, on="name", how="left", maintain_order="left").select(row).to_series().to_numpy()


def _names(known: pl.DataFrame, sources: Mapping[str, AnyPath]) -> list[pl.DataFrame]:
    """List every accepted name of each image, as tables of `row` and `name`."""
    path = pl.col("path")
    names = [known.select("row", name=path), known.select("row", name=pl.col("source") + "/" + path)]
    for source, root in sources.items():
        below = known.filter(pl.col("source") == source)
        spelled = {str(root)}
        if isinstance(root, Path):
            spelled |= {os.path.normpath(root), str(root.resolve())}  # without '..', without links
        for folder in {folder.rstrip("/") for folder in spelled}:
            names.append(below.select("row", name=folder + "/" + path))
    return names
