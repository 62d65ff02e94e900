"""Searches over HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.errors import ImageError
from imrec_core.images.decode import WELL_KNOWN, decode
from imrec_core.index.generation import Generation
from imrec_core.search.feature_weights import parse_weights
from imrec_core.search.hits import Hit
from imrec_core.search.query import ImageId, Text, UploadedImage
from imrec_core.search.query import Query as Asking
from imrec_core.search.request import MOST_DIVERSE, filter_rows
from imrec_core.web.limits import MOST_FILES, MOST_HITS, MOST_REACH
from imrec_core.web.responses import ApiError, answer
from imrec_core.web.schemas.search import SearchAnswer
from imrec_core.web.search_request import Entry, Name, SearchRequestBody, Sql, parsed
from imrec_core.web.state import AppState, ImageKey, why_not
from imrec_core.web.uploads import read_form

_TRIES = 5  # where generations are published while a search runs

_FORM = {
    "type": "object",
    "required": ["images"],
    "additionalProperties": False,
    "properties": {
        "images": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_FILES,
            "items": {"type": "string", "format": "binary"},
        },
        "request": {"type": "string", "description": "The same as JSON; without `like` each file is one."},
    },
}


def body_of(kind: type[SearchRequestBody]) -> dict[str, Any]:
    """How a route says that it takes JSON, or a form with pictures, for the description."""
    schemas = {
        "application/json": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "multipart/form-data": _FORM,
    }
    return {"requestBody": {"required": True, "content": {name: {"schema": of} for name, of in schemas.items()}}}


def routes(serving: AppState) -> APIRouter:
    """Searches by JSON, by pictures that are sent, and by an image of the lake."""
    router = APIRouter(tags=["search"])

    @router.post(
        "/api/search",
        response_model=SearchAnswer,
        responses=why_not(400, 404, 409, 410),
        openapi_extra=body_of(SearchRequestBody),
    )
    async def search(request: Request) -> Response:
        """The images most like some and unlike others; see `Recommender.search` for what each field means."""
        asked, sent = await read_asked(request, serving)
        return answer(await serving.searched(request, lambda: found(serving, asked, sent)))

    @router.get("/api/images/{image_id}/similar", response_model=SearchAnswer, responses=why_not(400, 404, 409))
    async def similar(
        request: Request,
        image_id: ImageKey,
        k: Annotated[int, Query(ge=1, le=MOST_HITS)] = 60,
        offset: Annotated[int, Query(ge=0, le=MOST_REACH - MOST_HITS)] = 0,
        by: Annotated[list[Name], Query(max_length=50, description="FEATURE[:METRIC][=WEIGHT]; repeat.")] = [],  # noqa: B006
        where: Sql | None = None,
    ) -> Response:
        """The images most like one of the lake."""
        serving.row_of(serving.generation, image_id)
        asked = SearchRequestBody(
            like=[Entry(image_id=image_id)], k=k, offset=offset, by=parse_weights(by), where=where
        )
        return answer(await serving.searched(request, lambda: found(serving, asked, [])))

    return router


async def read_asked(
    request: Request, serving: AppState, kind: type[SearchRequestBody] = SearchRequestBody
) -> tuple[Any, list[UploadedImage]]:
    """What a request asks for, and the pictures that it brings.

    Raises:
        Refused: It cannot be read.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return parsed(kind, await request.body()), []
    pictures, text = await read_form(request, serving.limits)
    asked = parsed(kind, text or "{}")
    sent = [serving.uploads.keep(data, name) for name, data in pictures]
    if not asked.like:
        unlike = {entry.file for entry in asked.unlike}
        asked.like = [Entry(file=i) for i in range(len(sent)) if i not in unlike]
    return asked, sent


def found(serving: AppState, asked: SearchRequestBody, sent: Sequence[UploadedImage]) -> dict[str, Any]:
    """The answer to a search as plain data.

    Raises:
        Refused: A picture is not kept any more, or an image is not known.
        ImrecError: As `Recommender.search`.
    """
    started = time.perf_counter()
    used = dict.fromkeys(sent)
    likes, unlikes = (
        [(_query(serving, entry, sent, used), entry.weight) for entry in some] for some in (asked.like, asked.unlike)
    )
    try:
        said = _searched(serving, asked, likes, unlikes) if likes or unlikes else _browsed(serving, asked)
        said["uploads"] = [_told(kept) for kept in used]
    except ImageError:
        for kept in used:
            if kept.size is None:
                serving.uploads.drop(kept)
        raise
    return {**said, "offset": asked.offset, "seconds": round(time.perf_counter() - started, 4)}


def _query(serving: AppState, entry: Entry, sent: Sequence[UploadedImage], used: dict[UploadedImage, None]) -> Asking:
    if entry.image_id is not None:
        serving.row_of(serving.generation, entry.image_id)
        return ImageId(entry.image_id)
    if entry.text is not None:
        return Text(entry.text)
    if entry.upload is not None:
        kept = serving.uploads.find(entry.upload)
    elif entry.file is not None and entry.file < len(sent):
        kept = sent[entry.file]
    else:
        raise ApiError(400, "BadForm", f"file {entry.file} is asked for, and {len(sent)} were sent")
    used[kept] = None
    return kept


def _told(kept: UploadedImage) -> dict[str, Any]:
    if kept.size is None:  # it was sent and not asked for
        picture = decode(kept.data, max_pixels=kept.max_pixels, min_side=16, formats=WELL_KNOWN)
        kept.size = picture.width, picture.height
    return {"upload": kept.content_hash, "name": kept.name, "width": kept.size[0], "height": kept.size[1]}


def _searched(
    serving: AppState, asked: SearchRequestBody, likes: list[tuple[Asking, float]], unlikes: list[tuple[Asking, float]]
) -> dict[str, Any]:
    end = asked.offset + asked.k
    if asked.order_by is not None and asked.offset and asked.reach is None:
        words = "order_by orders a number of the best hits: say in `reach` how many, with each page the same"
        raise ApiError(422, "BadRequest", words)
    wanted = asked.reach or end
    among = serving.layouts.inside(asked.within)
    for _ in range(_TRIES):
        generation = serving.generation
        hits = serving.recommender.search(
            like=likes,
            unlike=unlikes,
            k=wanted,
            by=asked.by,
            pool=asked.pool,
            fuse=asked.fuse,
            max_false_match_rate=asked.max_false_match_rate,
            where=asked.where,
            order_by=asked.order_by,
            distinct=asked.distinct,
            diversify=asked.diversify,
            exact=asked.exact,
            among=among,
        )
        if hits.generation == generation.id:
            break
    shown = hits[asked.offset : end]
    can_be_more = asked.reach is None and end < (MOST_DIVERSE if asked.diversify else MOST_REACH)
    rows = generation.rows_of([hit.image_id for hit in shown])
    return {
        "generation": generation.id,
        "plan": hits.plan,
        "cut": hits.cut,
        "no_good_match": not hits and hits.cut > 0,
        "features": list(hits.features),
        "reached": len(hits),
        "more": len(hits) > end or (hits.more and can_be_more),
        "hits": _hits(generation, rows, shown),
    }


def _browsed(serving: AppState, asked: SearchRequestBody) -> dict[str, Any]:
    generation = serving.generation
    kept = filter_rows(generation, asked.where, serving.layouts.inside(asked.within), serving.sql_policy)
    if asked.order_by is None:
        rows = generation.live if kept is None else kept
    else:
        rows = generation.filter.sort(asked.order_by, serving.sql_policy, kept)
    if asked.distinct == "content":
        content = generation.columns("content_hash")["content_hash"].take(rows).to_numpy()
        rows = rows[np.sort(np.unique(content, return_index=True)[1])]
    elif asked.distinct is not None:
        raise ApiError(400, "UnknownName", f"no distinct named {asked.distinct!r}; known: content")
    end = asked.offset + asked.k
    return {
        "generation": generation.id,
        "plan": f"{len(rows)} rows in order",
        "cut": 0,
        "no_good_match": False,
        "features": [],
        "reached": len(rows),
        "more": len(rows) > end and end < MOST_REACH,
        "hits": _hits(generation, rows[asked.offset : end], None, asked.offset),
    }


def _hits(
    generation: Generation, rows: NDArray[np.int64], hits: Sequence[Hit] | None, offset: int = 0
) -> list[dict[str, Any]]:
    table = generation.columns("image_id", "source", "path", "width", "height").take(rows).to_pylist()
    if hits is None:
        return [{"rank": offset + i + 1, **row, "score": None, "parts": {}} for i, row in enumerate(table)]
    return [
        {
            "rank": hit.rank,
            **row,
            "score": hit.score,
            "parts": {name: vars(part) for name, part in hit.parts.items()},
        }
        for hit, row in zip(hits, table, strict=True)
    ]
