"""Routes of quality issues and of tags."""

from __future__ import annotations

import functools
from dataclasses import asdict, replace
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.curation.issues import IssueReport, stored_issues
from imrec_core.curation.listed_images import source_roots
from imrec_core.curation.tags import count_tags
from imrec_core.lake.storage import files
from imrec_core.web.hidden_images import hidden_images
from imrec_core.web.responses import json_response
from imrec_core.web.schemas.curation import FindingsResponse, IssuesResponse, TagsResponse
from imrec_core.web.search_request import Name, json_body, parse_json
from imrec_core.web.state import AppState, error_responses

_MAX_TAGGED = 1000  # images of a request


class TagChange(BaseModel):
    """Give a tag to images, or take it away. Copies with the same bytes have the same tags."""

    model_config = ConfigDict(extra="forbid")

    tag: str = Field(min_length=1, max_length=100)
    images: list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]] = Field(min_length=1, max_length=_MAX_TAGGED)
    remove: bool = False


def create_router(state: AppState) -> APIRouter:
    """Create the routes of issues and tags."""
    router = APIRouter(tags=["curation"])
    report_of = functools.lru_cache(2)(functools.partial(_report, state))

    def report() -> IssueReport:
        """Return the issues of the current generation without hidden images, once until any of these changes."""
        layout = state.lake.layout
        return report_of(state.generation, files.status(layout.issues_path), files.status(layout.tags_path))

    @router.get("/api/issues", response_model=IssuesResponse, responses=error_responses(409))
    async def issues(request: Request) -> Response:
        """Return the quality issues with their numbers of images."""
        return json_response(await state.in_search_queue(request, lambda: _issues(report())))

    @router.get("/api/issues/{issue}", response_model=FindingsResponse, responses=error_responses(400, 409))
    async def findings(
        request: Request,
        issue: Name,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 48,
    ) -> Response:
        """Return images with an issue, worst first, without hidden ones."""
        return json_response(
            await state.in_search_queue(request, lambda: _findings(state, report(), issue, offset, limit))
        )

    @router.get("/api/tags", response_model=TagsResponse, responses=error_responses(409))
    async def tags(request: Request) -> Response:
        """Return all tags with their numbers of images."""
        return json_response(await state.in_search_queue(request, lambda: tags_response(state)))

    @router.post(
        "/api/tags",
        response_model=TagsResponse,
        responses=error_responses(400, 404, 409),
        openapi_extra=json_body(TagChange),
    )
    async def change(request: Request) -> Response:
        """Give images a tag, or take it away."""
        wanted = parse_json(TagChange, await request.body())
        return json_response(await state.in_search_queue(request, lambda: _change(state, wanted)))

    return router


def _report(state: AppState, generation: Any, issues: object, tags: object) -> IssueReport:
    report = stored_issues(state.lake, generation)
    hidden = hidden_images(state.lake, generation)
    if not hidden:
        return report
    is_hidden = pc.is_in(report.table["image_id"], pa.array(sorted(hidden), pa.string()))
    return replace(report, table=report.table.filter(pc.invert(is_hidden)))


def _issues(report: IssueReport) -> dict[str, Any]:
    return {
        "generation": report.generation,
        "images": report.images,
        "has_outliers": "outlier" in report.limits,
        "issues": report.about(),
    }


def _findings(state: AppState, report: IssueReport, issue: str, offset: int, limit: int) -> dict[str, Any]:
    found = report.findings(issue, first=offset, most=limit)
    total, roots = report.counts.get(issue, 0), source_roots(state.lake.settings())
    return {
        "issue": issue,
        "generation": report.generation,
        "total": total,
        "findings": [
            {
                "image_id": one.image_id,
                "source": one.source,
                "path": one.path.removeprefix(roots.get(one.source, "")),
                "severity": one.severity,
                "value": one.value,
            }
            for one in found
        ],
        "next": offset + limit if offset + limit < total else None,
    }


def tags_response(state: AppState, changed: int = 0, undo: str = "") -> dict[str, Any]:
    """Return the fields of `TagsResponse`."""
    tags = [asdict(count) for count in count_tags(state.lake, state.generation)]
    return {"tags": tags, "changed": changed, "undo": undo or None}


def _change(state: AppState, wanted: TagChange) -> dict[str, Any]:
    generation = state.generation
    rows = [state.row_of(generation, image) for image in wanted.images]
    contents = generation.columns("content_hash")["content_hash"].take(rows).to_pylist()
    changed, undo = state.tag_history.change(generation, wanted.tag, contents, remove=wanted.remove)
    return tags_response(state, changed, undo)
