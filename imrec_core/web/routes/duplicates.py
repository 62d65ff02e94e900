"""Routes of duplicates: groups, decisions, and the plan of moves. The server itself moves no files."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.duplicates import Duplicates
from imrec_core.duplicates.decisions import Decisions, decide, load_decisions
from imrec_core.duplicates.groups import Group
from imrec_core.duplicates.move_plan import MovePlan
from imrec_core.index.generation import Generation
from imrec_core.web.duplicate_jobs import Unfinished
from imrec_core.web.responses import ApiError, json_response
from imrec_core.web.schemas.duplicates import DecisionsResponse, DuplicatesResponse, OutcomesResponse
from imrec_core.web.search_request import Name, json_body, parse_json
from imrec_core.web.state import AppState, error_responses

Tier = Literal["identical", "same_pixels", "near", "edited", "variant"]
Rule = Annotated[Name, Query(description="Which file of a group to keep: original, largest, oldest or source:NAME.")]
Among = Annotated[
    str | None,
    Query(pattern="^[0-9a-f]{32}$", description="Handle of a selection: only groups with one of its images."),
]

_CURSOR = re.compile(r"([\w.+-]{1,100})~([0-9a-f]{16})")  # generation, representative of the last group of the page
_MAX_LEFT_OUT = 100
_MAX_OUTCOMES = 100


class Decision(BaseModel):
    """A decision: `keep` for one image, `not_duplicates` for two; `undo_…` removes this decision only."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["keep", "not_duplicates", "undo_keep", "undo_not_duplicates"]
    images: list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]] = Field(min_length=1, max_length=2)


class SearchControl(BaseModel):
    """Cancel the running search of a tier, or continue a cancelled one."""

    model_config = ConfigDict(extra="forbid")

    tier: Tier
    action: Literal["cancel", "continue"]


def create_router(state: AppState) -> APIRouter:
    """Create the routes of groups, decisions and the plan."""
    router = APIRouter(tags=["duplicates"])

    @router.get("/api/duplicates", response_model=DuplicatesResponse, responses=error_responses(400, 409, 410))
    async def duplicates(
        request: Request,
        cursor: Annotated[str | None, Query(max_length=120)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        tier: Tier = "near",
        keep: Rule = "original",
        selection: Among = None,
    ) -> Response:
        """Return groups of duplicates. While `state` is `running`, send the request again after a second."""
        return json_response(
            await state.in_search_queue(request, lambda: _page(state, cursor, limit, tier, keep, selection))
        )

    @router.post(
        "/api/duplicates/search",
        response_model=SearchControl,
        responses=error_responses(400),
        openapi_extra=json_body(SearchControl),
    )
    async def control(request: Request) -> Response:
        """Cancel the search of a tier, or continue it at the next request. Results of comparisons are kept."""
        control = parse_json(SearchControl, await request.body())
        jobs = state.duplicate_jobs
        (jobs.cancel if control.action == "cancel" else jobs.resume)(control.tier)
        return json_response(control.model_dump())

    @router.get(
        "/api/duplicates/plan",
        responses={
            200: {"content": {"application/json": {"schema": {"type": "object"}}}},
            **error_responses(400, 409, 410),
        },
    )
    async def plan(request: Request, tier: Tier = "near", keep: Rule = "original", selection: Among = None) -> Response:
        """Return the plan of moves for `imrec duplicates --apply`, with the paths of the files."""
        return await state.in_search_queue(request, lambda: _plan(state, tier, keep, selection))

    @router.get("/api/duplicates/outcomes", response_model=OutcomesResponse, responses=error_responses(400, 409))
    async def outcomes(
        request: Request,
        image: Annotated[list[Annotated[str, Query(pattern="^[0-9a-f]{16}$")]], Query(max_length=_MAX_OUTCOMES)],
        tier: Tier = "near",
        keep: Rule = "original",
    ) -> Response:
        """Return what the plan would do with some images, such as those of a group after a decision."""
        found = await state.in_search_queue(request, lambda: _outcomes_of(state, set(image), tier, keep))
        return json_response({"outcomes": found})

    @router.post(
        "/api/decisions",
        response_model=DecisionsResponse,
        responses=error_responses(400, 404),
        openapi_extra=json_body(Decision),
    )
    async def decisions(request: Request) -> Response:
        """Save a decision, or remove one."""
        decision = parse_json(Decision, await request.body())
        return json_response(await state.in_search_queue(request, lambda: {"decisions": _decide(state, decision)}))

    return router


def _page(
    state: AppState, cursor: str | None, limit: int, tier: str, keep: str, selection: str | None
) -> dict[str, Any]:
    generation, decisions = state.generation, load_decisions(state.lake)
    among = _selected(state, generation, selection)
    last = _parse_cursor(generation, cursor)
    result = state.duplicate_jobs.result(generation.id, tier, keep, decisions)
    common = {"generation": generation.id, "decisions": _counts(decisions)}
    if isinstance(result, Unfinished):
        return {**_unfinished(result), **common}
    plan = state.duplicate_jobs.preview(result, is_fresh=cursor is None)
    result = _with_images(result, among)
    first = bisect_right(result.groups, last, key=lambda group: group.place) if last else 0
    groups = result.groups[first : first + limit]
    return {
        "state": "ready",
        "progress": "",
        "done": 0,
        "planned": 0,
        "seconds_left": None,
        "total": len(result),
        "groups": _group_dicts(replace(result, groups=groups), decisions, plan),
        "next": f"{generation.id}~{groups[-1].representative.image_id}" if first + limit < len(result) else None,
        "left_out": [_below_source(result, path) for path in result.left_out[:_MAX_LEFT_OUT]],
        **common,
    }


def _unfinished(result: Unfinished) -> dict[str, Any]:
    """Return an empty page with the progress of a search."""
    progress = result.progress
    return {
        "state": "cancelled" if result.is_cancelled else "running",
        "progress": str(progress),
        "done": progress.done,
        "planned": progress.total,
        "seconds_left": progress.seconds_left,
        "total": 0,
        "groups": [],
        "next": None,
        "left_out": [],
    }


def _parse_cursor(generation: Generation, cursor: str | None) -> tuple[str, str] | None:
    """Return source and path of the last group of the page before, after which the next page begins.

    A number of groups would skip some when a decision removes others.

    Raises:
        ApiError: The cursor is invalid, or of an older generation.
    """
    if cursor is None:
        return None
    parts = _CURSOR.fullmatch(cursor)
    row = -1
    if parts and parts[1] != generation.id:
        message = (
            f"the cursor is of generation {parts[1]}, but {generation.id} is current; start again without a cursor"
        )
        raise ApiError(410, "StaleCursor", message)
    if parts:
        row = int(generation.rows_of([parts[2]])[0])
    if row < 0:
        raise ApiError(400, "BadCursor", f"invalid cursor {cursor!r}; expected `next` of the page before")
    (columns,) = generation.columns("source", "path").slice(row, 1).to_pylist()
    return columns["source"], columns["path"]


def _group_dicts(page: Duplicates, decisions: Decisions, plan: MovePlan) -> list[dict[str, Any]]:
    by_rule = page.with_rule(page.keep, Decisions())
    ranks = {copy.image_id: rank for group in by_rule for rank, copy in enumerate(group.copies)}
    outcomes = _outcomes(page.groups, plan)
    return [_group_dict(group, decisions, ranks, outcomes) for group in page]


def _group_dict(
    group: Group, decisions: Decisions, ranks: dict[str, int], outcomes: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    copies = []
    for copy in group.copies:
        columns = asdict(copy) | {"path": copy.below, "rank": ranks[copy.image_id]}
        del columns["below"]
        columns |= outcomes[copy.image_id]
        copies.append(columns | {"decided": copy.content_hash in decisions.keep})
    pairs = [asdict(pair) for pair in group.pairs]
    return {"tier": group.tier, "why": group.why, "copies": copies, "pairs": pairs}


def _outcomes(groups: Iterable[Group], plan: MovePlan) -> dict[str, dict[str, Any]]:
    """Return what the plan would do with each file of some groups, by image."""
    along = {move.file.path: [os.path.basename(file.path) for file in move.companions] for move in plan.moves}
    left = {image.path: image.reason for image in plan.left}
    return {
        copy.image_id: {
            "is_kept": copy.is_kept,
            "left": left.get(copy.path, ""),
            "moves_with": along.get(copy.path, []),
        }
        for group in groups
        for copy in group.copies
    }


def _outcomes_of(state: AppState, images: set[str], tier: str, keep: str) -> dict[str, dict[str, Any]] | None:
    result = state.duplicate_jobs.result(state.generation.id, tier, keep, load_decisions(state.lake))
    if isinstance(result, Unfinished):
        return None
    plan = state.duplicate_jobs.preview(result, is_fresh=False)
    groups = [group for group in result if any(copy.image_id in images for copy in group.copies)]
    return {image: outcome for image, outcome in _outcomes(groups, plan).items() if image in images}


def _below_source(result: Duplicates, path: str) -> str:
    """Return the path of a file, with the name of its source in place of the root."""
    for name, root in result.roots.items():
        if path.startswith(root):
            return f"{name}/{path.removeprefix(root).lstrip('/')}"
    return path.rpartition("/")[2]


def _selected(state: AppState, generation: Generation, selection: str | None) -> set[str] | None:
    """Return the current ids of the images of a selection; None without one.

    Raises:
        ApiError: 410, the selection has expired.
    """
    if selection is None:
        return None
    rows = generation.rows_of(state.selections.get(selection))
    return set(generation.row_table.values(rows[rows >= 0], "image_id")["image_id"])


def _with_images(found: Duplicates, images: set[str] | None) -> Duplicates:
    """Return the groups that have one of these images; all for None."""
    if images is None:
        return found
    has_one = (group for group in found.groups if any(copy.image_id in images for copy in group.copies))
    return replace(found, groups=tuple(has_one))


def _plan(state: AppState, tier: str, keep: str, selection: str | None) -> Response:
    among = _selected(state, state.generation, selection)
    result = state.duplicate_jobs.result(state.generation.id, tier, keep, load_decisions(state.lake))
    if isinstance(result, Unfinished):
        state_of = "was cancelled" if result.is_cancelled else "is still running"
        message = f"the search for duplicates {state_of} ({result.progress}); try again in 2 seconds"
        raise ApiError(409, "Running", message, {"Retry-After": "2"})
    headers = {"Content-Disposition": f'attachment; filename="imrec-plan-{tier}.json"'}
    return Response(
        MovePlan.of(_with_images(result, among)).to_json().encode(), media_type="application/json", headers=headers
    )


def _decide(state: AppState, decision: Decision) -> dict[str, int]:
    generation = state.generation
    rows = [state.row_of(generation, image) for image in decision.images]
    contents = generation.columns("content_hash")["content_hash"].take(rows).to_pylist()
    undo = decision.action.startswith("undo_")
    count = 1 if decision.action.endswith("keep") else 2
    if len(contents) != count:
        message = f"{decision.action}: expected {count} image{'s' if count > 1 else ''}, got {len(contents)}"
        raise ApiError(422, "BadRequest", message)
    if count == 1:
        return _counts(decide(state.lake, keep=contents[0], undo=undo))
    return _counts(decide(state.lake, apart=(contents[0], contents[1]), undo=undo))


def _counts(decisions: Decisions) -> dict[str, int]:
    return {"keep": len(decisions.keep), "apart": len(decisions.not_duplicate)}
