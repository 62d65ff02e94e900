"""Maps over HTTP: where the images lie, and what they are coloured by."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.maps import align_rows, colour_names, colours_of, load_map, map_names
from imrec_core.web.map_cache import Layout
from imrec_core.web.responses import answer
from imrec_core.web.schemas.maps import MapColours, MapPoints, Maps
from imrec_core.web.search_request import Name
from imrec_core.web.state import AppState, why_not

_DAY = 86_400  # seconds


def routes(serving: AppState) -> APIRouter:
    """Maps that `imrec map` made."""
    router = APIRouter(tags=["maps"])

    @router.get("/api/map", response_model=Maps, responses=why_not())
    async def maps(request: Request) -> Response:
        """The maps there are."""
        return answer(await serving.searched(request, lambda: _maps(serving)))

    @router.get("/api/map/{name}", response_model=MapPoints, responses=why_not(404))
    async def points(request: Request, name: Name) -> Response:
        """Where each image lies; those that are gone since are left out."""
        return await serving.searched(request, lambda: answer(_points(serving, name)))

    @router.get("/api/map/{name}/colours", response_model=MapColours, responses=why_not(400, 404))
    async def colours(request: Request, name: Name, by: Annotated[Name, Query()]) -> Response:
        """A column of the images, in the order of the map."""
        return await serving.searched(request, lambda: answer(_colours(serving, name, by)))

    return router


def _maps(serving: AppState) -> dict[str, Any]:
    generation = serving.generation
    found = [load_map(serving.lake, name, ["row"]) for name in map_names(serving.lake)]
    return {
        "maps": [
            {
                "name": one.name,
                "feature": one.feature,
                "method": one.method,
                "rows": one.table.num_rows,
                "clusters": len(one.clusters),
                "generation": one.generation,
                "is_current": one.generation == generation.id,
            }
            for one in found
        ],
        "colours": colour_names(generation),
    }


def _points(serving: AppState, name: str) -> dict[str, Any]:
    layout, generation = serving.layouts.find(name), serving.generation
    there, _ = align_rows(layout.map, generation)
    ids, cluster = layout.ids[there], layout.cluster[there]
    return {
        "name": name,
        "feature": layout.map.feature,
        "method": layout.map.method,
        "generation": layout.map.generation,
        "count": len(there),
        "x": _encoded(layout.x[there], "<f4"),
        "y": _encoded(layout.y[there], "<f4"),
        "cluster": _encoded(cluster, "<i4"),
        "ids": _encoded(ids, "<u8"),
        "clusters": _clusters(layout, ids, cluster),
    }


def _clusters(layout: Layout, ids: NDArray[np.uint64], cluster: NDArray[np.int32]) -> list[dict[str, Any]]:
    """Those of which images are left; another stands for one that is gone."""
    told = []
    sizes = np.bincount(cluster[cluster >= 0], minlength=max((c.cluster for c in layout.map.clusters), default=0) + 1)
    left = set(ids.tolist())
    for one in layout.map.clusters:
        if not sizes[one.cluster]:
            continue
        image_id = one.image_id
        if int(image_id, 16) not in left:
            image_id = f"{int(ids[np.argmax(cluster == one.cluster)]):016x}"
        told.append(
            {"cluster": one.cluster, "size": int(sizes[one.cluster]), "x": one.x, "y": one.y, "image_id": image_id}
        )
    return told


def _colours(serving: AppState, name: str, by: str) -> dict[str, Any]:
    layout, generation = serving.layouts.find(name), serving.generation
    found = colours_of(layout.map, generation, by)
    values, ends = found.values, found.range
    if found.kind == "date" and values is not None:  # as float32 seconds would be minutes off
        values, ends = values / _DAY, (ends[0] / _DAY, ends[1] / _DAY)
    has_any = values is not None and bool(np.isfinite(values).any())
    return {
        "by": by,
        "kind": found.kind,
        "labels": list(found.labels),
        "codes": None if found.codes is None else _encoded(found.codes, "u1"),
        "values": None if values is None else _encoded(values, "<f4"),
        "low": ends[0] if has_any else None,
        "high": ends[1] if has_any else None,
    }


def _encoded(values: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()
