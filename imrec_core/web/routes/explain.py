"""Route that explains a hit: keypoints and colours that it shares with the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.errors import ImageError
from imrec_core.images.decode import decode
from imrec_core.images.match_input import MatchInput
from imrec_core.images.matching import Explanation, explain_best_input, explain_inputs
from imrec_core.images.thumbnails import contents
from imrec_core.runtime.cancellation import raise_if_cancelled
from imrec_core.search.crop import check_box, crop_pixels, pixel_box
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
    inputs = [query.inside for query in queries]
    best, explanation = explain_best_input(inputs, hit_image) if queries else (0, explain_inputs(None, hit_image))
    query = queries[best] if queries else None
    return {
        "rank": hit["rank"] if hit else None,
        "score": hit["score"] if hit else None,
        "parts": hit["parts"] if hit else {},
        "query": query and {"width": query.width, "height": query.height, "entry": entries[best]},
        **_shared(explanation, query),
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
) -> tuple[list[int], list[_Like]]:
    """Load the images of likes that have one; also return the indices of these likes."""
    entries, images = [], []
    for i, like in enumerate(likes):
        raise_if_cancelled()
        image = _load_like(state, like, uploads)
        if image is not None:
            entries.append(i)
            images.append(image)
    return entries, images


@dataclass(frozen=True)
class _Like:
    """The image of a like, or the part of it to search for.

    Attributes:
        inside: The part that is compared.
        left, top: Position of the part in the image, in pixels at full size.
        width, height: Size of the whole image.
    """

    inside: MatchInput
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, data: bytes, crop: list[float] | None, **options: Any) -> _Like:
        if crop is None:
            whole = MatchInput.of_bytes(data, **options)
            return cls(whole, 0, 0, whole.width, whole.height)
        decoded, box = decode(data, **options), check_box(crop)
        left, top, width, height = pixel_box(box, decoded.width, decoded.height)
        pixels = crop_pixels(decoded.pixels, box, decoded.width, decoded.height)
        inside = replace(MatchInput.of_pixels(pixels), width=width, height=height)
        return cls(inside, left, top, decoded.width, decoded.height)


def _load_like(state: AppState, like: QueryEntry, uploads: Sequence[UploadedImage]) -> _Like | None:
    """Load the image of a like; None for a text, and for a file that cannot be read."""
    if like.image_id is not None:
        info = file_info(state, like.image_id)
        try:
            data = contents(resolve_path(state, info), info["content_hash"], info["byte_size"])
            return _Like.of(data, like.crop, max_pixels=state.lake.settings().max_pixels, allow_truncated=True)
        except (ImageError, ApiError):
            return None
    if like.file is not None:
        upload = uploads[like.file]
    elif like.upload:
        upload = state.uploads.get(like.upload)
    else:
        return None
    return _Like.of(upload.data, like.crop, max_pixels=upload.max_pixels)


def _load_image(state: AppState, info: dict[str, Any]) -> MatchInput:
    data = contents(resolve_path(state, info), info["content_hash"], info["byte_size"])
    return MatchInput.of_bytes(data, max_pixels=state.lake.settings().max_pixels, allow_truncated=True)


def _shared(explanation: Explanation, query: _Like | None) -> dict[str, Any]:
    offset = (query.left, query.top) if query else (0, 0)
    points = zip((explanation.query_points + offset).tolist(), explanation.hit_points.tolist(), strict=True)
    return {
        "hit": {"width": explanation.hit.width, "height": explanation.hit.height},
        "alike": explanation.alike,
        "agree": len(explanation.hit_points),
        "mirrored": explanation.is_mirrored,
        "points": [[round(v, 1) for v in (*moving, *fixed)] for moving, fixed in points][:_MAX_POINTS],
        "colours": [
            {"rgb": list(colour.rgb), "in_query": round(colour.in_query, 4), "in_hit": round(colour.in_hit, 4)}
            for colour in explanation.colours
        ],
    }
