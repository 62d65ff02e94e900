"""Routes of maps: positions of the images, names of clusters, hits of a search, and columns to colour them by."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.maps import align_rows, colour_names, colours_of, load_map, map_names
from imrec_core.search.request import filter_rows
from imrec_core.web.map_cache import LoadedMap
from imrec_core.web.responses import json_response
from imrec_core.web.routes.search import run_search
from imrec_core.web.schemas.maps import (
    MapColoursResponse,
    MapHitsResponse,
    MapNamesResponse,
    MapPointsResponse,
    MapsResponse,
)
from imrec_core.web.search_request import Name, SearchRequestBody, json_body, parse_json
from imrec_core.web.state import AppState, error_responses

_DAY = 86_400  # seconds


def create_router(state: AppState) -> APIRouter:
    """Create the routes of the maps that `imrec map` made."""
    router = APIRouter(tags=["maps"])

    @router.get("/api/map", response_model=MapsResponse, responses=error_responses())
    async def maps(request: Request) -> Response:
        """List the maps."""
        return json_response(await state.in_search_queue(request, lambda: _maps(state)))

    @router.get("/api/map/{name}", response_model=MapPointsResponse, responses=error_responses(404))
    async def points(request: Request, name: Name) -> Response:
        """Return the position of each image, without images that were removed since."""
        return await state.in_search_queue(request, lambda: json_response(_points(state, name)))

    @router.get("/api/map/{name}/names", response_model=MapNamesResponse, responses=error_responses(404))
    async def names(request: Request, name: Name) -> Response:
        """Return the names of the clusters, by what is frequent in them: folders, tags, columns, words."""
        return await state.in_search_queue(request, lambda: json_response(_names(state, name)))

    @router.post(
        "/api/map/{name}/hits",
        response_model=MapHitsResponse,
        responses=error_responses(400, 404, 409, 410),
        openapi_extra=json_body(SearchRequestBody),
    )
    async def hits(request: Request, name: Name) -> Response:
        """Return where the hits of a search are on the map; without a query, all images that pass the filter."""
        body = parse_json(SearchRequestBody, await request.body())
        return await state.in_search_queue(request, lambda: json_response(_hits(state, name, body)))

    @router.get("/api/map/{name}/colours", response_model=MapColoursResponse, responses=error_responses(400, 404))
    async def colours(request: Request, name: Name, by: Annotated[Name, Query()]) -> Response:
        """Return the values of a column, in the order of the map."""
        return await state.in_search_queue(request, lambda: json_response(_colours(state, name, by)))

    return router


def _maps(state: AppState) -> dict[str, Any]:
    generation = state.generation
    loaded = [load_map(state.lake, name, ["row"]) for name in map_names(state.lake)]
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
            for one in loaded
        ],
        "colours": colour_names(generation),
    }


def _points(state: AppState, name: str) -> dict[str, Any]:
    loaded, generation = state.maps.get(name), state.generation
    live, _ = align_rows(loaded.map, generation)
    ids, cluster = loaded.ids[live], loaded.cluster[live]
    return {
        "name": name,
        "feature": loaded.map.feature,
        "method": loaded.map.method,
        "generation": loaded.map.generation,
        "count": len(live),
        "x": _to_base64(loaded.x[live], "<f4"),
        "y": _to_base64(loaded.y[live], "<f4"),
        "cluster": _to_base64(cluster, "<i4"),
        "ids": _to_base64(ids, "<u8"),
        "clusters": _clusters(loaded, ids, cluster),
    }


def _names(state: AppState, name: str) -> dict[str, Any]:
    generation = state.generation
    named = state.maps.names(name, generation)
    return {"name": name, "generation": generation.id, "clusters": [asdict(one) for one in named]}


def _hits(state: AppState, name: str, body: SearchRequestBody) -> dict[str, Any]:
    loaded, generation = state.maps.get(name), state.generation
    if body.like or body.unlike:
        found = run_search(state, body, [])
        rows, more = generation.rows_of([hit["image_id"] for hit in found["hits"]]), found["more"]
    else:
        kept = filter_rows(generation, body.where, state.maps.ids_inside(body.within), state.sql_policy)
        rows, more = generation.live if kept is None else kept, False
    _, rows_on_map = align_rows(loaded.map, generation)
    places = np.full(len(generation), -1)
    places[rows_on_map] = np.arange(len(rows_on_map))
    found_places = places[rows[rows >= 0]]
    return {
        "name": name,
        "generation": generation.id,
        "points": len(rows_on_map),
        "count": len(rows),
        "more": more,
        "places": _to_base64(found_places[found_places >= 0], "<u4"),
    }


def _clusters(loaded: LoadedMap, ids: NDArray[np.uint64], cluster: NDArray[np.int32]) -> list[dict[str, Any]]:
    """Return the clusters that still have images; the first image replaces a medoid that was removed."""
    clusters = []
    sizes = np.bincount(cluster[cluster >= 0], minlength=max((c.cluster for c in loaded.map.clusters), default=0) + 1)
    live = set(ids.tolist())
    for one in loaded.map.clusters:
        if not sizes[one.cluster]:
            continue
        image_id = one.image_id
        if int(image_id, 16) not in live:
            image_id = f"{int(ids[np.argmax(cluster == one.cluster)]):016x}"
        clusters.append(
            {"cluster": one.cluster, "size": int(sizes[one.cluster]), "x": one.x, "y": one.y, "image_id": image_id}
        )
    return clusters


def _colours(state: AppState, name: str, by: str) -> dict[str, Any]:
    loaded, generation = state.maps.get(name), state.generation
    colours = colours_of(loaded.map, generation, by)
    values, ends = colours.values, colours.range
    if colours.kind == "date" and values is not None:  # seconds as float32 would be minutes off
        values, ends = values / _DAY, (ends[0] / _DAY, ends[1] / _DAY)
    has_any = values is not None and bool(np.isfinite(values).any())
    return {
        "by": by,
        "kind": colours.kind,
        "labels": list(colours.labels),
        "codes": None if colours.codes is None else _to_base64(colours.codes, "u1"),
        "values": None if values is None else _to_base64(values, "<f4"),
        "low": ends[0] if has_any else None,
        "high": ends[1] if has_any else None,
    }


def _to_base64(values: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()
