"""Maps over HTTP: where the images lie, and what they are coloured by."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from imrec_core.explore import map_names, open_map
from imrec_core.generation import Generation
from imrec_core.web.answers import MapColours, MapPoints, Maps
from imrec_core.web.asking import Name
from imrec_core.web.layouts import Layout
from imrec_core.web.replies import Refused, answer
from imrec_core.web.serving import Serving, why_not

_LABELS = 12
_OTHER, _UNKNOWN = "other", "unknown"
_DAY = 86_400_000_000  # microseconds
_KINDS = (
    "VARCHAR", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "FLOAT", "DOUBLE", "DECIMAL", "DATE", "TIMESTAMP",
)  # fmt: skip
_PLAIN = ("row", "image_id", "path", "shard", "content_hash", "removed")  # nothing to colour by


def routes(serving: Serving) -> APIRouter:
    """Maps that `imrec map` made."""
    router = APIRouter(tags=["maps"])

    @router.get("/api/map", response_model=Maps, responses=why_not())
    async def maps(request: Request) -> Response:
        """The maps there are."""
        return answer(await serving.searched(request, lambda: _maps(serving)))

    @router.get("/api/map/{name}", response_model=MapPoints, responses=why_not(404))
    async def points(request: Request, name: Name) -> Response:
        """Where each image lies; those that are gone since are left out."""
        return await serving.searched(request, lambda: answer(_points(serving, name)))

    @router.get("/api/map/{name}/colours", response_model=MapColours, responses=why_not(400, 404))
    async def colours(request: Request, name: Name, by: Annotated[Name, Query()]) -> Response:
        """A column of the images, in the order of the map."""
        return await serving.searched(request, lambda: answer(_colours(serving, name, by)))

    return router


def _maps(serving: Serving) -> dict[str, Any]:
    generation = serving.generation
    found = [open_map(serving.lake, name, ["row"]) for name in map_names(serving.lake)]
    return {
        "maps": [
            {
                "name": one.name,
                "feature": one.feature,
                "method": one.method,
                "rows": one.table.num_rows,
                "clusters": len(one.clusters),
                "generation": one.generation,
                "is_current": one.generation == generation.id,
            }
            for one in found
        ],
        "colours": ["cluster", *_columns(generation)],
    }


def _columns(generation: Generation) -> list[str]:
    """Columns of the images that they can be coloured by."""
    known = {name: kind for name, kind in generation.filter.columns().items() if name not in (*_PLAIN, "cluster")}
    return ["source", *(name for name, kind in known.items() if name != "source" and kind.partition("(")[0] in _KINDS)]


def _points(serving: Serving, name: str) -> dict[str, Any]:
    layout, generation = serving.layouts.find(name), serving.generation
    there, _ = layout.of(generation)
    ids, cluster = layout.ids[there], layout.cluster[there]
    return {
        "name": name,
        "feature": layout.map.feature,
        "method": layout.map.method,
        "generation": layout.map.generation,
        "count": len(there),
        "x": _encoded(layout.x[there], "<f4"),
        "y": _encoded(layout.y[there], "<f4"),
        "cluster": _encoded(cluster, "<i4"),
        "ids": _encoded(ids, "<u8"),
        "clusters": _clusters(layout, ids, cluster),
    }


def _clusters(layout: Layout, ids: NDArray[np.uint64], cluster: NDArray[np.int32]) -> list[dict[str, Any]]:
    """Those of which images are left; another stands for one that is gone."""
    told = []
    sizes = np.bincount(cluster[cluster >= 0], minlength=max((c.cluster for c in layout.map.clusters), default=0) + 1)
    left = set(ids.tolist())
    for one in layout.map.clusters:
        if not sizes[one.cluster]:
            continue
        image_id = one.image_id
        if int(image_id, 16) not in left:
            image_id = f"{int(ids[np.argmax(cluster == one.cluster)]):016x}"
        told.append(
            {"cluster": one.cluster, "size": int(sizes[one.cluster]), "x": one.x, "y": one.y, "image_id": image_id}
        )
    return told


def _colours(serving: Serving, name: str, by: str) -> dict[str, Any]:
    layout, generation = serving.layouts.find(name), serving.generation
    there, rows = layout.of(generation)
    if by == "cluster":
        numbers = layout.cluster[there]
        return _categories(by, pa.array([None if c < 0 else f"cluster {c}" for c in numbers.tolist()], pa.string()))
    if by not in _columns(generation):
        raise Refused(400, "UnknownName", f"no colour named {by!r}; see `colours` of /api/map")
    column = _column(generation, by).take(pa.array(rows))
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micro = column.cast(pa.timestamp("us")).cast(pa.int64())
        return _numbers(by, "date", micro.to_numpy(zero_copy_only=False).astype(np.float64) / _DAY)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(by, "number", column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return _categories(by, column.cast(pa.string()))


def _column(generation: Generation, name: str) -> pa.Array:
    return generation.columns(name)[name].combine_chunks()


def _categories(by: str, values: pa.Array) -> dict[str, Any]:
    """The most common values, the most common first; then all others, then what is not known."""
    found = values.value_counts().to_pylist()
    counts = {one["values"]: one["counts"] for one in found if one["values"] is not None}
    labels = sorted(counts, key=lambda label: (-counts[label], label))[:_LABELS]
    codes = {label: i for i, label in enumerate(labels)}
    if len(counts) > len(labels):
        labels = [*labels, _OTHER]
    other = len(labels) - 1
    if values.null_count:
        labels = [*labels, _UNKNOWN]
    encoded = values.dictionary_encode()
    of_label = [codes.get(label, other) for label in encoded.dictionary.to_pylist()]
    table = np.array([*of_label, len(labels) - 1], np.uint8)  # the last is for what is not known
    at = encoded.indices.fill_null(len(of_label)).to_numpy(zero_copy_only=False)
    none: dict[str, Any] = {"values": None, "low": None, "high": None}
    return {"by": by, "kind": "category", "labels": labels, "codes": _encoded(table[at], "u1"), **none}


def _numbers(by: str, kind: str, values: NDArray[np.float64]) -> dict[str, Any]:
    values = np.where(np.isfinite(values), values, np.nan)
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (None, None)
    said = {"values": _encoded(values, "<f4"), "low": low, "high": high}
    return {"by": by, "kind": kind, "labels": [], "codes": None, **said}


def _encoded(values: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()
