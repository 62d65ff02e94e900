"""Routes of results that compare each image with its neighbours: outliers and suspicious labels.

The comparison runs in the background. While `state` is `running`, a client sends its request again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.curation.label_issues import find_label_issues
from imrec_core.curation.listed_images import ListedImage, source_roots
from imrec_core.curation.neighbours import Report, open_embedding
from imrec_core.curation.outliers import find_outliers
from imrec_core.errors import QueryError
from imrec_core.evaluation.labels import Labels, column_labels, folder_labels
from imrec_core.index.generation import Generation
from imrec_core.web.hidden_images import hidden_images
from imrec_core.web.neighbour_jobs import JobProgress, Work, describe
from imrec_core.web.responses import json_response
from imrec_core.web.schemas.curation import LabelIssuesResponse, OutliersResponse
from imrec_core.web.search_request import Name
from imrec_core.web.state import AppState, error_responses

_MOST_OUTLIERS = 200

By = Annotated[Name | None, Query(description="Feature of the embedding. Default: the first of the lake.")]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=1000)]


def create_router(state: AppState) -> APIRouter:
    """Create the routes of outliers and suspicious labels."""
    router = APIRouter(tags=["curation"])
    labels_of = functools.lru_cache(2)(_labels)

    @router.get("/api/outliers", response_model=OutliersResponse, responses=error_responses(400, 409))
    async def outliers(request: Request, by: By = None, offset: Offset = 0, limit: Limit = 48) -> Response:
        """Return the images least like any other, at most 200, without hidden ones."""
        return json_response(await state.in_search_queue(request, lambda: _outliers(state, by, offset, limit)))

    @router.get("/api/label-issues", response_model=LabelIssuesResponse, responses=error_responses(400, 409))
    async def label_issues(
        request: Request,
        column: Annotated[Name | None, Query(description="Column of the labels. Default: folders.")] = None,
        by: By = None,
        offset: Offset = 0,
        limit: Limit = 48,
    ) -> Response:
        """Return images whose neighbours mostly have another label, the surest first, without hidden ones."""
        found = await state.in_search_queue(request, lambda: _label_issues(state, labels_of, column, by, offset, limit))
        return json_response(found)

    return router


def _outliers(state: AppState, by: str | None, offset: int, limit: int) -> dict[str, Any]:
    feature = open_embedding(state.generation, by).name  # raises if there is no such feature

    def work(report: Report) -> Sequence[ListedImage]:
        return find_outliers(state.lake, _MOST_OUTLIERS, by=by, report=report)

    return {**_page(state, "outliers", (feature,), work, offset, limit), "feature": feature}


def _label_issues(
    state: AppState,
    labels_of: Callable[[Generation, str | None], Labels | None],
    column: str | None,
    by: str | None,
    offset: int,
    limit: int,
) -> dict[str, Any]:
    generation = state.generation
    feature, labels = open_embedding(generation, by).name, labels_of(generation, column)

    def work(report: Report) -> Sequence[ListedImage]:
        return [] if labels is None else find_label_issues(state.lake, generation, labels, by=by, report=report)

    return {**_page(state, "labels", (feature, column), work, offset, limit), "has_labels": labels is not None}


def _labels(generation: Generation, column: str | None) -> Labels | None:
    """Return the labels of a generation; None if it has only one folder.

    Raises:
        UnknownName: There is no such column.
        QueryError: The column has too few labels.
    """
    if column is not None:
        return column_labels(generation, column)
    try:
        return folder_labels(generation)
    except QueryError:
        return None


def _page(
    state: AppState, kind: str, inputs: tuple[str | None, ...], work: Work, offset: int, limit: int
) -> dict[str, Any]:
    generation = state.generation
    found = state.neighbour_jobs.result(kind, (generation.id, *inputs), work)
    if isinstance(found, JobProgress):
        return {**describe(found), "generation": generation.id}
    shown = _without(found, hidden_images(state.lake, generation))
    roots = source_roots(state.lake.settings())
    return {
        "state": "done",
        "generation": generation.id,
        "done": len(generation.live),
        "planned": len(generation.live),
        "seconds_left": 0.0,
        "total": len(shown),
        "findings": [
            {**asdict(one), "path": one.path.removeprefix(roots.get(one.source, ""))}
            for one in shown[offset : offset + limit]
        ],
        "next": offset + limit if offset + limit < len(shown) else None,
    }


def _without(found: Sequence[ListedImage], hidden: Collection[str]) -> Sequence[ListedImage]:
    return [one for one in found if one.image_id not in hidden] if hidden else found
