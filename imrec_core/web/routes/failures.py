"""Routes of files that could not be read: the list, its download, previews, and marks to try them again.

The server starts no build. A mark makes the next build read the file again, although it has not changed.
"""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.catalog import retry_marks
from imrec_core.errors import UnknownName
from imrec_core.extraction.failure_kinds import KINDS
from imrec_core.extraction.failures import FailedFile
from imrec_core.web.failed_files import count_by, preview
from imrec_core.web.image_files import resolve_path
from imrec_core.web.responses import ApiError, json_response
from imrec_core.web.schemas.failures import FailuresResponse, RetryResponse
from imrec_core.web.search_request import Name, json_body, parse_json
from imrec_core.web.security import IMAGE_POLICY
from imrec_core.web.state import AppState, ImageKey, error_responses

_MAX_MARKED = 1000  # images of a request that names them
_COLUMNS = ("source", "path", "kind", "error", "byte_size", "image_id")

Kind = Annotated[Name | None, Query(description="Only files of this kind.")]
Source = Annotated[Name | None, Query(description="Only files of this source.")]


class RetryChange(BaseModel):
    """Mark files to be tried again by the next build, or remove their marks.

    `images` names them; without it they are all files, or those of a kind and a source.
    """

    model_config = ConfigDict(extra="forbid")

    images: list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]] | None = Field(
        default=None, min_length=1, max_length=_MAX_MARKED
    )
    kind: Name | None = None
    source: Name | None = None
    remove: bool = False


def create_router(state: AppState) -> APIRouter:
    """Create the routes of files that could not be read."""
    router = APIRouter(tags=["failures"])

    @router.get("/api/failures", response_model=FailuresResponse, responses=error_responses(400))
    async def failures(
        request: Request,
        kind: Kind = None,
        source: Source = None,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """Return the files that could not be read, with counts by kind and source."""
        found = await state.in_search_queue(request, lambda: _page(state, kind, source, offset, limit))
        return json_response(found)

    @router.get(
        "/api/failures/list",
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **error_responses(400)},
        response_class=Response,
    )
    async def download(request: Request, kind: Kind = None, source: Source = None) -> Response:
        """Return the list as a CSV file."""
        return await state.in_search_queue(request, lambda: _csv(state, _chosen(state, kind, source)))

    @router.post(
        "/api/failures/retry",
        response_model=RetryResponse,
        responses=error_responses(400, 404),
        openapi_extra=json_body(RetryChange),
    )
    async def retry(request: Request) -> Response:
        """Mark files to be tried again by the next build, or remove their marks."""
        wanted = parse_json(RetryChange, await request.body())
        return json_response(await state.in_search_queue(request, lambda: _mark(state, wanted)))

    @router.get(
        "/failed/{image_id}",
        responses={
            200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
            204: {"description": "Nothing of the file can be decoded."},
            **error_responses(404, 504),
        },
        response_class=Response,
    )
    async def show(request: Request, image_id: ImageKey) -> Response:
        """Return what can be decoded of a file that could not be read, as a JPEG of at most 640 pixels."""
        return await state.in_image_queue(request, lambda: _preview(state, *state.failed_files.named([image_id])))

    return router


def _chosen(state: AppState, kind: str | None, source: str | None) -> list[FailedFile]:
    if kind is not None and kind not in KINDS:
        raise UnknownName("kind of failure", kind, tuple(KINDS))
    sources = state.lake.settings().sources
    if source is not None and source not in sources:
        raise UnknownName("source", source, tuple(sources))
    return state.failed_files.chosen(kind, source)


def _page(state: AppState, kind: str | None, source: str | None, offset: int, limit: int) -> dict[str, Any]:
    chosen, every, marked = _chosen(state, kind, source), state.failed_files.all(), state.failed_files.marked()
    counts = count_by(every, "kind")
    return {
        "kinds": [_kind_info(key, counts[key]) for key in KINDS if key in counts],
        "sources": [{"source": name, "files": files} for name, files in count_by(every, "source").items()],
        "total": len(chosen),
        "marked": sum(one.image_id in marked for one in chosen),
        "failures": [_file_info(state, one, marked) for one in chosen[offset : offset + limit]],
        "next": offset + limit if offset + limit < len(chosen) else None,
    }


def _kind_info(key: str, files: int) -> dict[str, Any]:
    kind = KINDS[key]
    about = {"title": kind.title, "advice": kind.advice, "may_recover": kind.may_recover}
    return {"kind": key, **about, "files": files}


def _file_info(state: AppState, file: FailedFile, marked: frozenset[str]) -> dict[str, Any]:
    return {
        "image_id": file.image_id,
        "source": file.source,
        "path": file.path,
        "kind": file.kind,
        "error": state.redact_paths(file.error),
        "byte_size": file.byte_size,
        "is_marked": file.image_id in marked,
    }


def _csv(state: AppState, chosen: list[FailedFile]) -> Response:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_file_info(state, one, frozenset()) for one in chosen)
    headers = {"Content-Disposition": 'attachment; filename="imrec-failures.csv"'}
    return Response(text.getvalue().encode("utf-8", "replace"), media_type="text/csv", headers=headers)


def _mark(state: AppState, wanted: RetryChange) -> dict[str, int]:
    if wanted.images is not None and (wanted.kind or wanted.source):
        raise ApiError(422, "BadRequest", "the request has images and a kind or a source; expected one of them")
    if wanted.images is None:
        chosen = _chosen(state, wanted.kind, wanted.source)
    else:
        chosen = state.failed_files.named(wanted.images)
    changed = retry_marks.change(state.lake, [one.image_id for one in chosen if one.image_id], remove=wanted.remove)
    return {"changed": changed, "marked": len(state.failed_files.marked())}


def _preview(state: AppState, file: FailedFile) -> Response:
    path = resolve_path(state, {"source": file.source, "path": file.path})
    data = preview(path, file, max_pixels=state.lake.settings().max_pixels)
    headers = {"Cache-Control": "private, max-age=60", "Content-Security-Policy": IMAGE_POLICY}
    if data is None:  # no error: the page asks for the preview of each damaged file
        return Response(status_code=204, headers=headers)
    return Response(data, media_type="image/jpeg", headers=headers)
