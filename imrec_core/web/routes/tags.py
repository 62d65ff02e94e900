"""Routes that take a tag away from all images, and that undo a change of tags."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.web.responses import json_response
from imrec_core.web.routes.curation import tags_response
from imrec_core.web.schemas.curation import TagsResponse
from imrec_core.web.search_request import json_body, parse_json
from imrec_core.web.state import AppState, error_responses


class TagRemoval(BaseModel):
    """Take a tag away from all images."""

    model_config = ConfigDict(extra="forbid")

    tag: str = Field(min_length=1, max_length=100)


class TagUndo(BaseModel):
    """Undo a change of tags; `undo` is that of its response."""

    model_config = ConfigDict(extra="forbid")

    undo: str = Field(pattern="^[0-9a-f]{32}$")


def create_router(state: AppState) -> APIRouter:
    """Create the routes."""
    router = APIRouter(tags=["curation"])

    async def answer(request: Request, change: Callable[[], tuple[int, str]]) -> Response:
        return json_response(await state.in_search_queue(request, lambda: tags_response(state, *change())))

    @router.post(
        "/api/tags/remove",
        response_model=TagsResponse,
        responses=error_responses(404, 409),
        openapi_extra=json_body(TagRemoval),
    )
    async def remove(request: Request) -> Response:
        """Take a tag away from all images."""
        tag = parse_json(TagRemoval, await request.body()).tag
        return await answer(request, lambda: state.tag_history.remove_everywhere(state.generation, tag))

    @router.post(
        "/api/tags/undo",
        response_model=TagsResponse,
        responses=error_responses(409, 410),
        openapi_extra=json_body(TagUndo),
    )
    async def undo(request: Request) -> Response:
        """Undo a change of tags, one of the last 100 since the start of the server."""
        handle = parse_json(TagUndo, await request.body()).undo
        return await answer(request, lambda: (state.tag_history.undo(state.generation, handle), ""))

    return router
