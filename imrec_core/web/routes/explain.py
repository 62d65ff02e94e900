"""Route that explains a hit: keypoints and colours that it shares with the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.errors import ImageError
from imrec_core.images.match_input import MatchInput
from imrec_core.images.matching import Explanation, explain_best_input, explain_inputs
from imrec_core.images.thumbnails import contents
from imrec_core.runtime.cancellation import raise_if_cancelled
from imrec_core.search.query import UploadedImage
from imrec_core.web.image_files import file_info, resolve_path
from imrec_core.web.limits import MAX_HITS
from imrec_core.web.responses import ApiError, json_response
from imrec_core.web.routes.search import read_search_request, request_body, run_search
from imrec_core.web.schemas.explain import ExplanationResponse
from imrec_core.web.search_request import ExplainRequestBody, QueryEntry, SearchRequestBody
from imrec_core.web.state import AppState, error_responses

_MAX_LIKES = 16  # that are compared with the hit
_MAX_POINTS = 200


def create_router(state: AppState) -> APIRouter:
    """Create the route that explains a hit."""
    router = APIRouter(tags=["search"])

    @router.post(
        "/api/explain",
        response_model=ExplanationResponse,
        responses=error_responses(400, 404, 409, 410),
        openapi_extra=request_body(ExplainRequestBody),
    )
    async def explain(request: Request) -> Response:
        """Return the keypoints and colours that a hit shares with its best matching query image, and its scores."""
        body, uploads = await read_search_request(request, state, ExplainRequestBody)
        return json_response(await state.in_search_queue(request, lambda: _explain(state, body, uploads)))

    return router


def _explain(state: AppState, body: ExplainRequestBody, uploads: Sequence[UploadedImage]) -> dict[str, Any]:
    info = file_info(state, body.hit)
    hit = _find_hit(state, body, uploads)
    try:
        hit_image = _load_image(state, info)
    except ImageError as error:
        raise ApiError(404, type(error).__name__, f"the image cannot be shown: {error}") from error
    entries, queries = _load_likes(state, body.like[:_MAX_LIKES], uploads)
    best, explanation = explain_best_input(queries, hit_image) if queries else (0, explain_inputs(None, hit_image))
    return {
        "rank": hit["rank"] if hit else None,
        "score": hit["score"] if hit else None,
        "parts": hit["parts"] if hit else {},
        "query": _query_size(explanation, entries[best]) if queries else None,
        **_shared(explanation),
    }


def _find_hit(state: AppState, body: ExplainRequestBody, uploads: Sequence[UploadedImage]) -> dict[str, Any] | None:
    """Repeat the search, and return the hit to explain; None if it is not among the hits."""
    if not body.like and not body.unlike:
        return None
    k = body.reach or min(body.offset + body.k, MAX_HITS)
    search = SearchRequestBody.model_validate(body.model_dump(exclude={"hit", "offset"}) | {"k": k})
    return next((hit for hit in run_search(state, search, uploads)["hits"] if hit["image_id"] == body.hit), None)


def _load_likes(
    state: AppState, likes: Sequence[QueryEntry], uploads: Sequence[UploadedImage]
) -> tuple[list[int], list[MatchInput]]:
    """Load the images of likes that have one; also return the indices of these likes."""
    entries, images = [], []
    for i, like in enumerate(likes):
        raise_if_cancelled()
        image = _load_like(state, like, uploads)
        if image is not None:
            entries.append(i)
            images.append(image)
    return entries, images


def _load_like(state: AppState, like: QueryEntry, uploads: Sequence[UploadedImage]) -> MatchInput | None:
    """Load the image of a like; None for a text, and for a file that cannot be read."""
    if like.image_id is not None:
        info = file_info(state, like.image_id)
        try:
            return _load_image(state, info)
        except (ImageError, ApiError):
            return None
    if like.file is not None:
        upload = uploads[like.file]
    elif like.upload:
        upload = state.uploads.get(like.upload)
    else:
        return None
    return MatchInput.of_bytes(upload.data, max_pixels=upload.max_pixels)


def _load_image(state: AppState, info: dict[str, Any]) -> MatchInput:
    data = contents(resolve_path(state, info), info["content_hash"], info["byte_size"])
    return MatchInput.of_bytes(data, max_pixels=state.lake.settings().max_pixels, allow_truncated=True)


def _query_size(explanation: Explanation, entry: int) -> dict[str, int] | None:
    query = explanation.query
    return None if query is None else {"width": query.width, "height": query.height, "entry": entry}


def _shared(explanation: Explanation) -> dict[str, Any]:
    points = zip(explanation.query_points.tolist(), explanation.hit_points.tolist(), strict=True)
    return {
        "hit": {"width": explanation.hit.width, "height": explanation.hit.height},
        "alike": explanation.alike,
        "agree": len(explanation.hit_points),
        "mirrored": explanation.is_mirrored,
        "points": [[round(v, 1) for v in (*query, *hit)] for query, hit in points][:_MAX_POINTS],
        "colours": [
            {"rgb": list(colour.rgb), "in_query": round(colour.in_query, 4), "in_hit": round(colour.in_hit, 4)}
            for colour in explanation.colours
        ],
    }
