"""What the images of a map can be told apart by: their cluster, source, folder, or any fact of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core.errors import UnknownName
from imrec_core.explore.clusters import NOISE
from imrec_core.explore.gallery import places_of
from imrec_core.explore.maps import Map
from imrec_core.generation import Generation

MOST = 12
"""Labels that have a colour of their own; the others share one."""

OTHER, NONE = "other", "none"

_FIRST = ("cluster", "source", "folder")
_HIDDEN = {"row", "image_id", "path", "shard", "mtime_ns", "content_hash", "removed", "source"}


@dataclass(frozen=True)
class Colours:
    """One value of each image.

    Attributes:
        kind: `category`, `number` or `date`.
        labels: Of categories, the commonest first; the last may be `other`, and `none` for those without any.
        codes: Of categories, which label each has `(n,)`.
        values: Of numbers `(n,)`; of dates seconds since 1970. NaN where there is none.
    """

    by: str
    kind: str
    labels: tuple[str, ...] = ()
    codes: NDArray[np.uint8] | None = None
    values: NDArray[np.float64] | None = None

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest value; 0 and 0 where there is none."""
        known = self.values[np.isfinite(self.values)] if self.values is not None else np.empty(0)
        return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def colour_names(generation: Generation) -> list[str]:
    """What the images of a generation can be coloured by."""
    schema = pq.read_schema(generation.rows_path)
    return [*_FIRST, *(f.name for f in schema if f.name not in _HIDDEN and not pa.types.is_nested(f.type))]


def check_colour(generation: Generation, by: str) -> None:
    """Refuse what is none of `colour_names`.

    Raises:
        UnknownName: It is none.
    """
    if by not in (known := colour_names(generation)):
        raise UnknownName("column to colour a map by", by, known)


def colours_of(made: Map, generation: Generation, by: str, *, most: int = MOST) -> Colours:
    """The values of the images of a map that a generation still has, in the order of `places_of`.

    Args:
        by: One of `colour_names`.
        most: Labels at most, without `other` and `none`.

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


def has_value(made: Map, generation: Generation, by: str, value: str) -> NDArray[np.bool_]:
    """Of each image, as in `colours_of`, whether its value is that one, as text.

    Raises:
        UnknownName: There is no such column, or no image that has the value.
    """
    series = _values(made, generation, by).cast(pl.String)
    found = (series == value).fill_null(False).to_numpy()
    if not found.any():
        raise UnknownName(by, value, series.drop_nulls().unique().sort().to_list())
    return np.asarray(found)


def _values(made: Map, generation: Generation, by: str) -> pl.Series:
    check_colour(generation, by)
    places, rows = places_of(made, generation)
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
