"""What can be asked for, and what is known of an image."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.duplicates.decisions import load_decisions
from imrec_core.errors import ImrecError
from imrec_core.index.generation import Generation
from imrec_core.search.feature_weights import MIXES, mix_weights
from imrec_core.web.limits import MOST_FILES, MOST_HITS
from imrec_core.web.responses import answer
from imrec_core.web.schemas.lake import Features, Health, ImageDetail
from imrec_core.web.state import AppState, ImageKey, why_not

_MOST_VALUES = 20
_MOST_COPIES = 100
_INTERNAL = ("row", "shard", "removed")


def routes(serving: AppState) -> APIRouter:
    """What this lake has."""
    router = APIRouter(tags=["lake"])
    columns = functools.lru_cache(2)(_columns)

    @router.get("/api/features", response_model=Features, responses=why_not(409))
    async def features(request: Request) -> Response:
        """What a search may be asked by: features, mixes, columns, sources."""
        return answer(await serving.searched(request, lambda: _features(serving, columns)))

    @router.get("/api/images/{image_id}", response_model=ImageDetail, responses=why_not(404))
    async def image(request: Request, image_id: ImageKey) -> Response:
        """All that is known of an image, its exact copies, and what was decided about it."""
        return answer(await serving.searched(request, lambda: _image(serving, image_id)))

    @router.get("/health", response_model=Health, responses=why_not())
    async def health(request: Request) -> Response:
        """Which generation answers."""
        return answer(await serving.pictured(request, lambda: _health(serving)))

    return router


def _features(serving: AppState, columns: Any) -> dict[str, Any]:
    generation, settings = serving.generation, serving.lake.settings()
    mixes = []
    for name in dict.fromkeys([*settings.mixes, *MIXES]):
        try:
            mixes.append({"name": name, "weights": mix_weights(settings, name, generation.features)})
        except ImrecError:  # none of its features is here
            continue
    return {
        "generation": generation.id,
        "rows": len(generation.live),
        "default": generation.default_feature,
        "features": [
            {
                "name": name,
                "kind": (feature := generation.feature(name)).group,
                "about": feature.summary,
                "metric": feature.metric.name,
                "metrics": [metric.name for metric in feature.metrics],
                "understands_text": feature.model is not None and feature.model.text,
            }
            for name in generation.features
        ],
        "mixes": mixes,
        "columns": columns(generation),
        "sources": list(settings.sources),
        "limits": {"upload_bytes": serving.limits.upload_bytes, "files": MOST_FILES, "k": MOST_HITS},
    }


def _columns(generation: Generation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": kind,
            "values": generation.filter.common_values(name, _MOST_VALUES) if kind == "VARCHAR" else [],
        }
        for name, kind in generation.filter.columns().items()
        if name not in _INTERNAL
    ]


def _image(serving: AppState, image_id: str) -> dict[str, Any]:
    generation = serving.generation
    facts = generation.filter.row(serving.row_of(generation, image_id))
    content, decided = facts["content_hash"], load_decisions(serving.lake)
    apart = {a if b == content else b for a, b in decided.not_duplicate if content in (a, b)}
    copies = generation.filter.images_with_content([content], _MOST_COPIES)
    return {
        "image_id": image_id,
        "source": facts["source"],
        "path": facts["path"],
        "facts": {name: value for name, value in facts.items() if name not in _INTERNAL},
        "copies": [
            {"image_id": other, "source": source, "path": path} for other, source, path in copies if other != image_id
        ],
        "decided": {
            "keep": content in decided.keep,
            "apart": [other for other, _, _ in generation.filter.images_with_content(sorted(apart), _MOST_COPIES)],
        },
    }


def _health(serving: AppState) -> dict[str, Any]:
    generation = serving.generation
    return {"generation": generation.id, "rows": len(generation.live), "age_seconds": age_of(generation)}


def age_of(generation: Generation) -> float:
    """Seconds since a generation was made."""
    made = datetime.fromisoformat(str(generation.facts["created"]))
    now = datetime.fromtimestamp(time.time(), UTC)
    return round((now - (made if made.tzinfo else made.replace(tzinfo=UTC))).total_seconds(), 1)
