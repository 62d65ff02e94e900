"""Routes of facets: images counted by folder, date, camera, size and kind."""

from __future__ import annotations

import functools
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.search.facet_dates import MISSING, DateCounts
from imrec_core.search.facets import Facets
from imrec_core.web.responses import json_response
from imrec_core.web.schemas.facets import FacetsResponse, FoldersResponse
from imrec_core.web.search_request import MapArea, Name, Sql, json_body, parse_json
from imrec_core.web.state import AppState, error_responses

_Conditions = Annotated[
    dict[Name, Sql],
    Field(max_length=20, description="SQL condition by the name of its facet; `other` for those of none."),
]


class FacetsRequest(BaseModel):
    """Conditions of a filter by facet, and the area of a map to which it is limited."""

    model_config = ConfigDict(extra="forbid")

    conditions: _Conditions = {}
    within: MapArea | None = None
    first: date | None = Field(default=None, description="First day of the histogram; by default that of the lake.")
    last: date | None = Field(default=None, description="Last day of the histogram; by default that of the lake.")


class FoldersRequest(BaseModel):
    """A folder, and the conditions of the filter."""

    model_config = ConfigDict(extra="forbid")

    source: Name
    folder: str = Field(default="", max_length=4000, description="Path in the source; empty for the source itself.")
    conditions: _Conditions = {}
    within: MapArea | None = None


def create_router(state: AppState) -> APIRouter:
    """Create the routes of facets."""
    router = APIRouter(tags=["search"])
    facets_of = functools.lru_cache(2)(lambda generation: Facets(generation, state.sql_policy))

    @router.post(
        "/api/facets",
        response_model=FacetsResponse,
        responses=error_responses(400, 404, 409),
        openapi_extra=json_body(FacetsRequest),
    )
    async def facets(request: Request) -> Response:
        """Count the images by facet, each under the conditions of the others."""
        body = parse_json(FacetsRequest, await request.body())
        return json_response(await state.in_search_queue(request, lambda: _count(state, facets_of, body)))

    @router.post(
        "/api/facets/folders",
        response_model=FoldersResponse,
        responses=error_responses(400, 404, 409),
        openapi_extra=json_body(FoldersRequest),
    )
    async def folders(request: Request) -> Response:
        """List the folders in a folder with their numbers of images."""
        body = parse_json(FoldersRequest, await request.body())
        return json_response(await state.in_search_queue(request, lambda: _list_folders(state, facets_of, body)))

    return router


def _count(state: AppState, facets_of: Any, body: FacetsRequest) -> dict[str, Any]:
    facets: Facets = facets_of(state.generation)
    span = None
    if body.first is not None or body.last is not None:
        span = body.first or date.min, body.last or date.max
    counts = facets.count(body.conditions, state.maps.ids_inside(body.within), span)
    return {
        "generation": facets.generation.id,
        "images": counts.images,
        "sources": [asdict(source) for source in counts.sources.folders],
        "taken": counts.taken and _dates(counts.taken),
        "facets": [asdict(facet) for facet in counts.values],
    }


def _dates(counts: DateCounts) -> dict[str, Any]:
    return {
        "unit": counts.unit,
        "bins": [
            {"start": one.start.isoformat(), "end": one.end.isoformat(), "images": one.images} for one in counts.bins
        ],
        "missing": {"label": "No date", "where": MISSING, "images": counts.missing},
        "outside": counts.outside,
    }


def _list_folders(state: AppState, facets_of: Any, body: FoldersRequest) -> dict[str, Any]:
    facets: Facets = facets_of(state.generation)
    among = state.maps.ids_inside(body.within)
    return {
        "generation": facets.generation.id,
        **asdict(facets.list_folders(body.source, body.folder, body.conditions, among)),
    }
