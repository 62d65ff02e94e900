"""Rows of searches without a query, cached so that any page of them is a slice."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from imrec_core.index.generation import Generation, Rows
from imrec_core.search.request import filter_rows
from imrec_core.sql.policy import SqlPolicy
from imrec_core.sql.row_cache import RowCache
from imrec_core.web.map_cache import MapCache
from imrec_core.web.responses import ApiError
from imrec_core.web.search_request import SearchRequestBody

_CACHED = 8  # results, of up to 8 bytes a row


class Browser:
    """Finds the rows of a body without a query: those that pass its filter, in its order.

    The first page computes them, so that it has the tags and the time of now; further pages take them from a cache. So
    the pages of an order such as `random()` are parts of one result.
    """

    def __init__(self, maps: MapCache, policy: SqlPolicy) -> None:
        self._maps, self._policy = maps, policy
        self._cache = RowCache(_CACHED)

    def rows(self, generation: Generation, body: SearchRequestBody) -> Rows:
        """Return all rows of a result, in order.

        Raises:
            BadFilter: The filter or the order is invalid.
            ApiError: 400, there is no such kind of distinct rows; 404, there is no such map.
        """
        area = body.within.model_dump_json() if body.within else None
        key: Hashable = (generation.id, body.where, body.order_by, body.distinct, area)
        held = self._cache.get(key) if body.offset else None
        return self._cache.put(key, self._compute(generation, body).view()) if held is None else held

    def _compute(self, generation: Generation, body: SearchRequestBody) -> Rows:
        kept = filter_rows(generation, body.where, self._maps.ids_inside(body.within), self._policy)
        if body.order_by is None:
            rows = generation.live if kept is None else kept
        else:
            rows = generation.filter.sort(body.order_by, self._policy, kept)
        if body.distinct is None:
            return rows
        if body.distinct != "content":
            raise ApiError(400, "UnknownName", f"no distinct named {body.distinct!r}; known: content")
        contents = generation.columns("content_hash")["content_hash"].combine_chunks().dictionary_encode()
        first = np.unique(contents.indices.to_numpy()[rows], return_index=True)[1]
        return rows[np.sort(first)]


def mean_shape(generation: Generation, rows: Rows) -> float | None:
    """Return the mean aspect ratio of some rows, each from 0.6 to 2.2 as tiles are; None for none with a size."""
    sizes = generation.columns("width", "height")
    width, height = (sizes[name].to_numpy()[rows] for name in ("width", "height"))
    known = (width > 0) & (height > 0)
    if not known.any():
        return None
    return round(float(np.clip(width[known] / height[known], 0.6, 2.2).mean()), 3)
