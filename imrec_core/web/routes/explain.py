"""Why a hit is one, over HTTP."""

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
from imrec_core.web.image_files import facts_of, place_of
from imrec_core.web.limits import MOST_HITS
from imrec_core.web.responses import ApiError, answer
from imrec_core.web.routes.search import body_of, found, read_asked
from imrec_core.web.schemas.explain import Explanation as ExplanationResponse
from imrec_core.web.search_request import Entry, Explained, SearchRequestBody
from imrec_core.web.state import AppState, why_not

_MOST_LIKES = 16  # that are looked at
_MOST_POINTS = 200


def routes(serving: AppState) -> APIRouter:
    """What a hit and a query share."""
    router = APIRouter(tags=["search"])

    @router.post(
        "/api/explain",
        response_model=ExplanationResponse,
        responses=why_not(400, 404, 409, 410),
        openapi_extra=body_of(Explained),
    )
    async def explain(request: Request) -> Response:
        """The keypoints and colours that a hit shares with the query that is most like it, and its parts."""
        asked, sent = await read_asked(request, serving, Explained)
        return answer(await serving.searched(request, lambda: _explained(serving, asked, sent)))

    return router


def _explained(serving: AppState, asked: Explained, sent: Sequence[UploadedImage]) -> dict[str, Any]:
    facts = facts_of(serving, asked.hit)
    hit = _hit(serving, asked, sent)
    try:
        shown = _of_lake(serving, facts)
    except ImageError as error:
        raise ApiError(404, type(error).__name__, f"there is no picture to show: {error}") from error
    entries, pictures = _likes(serving, asked.like[:_MOST_LIKES], sent)
    which, why = explain_best_input(pictures, shown) if pictures else (0, explain_inputs(None, shown))
    return {
        "rank": hit["rank"] if hit else None,
        "score": hit["score"] if hit else None,
        "parts": hit["parts"] if hit else {},
        "query": _query(why, entries[which]) if pictures else None,
        **_shared(why),
    }


def _hit(serving: AppState, asked: Explained, sent: Sequence[UploadedImage]) -> dict[str, Any] | None:
    """The hit as the search gives it, as far down as was looked."""
    if not asked.like and not asked.unlike:
        return None
    said = asked.model_dump(exclude={"hit", "offset"}) | {"k": asked.reach or min(asked.offset + asked.k, MOST_HITS)}
    search = SearchRequestBody.model_validate(said)
    return next((hit for hit in found(serving, search, sent)["hits"] if hit["image_id"] == asked.hit), None)


def _likes(
    serving: AppState, likes: Sequence[Entry], sent: Sequence[UploadedImage]
) -> tuple[list[int], list[MatchInput]]:
    """The likes that can be shown, each with its place among all."""
    entries, pictures = [], []
    for i, like in enumerate(likes):
        raise_if_cancelled()
        seen = _seen(serving, like, sent)
        if seen is not None:
            entries.append(i)
            pictures.append(seen)
    return entries, pictures


def _seen(serving: AppState, like: Entry, sent: Sequence[UploadedImage]) -> MatchInput | None:
    """The picture of a like; None for words, and for a file that is gone by now."""
    if like.image_id is not None:
        facts = facts_of(serving, like.image_id)
        try:
            return _of_lake(serving, facts)
        except (ImageError, ApiError):
            return None
    kept = sent[like.file] if like.file is not None else serving.uploads.find(like.upload) if like.upload else None
    return None if kept is None else MatchInput.of_bytes(kept.data, max_pixels=kept.max_pixels)


def _of_lake(serving: AppState, facts: dict[str, Any]) -> MatchInput:
    data = contents(place_of(serving, facts), facts["content_hash"])
    return MatchInput.of_bytes(data, max_pixels=serving.lake.settings().max_pixels)


def _query(why: Explanation, entry: int) -> dict[str, int] | None:
    return None if why.query is None else {"width": why.query.width, "height": why.query.height, "entry": entry}


def _shared(why: Explanation) -> dict[str, Any]:
    points = zip(why.query_points.tolist(), why.hit_points.tolist(), strict=True)
    return {
        "hit": {"width": why.hit.width, "height": why.hit.height},
        "alike": why.alike,
        "agree": len(why.hit_points),
        "mirrored": why.is_mirrored,
        "points": [[round(v, 1) for v in (*query, *hit)] for query, hit in points][:_MOST_POINTS],
        "colours": [
            {"rgb": list(c.rgb), "in_query": round(c.in_query, 4), "in_hit": round(c.in_hit, 4)} for c in why.colours
        ],
    }
