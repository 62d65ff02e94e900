"""Route of the state of the lake: fresh and stale shards, failures, and the last runs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.catalog import scan_times
from imrec_core.extraction.failure_kinds import KINDS
from imrec_core.features import known_features
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.storage.files import is_away
from imrec_core.maps import map_names
from imrec_core.sql.views import connect
from imrec_core.status import LakeStatus, lake_status
from imrec_core.web.failed_files import count_by
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
        "features": _features(lake, report),
        "up_to_date": report.up_to_date,
        "scanned": _scanned(lake),
        "waiting": _waiting(report),
        "failures": _failures(state, report),
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


def _features(lake: Lake, report: LakeStatus) -> list[dict[str, Any]]:
    known = known_features(lake)
    return [
        {
            "name": f.name,
            "about": known[f.name].summary if f.name in known else "",
            "fresh": f.fresh_shards,
            "stale": len(f.stale_shards),
            "why": "; ".join(f.why),
        }
        for f in report.features
    ]


def _scanned(lake: Lake) -> str | None:
    """Return the time of the last scan of all sources: the oldest of their last ones."""
    times, sources = scan_times.read(lake), lake.settings().sources
    return min((times[name] for name in sources if name in times), default=None)


def _waiting(report: LakeStatus) -> dict[str, int]:
    waiting = report.waiting_images
    return {"images": waiting.images, "new": waiting.images - waiting.searchable, "away": sum(report.waiting.values())}


def _failures(state: AppState, report: LakeStatus) -> dict[str, Any]:
    failed = state.failed_files.all()
    paths: dict[str, list[str]] = defaultdict(list)
    for one in failed:
        paths[one.error].append(f"{one.source}/{one.path}")
    common = sorted(paths.items(), key=lambda item: -len(item[1]))[:_MAX_REASONS]
    kinds = count_by(failed, "kind")
    return {
        "total": len(failed),
        "marked": report.retried,
        "kinds": [{"kind": key, "title": KINDS[key].title, "files": files} for key, files in kinds.items()],
        "reasons": [
            {"error": state.redact_paths(error), "count": len(some), "examples": some[:_MAX_EXAMPLES]}
            for error, some in common
        ],
    }


def _runs(state: AppState) -> list[dict[str, Any]]:
    runs = connect(state.lake).sql(
        f"SELECT ended, what, name, seconds, rows, stages FROM runs WHERE what <> 'search' "
        f"ORDER BY ended DESC LIMIT {_MAX_RUNS}"
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
