"""Duplicates over HTTP: groups, decisions, and the plan of what to move. Nothing is moved here."""

from __future__ import annotations

import re
from bisect import bisect_right
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
from imrec_core.web.responses import ApiError, answer
from imrec_core.web.schemas.duplicates import Decided, DuplicateGroups
from imrec_core.web.search_request import Name, parsed
from imrec_core.web.state import AppState, why_not

Tier = Literal["identical", "same_pixels", "near", "edited"]
Rule = Annotated[Name, Query(description="What stays of a group: largest, oldest or source:NAME.")]

_CURSOR = re.compile(r"([\w.+-]{1,100})~([0-9a-f]{16})")  # a generation, and the first file of the last group shown
_MOST_LEFT_OUT = 100


class Decision(BaseModel):
    """What a person decided: `keep` of one image, `not_duplicates` of two; `undo_…` takes back that decision alone."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["keep", "not_duplicates", "undo_keep", "undo_not_duplicates"]
    images: list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]] = Field(min_length=1, max_length=2)


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Decision"}}},
    }
}


def routes(serving: AppState) -> APIRouter:
    """Copies of each other, and what is to be done with them."""
    router = APIRouter(tags=["duplicates"])

    @router.get("/api/duplicates", response_model=DuplicateGroups, responses=why_not(400, 409, 410))
    async def duplicates(
        request: Request,
        cursor: Annotated[str | None, Query(max_length=120)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        tier: Tier = "near",
        keep: Rule = "largest",
    ) -> Response:
        """Groups of images that are copies of each other; while they are looked for, ask again after a second."""
        return answer(await serving.searched(request, lambda: _page(serving, cursor, limit, tier, keep)))

    @router.get(
        "/api/duplicates/plan",
        responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}, **why_not(400, 409)},
    )
    async def plan(request: Request, tier: Tier = "near", keep: Rule = "largest") -> Response:
        """The file that `imrec duplicates --apply` carries out, with the places of the files."""
        return await serving.searched(request, lambda: _plan(serving, tier, keep))

    @router.post("/api/decisions", response_model=Decided, responses=why_not(400, 404), openapi_extra=_BODY)
    async def decisions(request: Request) -> Response:
        """Note a decision, or take one back."""
        decision = parsed(Decision, await request.body())
        return answer(await serving.searched(request, lambda: {"decisions": _decide(serving, decision)}))

    return router


def _page(serving: AppState, cursor: str | None, limit: int, tier: str, keep: str) -> dict[str, Any]:
    generation, decided = serving.generation, load_decisions(serving.lake)
    shown = _shown_last(generation, cursor)
    found = serving.finding.found(generation.id, tier, keep, decided)
    said = {"generation": generation.id, "decisions": _counts(decided)}
    if isinstance(found, str):
        nothing = {"total": 0, "groups": [], "next": None, "left_out": []}
        return {"state": "running", "progress": found, **nothing, **said}
    first = bisect_right(found.groups, shown, key=lambda group: group.place) if shown else 0
    groups = found.groups[first : first + limit]
    return {
        "state": "ready",
        "progress": "",
        "total": len(found),
        "groups": _groups(replace(found, groups=groups), decided),
        "next": f"{generation.id}~{groups[-1].representative.image_id}" if first + limit < len(found) else None,
        "left_out": [_below(found, path) for path in found.left_out[:_MOST_LEFT_OUT]],
        **said,
    }


def _shown_last(generation: Generation, cursor: str | None) -> tuple[str, str] | None:
    """The place that a page begins behind: a decision takes groups away, and none may be left out by that.

    Raises:
        Refused: It is no cursor, or one of an older generation.
    """
    if cursor is None:
        return None
    parts = _CURSOR.fullmatch(cursor)
    row = -1
    if parts and parts[1] != generation.id:
        words = f"the cursor is of generation {parts[1]}, and {generation.id} is in use by now; begin again without one"
        raise ApiError(410, "StaleCursor", words)
    if parts:
        row = int(generation.rows_of([parts[2]])[0])
    if row < 0:
        raise ApiError(400, "BadCursor", f"{cursor!r} is no cursor; take `next` of the page before")
    (place,) = generation.columns("source", "path").slice(row, 1).to_pylist()
    return place["source"], place["path"]


def _groups(found: Duplicates, decided: Decisions) -> list[dict[str, Any]]:
    by_rule = found.with_rule(found.keep, Decisions())
    ranks = {copy.image_id: rank for group in by_rule for rank, copy in enumerate(group.copies)}
    return [_group(group, decided, ranks) for group in found]


def _group(group: Group, decided: Decisions, ranks: dict[str, int]) -> dict[str, Any]:
    copies = []
    for copy in group.copies:
        known = asdict(copy) | {"path": copy.below, "rank": ranks[copy.image_id]}
        del known["below"]
        copies.append(known | {"decided": copy.content_hash in decided.keep})
    return {"tier": group.tier, "copies": copies, "pairs": [asdict(pair) for pair in group.pairs]}


def _below(found: Duplicates, path: str) -> str:
    """A file's place from the name of its source on."""
    for name, root in found.roots.items():
        if path.startswith(root):
            return f"{name}/{path.removeprefix(root).lstrip('/')}"
    return path.rpartition("/")[2]


def _plan(serving: AppState, tier: str, keep: str) -> Response:
    found = serving.finding.found(serving.generation.id, tier, keep, load_decisions(serving.lake))
    if isinstance(found, str):
        raise ApiError(409, "Running", f"duplicates are still looked for ({found}); ask again", {"Retry-After": "2"})
    named = {"Content-Disposition": f'attachment; filename="imrec-plan-{tier}.json"'}
    return Response(MovePlan.of(found).to_json().encode(), media_type="application/json", headers=named)


def _decide(serving: AppState, decision: Decision) -> dict[str, int]:
    generation = serving.generation
    rows = [serving.row_of(generation, image) for image in decision.images]
    contents = generation.columns("content_hash")["content_hash"].take(rows).to_pylist()
    undo = decision.action.startswith("undo_")
    wanted = 1 if decision.action.endswith("keep") else 2
    if len(contents) != wanted:
        raise ApiError(422, "BadRequest", f"{decision.action} is about {wanted} images; {len(contents)} are given")
    if wanted == 1:
        return _counts(decide(serving.lake, keep=contents[0], undo=undo))
    return _counts(decide(serving.lake, apart=(contents[0], contents[1]), undo=undo))


def _counts(decided: Decisions) -> dict[str, int]:
    return {"keep": len(decided.keep), "apart": len(decided.not_duplicate)}
