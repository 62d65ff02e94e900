"""Search routes: by JSON, by uploaded images, and by an image of the lake."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter
from fastapi import Query as QueryParameter
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.errors import ImageError
from imrec_core.images.decode import decode
from imrec_core.index.generation import Generation
from imrec_core.search.crop import check_box
from imrec_core.search.feature_weights import parse_weights
from imrec_core.search.hits import Hit
from imrec_core.search.query import Crop, ImageId, Query, Text, UploadedImage
from imrec_core.search.request import MOST_DIVERSE
from imrec_core.web.browse import mean_shape
from imrec_core.web.limits import MAX_FILES, MAX_HITS, MAX_REACH
from imrec_core.web.responses import ApiError, json_response
from imrec_core.web.schemas.search import SearchResponse
from imrec_core.web.search_request import Name, QueryEntry, SearchRequestBody, Sql, parse_fields, parse_json
from imrec_core.web.state import AppState, ImageKey, error_responses
from imrec_core.web.uploads import read_form

_TRIES = 5  # if generations are published while a search runs

_FORM = {
    "type": "object",
    "required": ["images"],
    "additionalProperties": False,
    "properties": {
        "images": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_FILES,
            "items": {"type": "string", "format": "binary"},
        },
        "request": {
            "type": "string",
            "description": "The JSON body; without `like`, every file is a positive example.",
        },
    },
}


def request_body(kind: type[SearchRequestBody]) -> dict[str, Any]:
    """Describe a body of JSON, or of a form with images, for the OpenAPI document."""
    schemas = {
        "application/json": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "multipart/form-data": _FORM,
    }
    return {"requestBody": {"required": True, "content": {name: {"schema": of} for name, of in schemas.items()}}}


def create_router(state: AppState) -> APIRouter:
    """Create the search routes."""
    router = APIRouter(tags=["search"])

    @router.post(
        "/api/search",
        response_model=SearchResponse,
        responses=error_responses(400, 404, 409, 410),
        openapi_extra=request_body(SearchRequestBody),
    )
    async def search(request: Request) -> Response:
        """Search for images like some and unlike others; see `Recommender.search` for the fields."""
        body, uploads = await read_search_request(request, state)
        return json_response(await state.in_search_queue(request, lambda: run_search(state, body, uploads)))

    @router.get(
        "/api/images/{image_id}/similar", response_model=SearchResponse, responses=error_responses(400, 404, 409)
    )
    async def similar(
        request: Request,
        image_id: ImageKey,
        k: Annotated[int, QueryParameter(ge=1, le=MAX_HITS)] = 60,
        offset: Annotated[int, QueryParameter(ge=0, le=MAX_REACH - MAX_HITS)] = 0,
        by: Annotated[
            list[Name], QueryParameter(max_length=50, description="FEATURE[:METRIC][=WEIGHT]; repeat for several.")
        ] = [],  # noqa: B006
        where: Sql | None = None,
    ) -> Response:
        """Search for images like one of the lake."""
        like, weights = [QueryEntry(image_id=image_id)], parse_weights(by)
        body = parse_fields(SearchRequestBody, like=like, k=k, offset=offset, by=weights, where=where)
        return json_response(await state.in_search_queue(request, lambda: run_search(state, body, [])))

    return router


async def read_search_request(
    request: Request, state: AppState, kind: type[SearchRequestBody] = SearchRequestBody
) -> tuple[Any, list[UploadedImage]]:
    """Read the body of a search request, of type `kind`, and the images that a form contains.

    Raises:
        ApiError: The request is invalid.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return parse_json(kind, await request.body()), []
    length = request.headers.get("content-length", "")
    with state.upload_budget.reserve(int(length) if length.isdecimal() else state.limits.upload_bytes):
        images, text = await read_form(request, state.limits)
    body = parse_json(kind, text or "{}")
    uploads = [state.uploads.add(data, name) for name, data in images]
    if not body.like:
        unlike = {entry.file for entry in body.unlike}
        body.like = [QueryEntry(file=i) for i in range(len(uploads)) if i not in unlike]
    return body, uploads


def run_search(state: AppState, body: SearchRequestBody, uploads: Sequence[UploadedImage]) -> dict[str, Any]:
    """Run a search, and return the fields of `SearchResponse`.

    Args:
        uploads: Images of the request, to which `file` of an entry refers.

    Raises:
        ApiError: An upload has expired, or an image does not exist.
        ImrecError: As `Recommender.search`.
    """
    started = time.perf_counter()
    used = dict.fromkeys(uploads)

    def to_query(entry: QueryEntry) -> Query:
        query = _to_query(state, entry, uploads, used)
        return query if entry.crop is None else Crop(query, check_box(entry.crop))

    likes, unlikes = ([(to_query(entry), entry.weight) for entry in entries] for entries in (body.like, body.unlike))
    try:
        response = _search(state, body, likes, unlikes) if likes or unlikes else _browse(state, body)
        response["uploads"] = [_upload_info(upload) for upload in used]
    except ImageError:
        for upload in used:
            if upload.size is None:
                state.uploads.remove(upload)
        raise
    return {**response, "offset": body.offset, "seconds": round(time.perf_counter() - started, 4)}


def _to_query(
    state: AppState, entry: QueryEntry, uploads: Sequence[UploadedImage], used: dict[UploadedImage, None]
) -> Query:
    """Convert an entry to a query, and add its upload to `used`."""
    if entry.image_id is not None:
        state.row_of(state.generation, entry.image_id)
        return ImageId(entry.image_id)
    if entry.text is not None:
        return Text(entry.text)
    if entry.upload is not None:
        upload = state.uploads.get(entry.upload)
    elif entry.file is not None and entry.file < len(uploads):
        upload = uploads[entry.file]
    else:
        raise ApiError(400, "BadForm", f"an entry has file {entry.file}, but the request has {len(uploads)} files")
    used[upload] = None
    return upload


def _upload_info(upload: UploadedImage) -> dict[str, Any]:
    if upload.size is None:  # no entry of the request refers to it
        decoded = decode(upload.data, max_pixels=upload.max_pixels, min_side=16)
        upload.size = decoded.width, decoded.height
    return {"upload": upload.content_hash, "name": upload.name, "width": upload.size[0], "height": upload.size[1]}


def _search(
    state: AppState, body: SearchRequestBody, likes: list[tuple[Query, float]], unlikes: list[tuple[Query, float]]
) -> dict[str, Any]:
    end = body.offset + body.k
    if end > MAX_REACH:
        raise ApiError(422, "BadRequest", f"offset + k is {end}; with a query it must be at most {MAX_REACH}")
    if body.order_by is not None and body.offset and body.reach is None:
        message = "order_by sorts the best hits only; set `reach` to their number, the same for every page"
        raise ApiError(422, "BadRequest", message)
    k = body.reach or end
    among = state.maps.ids_inside(body.within)
    for _ in range(_TRIES):
        generation = state.generation
        hits = state.recommender.search(
            like=likes,
            unlike=unlikes,
            k=k,
            by=body.by,
            pool=body.pool,
            fuse=body.fuse,
            max_false_match_rate=body.max_false_match_rate,
            max_distance=body.max_distance,
            where=body.where,
            order_by=body.order_by,
            distinct=body.distinct,
            diversify=body.diversify,
            exact=body.exact,
            among=among,
            with_self=body.with_self,
            expand=body.expand,
        )
        if hits.generation == generation.id:
            break
    page = hits[body.offset : end]
    can_be_more = body.reach is None and end < (MOST_DIVERSE if body.diversify else MAX_REACH)
    rows = generation.rows_of([hit.image_id for hit in page])
    return {
        "generation": generation.id,
        "plan": hits.plan,
        "cut": hits.cut,
        "no_good_match": not hits and hits.cut > 0,
        "features": list(hits.features),
        "notes": list(hits.notes),
        "reached": len(hits),
        "total": hits.total if body.reach is None else len(hits),
        "shape": None if body.offset else mean_shape(generation, generation.live),
        "more": len(hits) > end or (hits.more and can_be_more),
        "hits": _hit_dicts(generation, rows, page),
    }


def _browse(state: AppState, body: SearchRequestBody) -> dict[str, Any]:
    """Return the images without a query: all, or those that pass the filter, in order."""
    generation = state.generation
    rows = state.browser.rows(generation, body)
    end = body.offset + body.k
    return {
        "generation": generation.id,
        "plan": f"{len(rows)} rows in order",
        "cut": 0,
        "no_good_match": False,
        "features": [],
        "notes": [],
        "reached": len(rows),
        "total": len(rows),
        "shape": None if body.offset else mean_shape(generation, rows),
        "more": len(rows) > end,
        "hits": _hit_dicts(generation, rows[body.offset : end], None, body.offset),
    }


def _hit_dicts(
    generation: Generation, rows: NDArray[np.int64], hits: Sequence[Hit] | None, offset: int = 0
) -> list[dict[str, Any]]:
    table = generation.columns("image_id", "source", "path", "width", "height").take(rows).to_pylist()
    if hits is None:
        return [
            {"rank": offset + i + 1, **row, "score": None, "likeness": "", "parts": {}} for i, row in enumerate(table)
        ]
    return [
        {
            "rank": hit.rank,
            **row,
            "score": hit.score,
            "likeness": hit.likeness,
            "parts": {name: vars(part) for name, part in hit.parts.items()},
        }
        for hit, row in zip(hits, table, strict=True)
    ]
