"""Routes of selections: ids of all hits, and files, paths and properties of selected images.

A client sends the ids of its selection once, and gets a handle for the downloads: an address cannot hold thousands of
ids, and browsers save what a GET request returns without holding it in memory.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.web.limits import MAX_REACH, MAX_SELECTED
from imrec_core.web.responses import json_response
from imrec_core.web.routes.search import run_search
from imrec_core.web.schemas.selection import HitIdsResponse, SelectionResponse
from imrec_core.web.search_request import SearchRequestBody, json_body, parse_json
from imrec_core.web.security import is_forwarded
from imrec_core.web.selection_lists import SelectedFiles, csv_of, list_paths, selected_files
from imrec_core.web.state import AppState, error_responses
from imrec_core.web.zip_download import ZipResponse

SelectionKey = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Handle of a selection.")]


class Selection(BaseModel):
    """Images of a selection, in its order."""

    model_config = ConfigDict(extra="forbid")

    images: list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]] = Field(min_length=1, max_length=MAX_SELECTED)


class HitIdsRequestBody(SearchRequestBody):
    """A search for the ids of its hits alone, and of more hits than a page has."""

    k: int = Field(default=MAX_REACH, ge=1, le=MAX_REACH)


def _file_responses(media_type: str, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the download of a route for the OpenAPI document."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"content": content, "description": "The file."}, **error_responses(409, 410, *statuses)}


def create_router(state: AppState) -> APIRouter:
    """Create the routes of selections."""
    router = APIRouter(tags=["selections"])
    files = APIRouter(tags=["selections"], default_response_class=Response)

    @router.post(
        "/api/search/ids",
        response_model=HitIdsResponse,
        responses=error_responses(400, 404, 409, 410),
        openapi_extra=json_body(HitIdsRequestBody),
    )
    async def ids(request: Request) -> Response:
        """Return the ids of the hits of a search, up to 10,000. The fields are those of a search."""
        body = parse_json(HitIdsRequestBody, await request.body())
        return json_response(await state.in_search_queue(request, lambda: _hit_ids(state, body)))

    @router.post(
        "/api/selections",
        response_model=SelectionResponse,
        responses=error_responses(409),
        openapi_extra=json_body(Selection),
    )
    async def select(request: Request) -> Response:
        """Keep a selection of images, up to 10,000, for downloads by its handle."""
        wanted = parse_json(Selection, await request.body())
        return json_response(await state.in_search_queue(request, lambda: _select(state, wanted)))

    @files.get("/api/selections/{selection}/paths", responses=_file_responses("text/plain"))
    async def paths(request: Request, selection: SelectionKey) -> Response:
        """Return the paths of selected images, one a line: full ones if the server is for its own machine only."""
        is_full = state.is_local and not is_forwarded(request)

        def listed() -> str:
            return list_paths(state, _files(state, selection), is_full=is_full)

        return _attachment(await state.in_search_queue(request, listed), "text/plain", "imrec-paths.txt")

    @files.get("/api/selections/{selection}/csv", responses=_file_responses("text/csv"))
    async def table(request: Request, selection: SelectionKey) -> Response:
        """Return the properties and tags of selected images as CSV."""

        def written() -> str:
            return csv_of(state, state.generation, state.selections.get(selection))

        return _attachment(await state.in_search_queue(request, written), "text/csv", "imrec-pictures.csv")

    @files.get("/api/selections/{selection}/zip", responses=_file_responses("application/zip", 413))
    async def archive(request: Request, selection: SelectionKey) -> Response:
        """Return the files of selected images as a zip. `MISSING.txt` in it names those that cannot be read."""
        wanted = await state.in_search_queue(request, lambda: _files(state, selection))
        return ZipResponse(state, request, wanted, _disposition("imrec-pictures.zip"))

    router.include_router(files)
    return router


def _hit_ids(state: AppState, body: HitIdsRequestBody) -> dict[str, Any]:
    found = run_search(state, body, [])
    images = [hit["image_id"] for hit in found["hits"]]
    more = found["total"] is None or found["total"] > body.offset + len(images)
    return {"generation": found["generation"], "images": images, "more": more}


def _select(state: AppState, wanted: Selection) -> dict[str, Any]:
    handle = state.selections.add(wanted.images)
    found = _files(state, handle)
    return {
        "selection": handle,
        "images": len(found.infos),
        "unknown": list(found.unknown),
        "byte_size": found.byte_size,
        "max_zip_bytes": state.limits.zip_bytes,
        "seconds": state.limits.cache_seconds,
    }


def _files(state: AppState, handle: str) -> SelectedFiles:
    return selected_files(state.generation, state.selections.get(handle))


def _attachment(text: str, media_type: str, name: str) -> Response:
    return Response(
        text.encode("utf-8", "replace"), media_type=f"{media_type}; charset=utf-8", headers=_disposition(name)
    )


def _disposition(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
