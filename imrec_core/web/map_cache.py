"""Maps as they are served: opened once, without images that are gone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imrec_core.errors import MissingTable, UnknownName
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.maps import Map, load_map
from imrec_core.web.responses import ApiError
from imrec_core.web.search_request import Within

_COLUMNS = ("row", "image_id", "x", "y", "cluster")
_KEPT = 2  # maps, of 20 bytes per image


@dataclass(frozen=True, eq=False)
class Layout:
    """A map opened.

    Attributes:
        ids: The images as numbers that their ids spell, `(n,)` uint64.
        x, y: `(n,)` float32.
        cluster: `(n,)` int32, -1 for none.
    """

    map: Map
    ids: NDArray[np.uint64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    cluster: NDArray[np.int32]


class Layouts:
    """The maps of a lake; one that was made anew is opened anew."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._opened = functools.lru_cache(_KEPT)(self._open)

    def find(self, name: str) -> Layout:
        """The map of that name.

        Raises:
            Refused: 404, there is none.
        """
        if name not in self._lake.map_names():
            raise ApiError(404, "UnknownName", f"there is no map {name!r}; make one with: imrec map")
        return self._opened(name, files.status(self._lake.map_path(name)))

    def _open(self, name: str, status: object) -> Layout:
        try:
            found = load_map(self._lake, name, _COLUMNS)
        except (MissingTable, UnknownName) as error:
            raise ApiError(404, "UnknownName", f"the map {name!r} is gone; make it with: imrec map") from error
        ids = pl.Series(found.table["image_id"], dtype=pl.String).str.to_integer(base=16, dtype=pl.UInt64)
        x, y, cluster = (found.table[column].to_numpy() for column in ("x", "y", "cluster"))
        return Layout(found, ids.to_numpy(), x, y, cluster)

    def inside(self, within: Within | None) -> NDArray[np.uint64] | None:
        """The images in a part of a map, as the numbers that their ids spell; None for all.

        Raises:
            Refused: 404, there is no such map.
        """
        if within is None:
            return None
        layout = self.find(within.map)
        return layout.ids[are_inside(within.polygon, layout.x, layout.y)]


def are_inside(polygon: Sequence[tuple[float, float]], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
    """Which points lie inside of a polygon, `(n,)`; what it surrounds twice, as its sides cross, does not.

    Args:
        polygon: Its corners in turn, three or more; the last is joined to the first.
    """
    from matplotlib.path import Path  # here: it takes a third of a second

    corners = np.asarray(polygon, np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    found = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
    near = np.flatnonzero(found)  # the others need not be asked
    found[near] = Path(np.vstack([corners, corners[:1]]), closed=True).contains_points(
        np.stack([x[near], y[near]], axis=1)
    )
    return np.asarray(found, np.bool_)
