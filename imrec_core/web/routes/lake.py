"""Routes of the lake: features, columns and health."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.errors import ImrecError
from imrec_core.index.generation import Generation
from imrec_core.lake import tags
from imrec_core.lake.tags import tag_file
from imrec_core.search.feature_weights import BUILT_IN, mix_weights
from imrec_core.search.likeness import LIKENESS
from imrec_core.web.limits import MAX_ENTRIES, MAX_FILES, MAX_HITS, MAX_REACH
from imrec_core.web.responses import json_response
from imrec_core.web.schemas.lake import FeaturesResponse, HealthResponse
from imrec_core.web.state import AppState, error_responses

_MAX_VALUES = 20

INTERNAL_COLUMNS = ("row", "shard", "removed")
"""Columns of a generation that clients do not see."""


def create_router(state: AppState) -> APIRouter:
    """Create the routes of features and health."""
    router = APIRouter(tags=["lake"])
    columns = functools.lru_cache(2)(_columns)

    @router.get("/api/features", response_model=FeaturesResponse, responses=error_responses(409))
    async def features(request: Request) -> Response:
        """Return the features, mixes, columns and sources that a search may name."""
        return json_response(await state.in_search_queue(request, lambda: _features(state, columns)))

    @router.get("/health", response_model=HealthResponse, responses=error_responses())
    async def health() -> Response:
        """Return the current generation and its age."""
        return json_response(_health(await state.generation_for_health()))

    return router


def _features(state: AppState, columns: Any) -> dict[str, Any]:
    generation, settings = state.generation, state.lake.settings()
    mixes = []
    for name in dict.fromkeys([*settings.mixes, *BUILT_IN]):
        try:
            mixes.append({"name": name, "weights": mix_weights(settings, name, generation.features)})
        except ImrecError:  # the generation has none of its features
            continue
    return {
        "generation": generation.id,
        "rows": len(generation.live),
        "default": generation.default_feature,
        "features": [_feature_info(generation, name) for name in generation.features],
        "mixes": mixes,
        "columns": [_with_values(state, column) for column in columns(generation)],
        "sources": list(settings.sources),
        "likeness": [{"word": word, "max_false_match_rate": rate} for rate, word in LIKENESS],
        "limits": {
            "upload_bytes": state.limits.upload_bytes,
            "files": MAX_FILES,
            "k": MAX_HITS,
            "reach": MAX_REACH,
            "entries": MAX_ENTRIES,
        },
    }


def _feature_info(generation: Generation, name: str) -> dict[str, Any]:
    feature = generation.feature(name)
    return {
        "name": name,
        "kind": feature.group,
        "about": feature.summary,
        "metric": feature.metric.name,
        "metrics": [metric.name for metric in feature.metrics],
        "understands_text": feature.model is not None and feature.model.text,
    }


def _columns(generation: Generation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": kind,
            "values": generation.filter.common_values(name, _MAX_VALUES) if kind == "VARCHAR" else [],
        }
        for name, kind in generation.filter.columns().items()
        if name not in INTERNAL_COLUMNS
    ]


def _with_values(state: AppState, column: dict[str, Any]) -> dict[str, Any]:
    """Return the column of tags with the tags of now as its values, others as they are."""
    if column["name"] != tags.COLUMN:
        return column
    counts = sorted(tag_file(state.lake).read().items(), key=lambda tag: (-len(tag[1]), tag[0]))
    return {**column, "values": [name for name, _ in counts[:_MAX_VALUES]]}


def _health(generation: Generation) -> dict[str, Any]:
    return {"generation": generation.id, "rows": len(generation.live), "age_seconds": _age_seconds(generation)}


def _age_seconds(generation: Generation) -> float:
    created = datetime.fromisoformat(str(generation.facts["created"]))
    now = datetime.fromtimestamp(time.time(), UTC)
    return round((now - (created if created.tzinfo else created.replace(tzinfo=UTC))).total_seconds(), 1)
