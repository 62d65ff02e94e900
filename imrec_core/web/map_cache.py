"""MapCache: the maps of a lake, loaded once, and the images inside a polygon on a map."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from imrec_core.errors import MissingTable, UnknownName
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.maps import ClusterName, Map, load_map, name_clusters
from imrec_core.web.responses import ApiError
from imrec_core.web.search_request import MapArea

_COLUMNS = ("row", "image_id", "x", "y", "cluster")
_CACHED = 2  # maps, of 20 bytes per image


@dataclass(frozen=True, eq=False)
class LoadedMap:
    """A map with its columns as arrays.

    Attributes:
        ids: Image ids, read as hexadecimal numbers, `(n,)` uint64.
        x, y: `(n,)` float32.
        cluster: `(n,)` int32, -1 for none.
    """

    map: Map
    ids: NDArray[np.uint64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    cluster: NDArray[np.int32]


class MapCache:
    """The maps of a lake. A map that has changed on disk is loaded again."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._load_cached = functools.lru_cache(_CACHED)(self._load)
        self._names: dict[str, tuple[object, list[ClusterName]]] = {}  # by map, with what they were derived from

    def get(self, name: str) -> LoadedMap:
        """Return the map with that name.

        Raises:
            ApiError: 404, there is no such map.
        """
        if name not in self._lake.map_names():
            raise ApiError(404, "UnknownName", f"there is no map {name!r}; make one with: imrec map")
        return self._load_cached(name, files.status(self._lake.map_path(name)))

    def _load(self, name: str, status: object) -> LoadedMap:
        try:
            loaded = load_map(self._lake, name, _COLUMNS)
        except (MissingTable, UnknownName) as error:
            raise ApiError(404, "UnknownName", f"the map {name!r} was removed; make it with: imrec map") from error
        ids = pl.Series(loaded.table["image_id"], dtype=pl.String).str.to_integer(base=16, dtype=pl.UInt64)
        x, y, cluster = (loaded.table[column].to_numpy() for column in ("x", "y", "cluster"))
        return LoadedMap(loaded, ids.to_numpy(), x, y, cluster)

    def names(self, name: str, generation: Generation) -> list[ClusterName]:
        """Return the names of the clusters of a map; they are derived again when the map, the lake or its tags change.

        Raises:
            ApiError: 404, there is no such map.
            SchemaMismatch: The file of the tags is damaged.
        """
        loaded = self.get(name)
        tags = generation.tags.status() if generation.tags else None
        made_from = (files.status(self._lake.map_path(name)), generation.id, tags)
        known = self._names.get(name)
        if known is None or known[0] != made_from:
            known = self._names[name] = (made_from, name_clusters(loaded.map, generation))
        return known[1]

    def ids_inside(self, area: MapArea | None) -> NDArray[np.uint64] | None:
        """Return the ids of the images in an area of a map, as numbers `(n,)`; None for all images.

        Raises:
            ApiError: 404, there is no such map.
        """
        if area is None:
            return None
        loaded = self.get(area.map)
        return loaded.ids[contains_points(area.polygon, loaded.x, loaded.y)]


def contains_points(polygon: Sequence[tuple[float, float]], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
    """Test which points lie inside a polygon, `(n,)`.

    By the even-odd rule: a part that a self-intersecting polygon encloses twice is outside.

    Args:
        polygon: Three or more corners in order; the last is joined to the first.
    """
    from matplotlib.path import Path  # the import takes a third of a second

    corners = np.asarray(polygon, np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
    in_box = np.flatnonzero(inside)  # the exact test is slower and runs only for these
    inside[in_box] = Path(np.vstack([corners, corners[:1]]), closed=True).contains_points(
        np.stack([x[in_box], y[in_box]], axis=1)
    )
    return np.asarray(inside, np.bool_)
