"""The state of the lake over HTTP: what is fresh and stale, what failed, what was done last."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.storage.files import is_away
from imrec_core.maps import map_names
from imrec_core.sql.views import connect, failures
from imrec_core.status import LakeStatus, lake_status
from imrec_core.web.responses import answer
from imrec_core.web.schemas.status import Status
from imrec_core.web.state import AppState, why_not

_RUNS = 20
_REASONS = 50
_EXAMPLES = 3
_NAMED = ("scan", "extract", "fit", "project", "generation", "check", "failure")  # others note what a person typed


def routes(serving: AppState) -> APIRouter:
    """What is in the lake."""
    router = APIRouter(tags=["lake"])

    @router.get("/api/status", response_model=Status, responses=why_not())
    async def status(request: Request) -> Response:
        """Sources, features, failures and the last runs."""
        return answer(await serving.searched(request, lambda: _status(serving)))

    return router


def _status(serving: AppState) -> dict[str, Any]:
    lake, generation = serving.lake, serving.generation
    found = lake_status(lake)
    return {
        "generation": generation.id,
        "built": str(generation.facts["created"]),
        "rows": len(generation.live),
        "sources": _sources(lake, found),
        "features": [
            {"name": f.name, "fresh": f.fresh_shards, "stale": len(f.stale_shards), "why": "; ".join(f.why)}
            for f in found.features
        ],
        "failures": _failures(serving),
        "runs": _runs(serving),
        "maps": map_names(lake),
    }


def _sources(lake: Lake, found: LakeStatus) -> list[dict[str, Any]]:
    stale = set(found.unread_shards).union(*(feature.stale_shards for feature in found.features))
    shards, roots = lake.live_shards(), lake.settings().sources
    told = []
    for source in found.sources:
        name = source["name"]
        own = {shard for shard in shards if source_of(shard) == name}
        told.append(
            {
                "name": name,
                "reachable": not is_away(roots[name]),
                "images": source["images"],
                "shards": len(own),
                "fresh": len(own - stale),
                "stale": len(own & stale),
            }
        )
    return told


def _failures(serving: AppState) -> dict[str, Any]:
    failed = failures(serving.lake)
    counts = Counter(str(one["error"]) for one in failed)
    reasons = []
    for error, count in counts.most_common(_REASONS):
        which = [f"{one['source']}/{one['path']}" for one in failed if one["error"] == error]
        reasons.append({"error": serving.without_paths(error), "count": count, "examples": which[:_EXAMPLES]})
    return {"total": len(failed), "reasons": reasons}


def _runs(serving: AppState) -> list[dict[str, Any]]:
    found = connect(serving.lake).sql(
        f"SELECT ended, what, name, seconds, rows, stages FROM runs ORDER BY ended DESC LIMIT {_RUNS}"
    )
    return [
        {
            "when": when.isoformat(timespec="seconds") + "Z" if when else None,
            "kind": kind,
            "what": name if kind in _NAMED else "",
            "seconds": seconds,
            "rows": rows,
            "stages": stages or {},
        }
        for when, kind, name, seconds, rows, stages in found.fetchall()
    ]
