"""Route of the state of the lake: fresh and stale shards, failures, and the last runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.storage.files import is_away
from imrec_core.maps import map_names
from imrec_core.sql.views import connect, failures
from imrec_core.status import LakeStatus, lake_status
from imrec_core.web.responses import json_response
from imrec_core.web.schemas.status import StatusResponse
from imrec_core.web.state import AppState, error_responses

_MAX_RUNS = 20
_MAX_REASONS = 50
_MAX_EXAMPLES = 3
# Entries of other kinds have as their name what a user typed.
_KINDS_WITH_NAME = ("scan", "extract", "fit", "project", "generation", "check", "failure")


def create_router(state: AppState) -> APIRouter:
    """Create the route of the status."""
    router = APIRouter(tags=["lake"])

    @router.get("/api/status", response_model=StatusResponse, responses=error_responses())
    async def status(request: Request) -> Response:
        """Return sources, features, failures and the last runs."""
        return json_response(await state.in_search_queue(request, lambda: _status(state)))

    return router


def _status(state: AppState) -> dict[str, Any]:
    lake, generation = state.lake, state.generation
    report = lake_status(lake)
    return {
        "generation": generation.id,
        "built": str(generation.facts["created"]),
        "rows": len(generation.live),
        "sources": _sources(lake, report),
        "features": [
            {"name": f.name, "fresh": f.fresh_shards, "stale": len(f.stale_shards), "why": "; ".join(f.why)}
            for f in report.features
        ],
        "failures": _failures(state),
        "not_read": [asdict(kind) for kind in report.not_read],
        "runs": _runs(state),
        "maps": map_names(lake),
    }


def _sources(lake: Lake, report: LakeStatus) -> list[dict[str, Any]]:
    stale = set(report.unread_shards).union(*(feature.stale_shards for feature in report.features))
    shards, roots = lake.live_shards(), lake.settings().sources
    sources = []
    for source in report.sources:
        name = source["name"]
        own = {shard for shard in shards if source_of(shard) == name}
        sources.append(
            {
                "name": name,
                "reachable": not is_away(roots[name]),
                "images": source["images"],
                "shards": len(own),
                "fresh": len(own - stale),
                "stale": len(own & stale),
            }
        )
    return sources


def _failures(state: AppState) -> dict[str, Any]:
    failed = failures(state.lake)
    counts = Counter(str(one["error"]) for one in failed)
    reasons = []
    for error, count in counts.most_common(_MAX_REASONS):
        paths = [f"{one['source']}/{one['path']}" for one in failed if one["error"] == error]
        reasons.append({"error": state.redact_paths(error), "count": count, "examples": paths[:_MAX_EXAMPLES]})
    return {"total": len(failed), "reasons": reasons}


def _runs(state: AppState) -> list[dict[str, Any]]:
    runs = connect(state.lake).sql(
        f"SELECT ended, what, name, seconds, rows, stages FROM runs ORDER BY ended DESC LIMIT {_MAX_RUNS}"
    )
    return [
        {
            "when": when.isoformat(timespec="seconds") + "Z" if when else None,
            "kind": kind,
            "what": name if kind in _KINDS_WITH_NAME else "",
            "seconds": seconds,
            "rows": rows,
            "stages": stages or {},
        }
        for when, kind, name, seconds, rows, stages in runs.fetchall()
    ]
