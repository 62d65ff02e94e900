"""Values that colour the points of a map: cluster, source, folder or a column of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core.errors import UnknownName
from imrec_core.index.generation import Generation
from imrec_core.maps.alignment import align_rows
from imrec_core.maps.clustering import NOISE
from imrec_core.maps.map_table import Map

MOST = 12
"""Labels with a colour of their own; the others share one."""

OTHER, NONE = "other", "none"

_FIRST = ("cluster", "source", "folder")
_HIDDEN = {"row", "image_id", "path", "shard", "mtime_ns", "content_hash", "removed", "source"}


@dataclass(frozen=True)
class Colours:
    """One value per image.

    Attributes:
        by: Name of the column.
        kind: `category`, `number` or `date`.
        labels: Categories, most frequent first, then `other` and `none` (missing values) where they occur.
        codes: Index of each image's label `(n,)`.
        values: Numbers `(n,)`, or dates in seconds since 1970; NaN where the value is missing.
    """

    by: str
    kind: str
    labels: tuple[str, ...] = ()
    codes: NDArray[np.uint8] | None = None
    values: NDArray[np.float64] | None = None

    @property
    def range(self) -> tuple[float, float]:
        """Minimum and maximum; 0 and 0 if all values are missing."""
        known = self.values[np.isfinite(self.values)] if self.values is not None else np.empty(0)
        return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def colour_names(generation: Generation) -> list[str]:
    """List the columns that can colour the images of a generation."""
    schema = pq.read_schema(generation.rows_path)
    return [*_FIRST, *(f.name for f in schema if f.name not in _HIDDEN and not pa.types.is_nested(f.type))]


def check_colour(generation: Generation, by: str) -> None:
    """Require that `by` is one of `colour_names`.

    Raises:
        UnknownName: It is not.
    """
    if by not in (known := colour_names(generation)):
        raise UnknownName("colour column", by, known)


def colours_of(made: Map, generation: Generation, by: str, *, most: int = MOST) -> Colours:
    """Read the colour values of the images of a map that are still in a generation, in the order of `align_rows`.

    Args:
        by: One of `colour_names`.
        most: Maximum number of labels, not counting `other` and `none`.

    Raises:
        UnknownName: There is no such column.
    """
    series = _values(made, generation, by)
    if by not in _FIRST and series.dtype.is_temporal() and series.dtype != pl.Time:
        seconds = series.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
        return Colours(by, "date", values=_floats(seconds))
    if by not in _FIRST and series.dtype.is_numeric():
        return Colours(by, "number", values=_floats(series.cast(pl.Float64)))
    return _categories(by, series.cast(pl.String), most)


def flag_value(made: Map, generation: Generation, by: str, value: str) -> NDArray[np.bool_]:
    """Flag the images whose value, as text, equals `value`; order as in `colours_of`.

    Raises:
        UnknownName: There is no such column, or no image has the value.
    """
    series = _values(made, generation, by).cast(pl.String)
    found = (series == value).fill_null(False).to_numpy()
    if not found.any():
        raise UnknownName(by, value, series.drop_nulls().unique().sort().to_list())
    return np.asarray(found)


def _values(made: Map, generation: Generation, by: str) -> pl.Series:
    check_colour(generation, by)
    places, rows = align_rows(made, generation)
    if by == "cluster":
        return pl.Series(by, np.asarray(made.table["cluster"])[places]).replace(NOISE, None)
    columns = ["source", "path"] if by == "folder" else [by]
    values = generation.columns(*columns).take(pa.array(rows))
    if by != "folder":
        return pl.Series(by, values[by])
    return pl.Series(by, values["path"]).str.extract("(?s)^(.*)/[^/]*$").fill_null(pl.Series(values["source"]))


def _floats(series: pl.Series) -> NDArray[np.float64]:
    return series.fill_null(float("nan")).to_numpy().astype(np.float64)


def _categories(by: str, series: pl.Series, most: int) -> Colours:
    counts = series.drop_nulls().value_counts().sort("count", series.name, descending=[True, False])
    names = counts[series.name].to_list()
    labels: list[Any] = names[:most]
    code = {name: i for i, name in enumerate(labels)}
    if len(names) > most:
        code |= dict.fromkeys(names[most:], len(labels))
        labels.append(OTHER)
    codes = series.replace_strict(code, default=len(labels), return_dtype=pl.UInt8)
    if series.null_count():
        labels.append(NONE)
    return Colours(by, "category", tuple(labels), codes.to_numpy().copy())
