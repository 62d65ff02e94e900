"""Searching an open recommender: how long, and how much the graphs miss."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from imrec_core.search import Hits, ImageId, Recommender
from tests.benchmarks.rows import Row
from tests.benchmarks.workplace import Workplace

_QUERIES = 200
_K = 10
_THREE = ("efficientnet_lite0", "hsv_histogram", "phash")


def measure(work: Workplace) -> list[Row]:
    """Median and 95th percentile of each way to ask, in turns, after one round that opens what is opened once."""
    rec = Recommender.open(work.lake)
    rows = rec.generation.rows
    chosen = np.random.default_rng(0).permutation(len(rows))[:_QUERIES]
    asked = rows.select(["image_id", "path"]).take(chosen).to_pylist()
    large = int(np.percentile(rows["byte_size"].to_numpy(), 90))
    ways: dict[str, Callable[[dict[str, str]], Hits]] = {
        "by ImageId": lambda row: rec.search(ImageId(row["image_id"]), k=_K),
        "by file": lambda row: rec.search(work.many / row["path"], k=_K),
        "by ImageId, three features": lambda row: rec.search(ImageId(row["image_id"]), k=_K, by=_THREE),
        "by ImageId, where keeps 10 %": lambda row: rec.search(
            ImageId(row["image_id"]), k=_K, where=f"byte_size >= {large}"
        ),
        "by ImageId, exact": lambda row: rec.search(ImageId(row["image_id"]), k=_K, exact=True),
    }
    started = time.perf_counter()
    ways["by ImageId"](asked[0])
    first = time.perf_counter() - started
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for name in ways:
        ways[name](asked[-1])
    for row in asked:
        for name, search in ways.items():
            started = time.perf_counter()
            search(row)
            spent[name].append(1000 * (time.perf_counter() - started))
    limits = {"by ImageId": 2.0, "by file": 30.0}
    return [
        Row("rows", len(rec), note=f"{_QUERIES} queries each, k = {_K}"),
        Row("first search after opening", 1000 * first, "ms"),
        *(_row(name, times, limits.get(name)) for name, times in spent.items()),
        *(Row(f"recall@{_K}, {name}", _recall(rec, name, asked), at_least=0.95) for name in _THREE),
    ]


def _row(name: str, times: list[float], limit: float | None) -> Row:
    return Row(
        name, float(np.median(times)), "ms", at_most=limit, note=f"95th percentile {np.percentile(times, 95):.2f}"
    )


def _recall(rec: Recommender, name: str, asked: list[dict[str, Any]]) -> float:
    """Share of the exactly nearest that the default search finds; equal distances count as found."""
    found = []
    for row in asked:
        query = ImageId(row["image_id"])
        limit = max(hit.parts[name].distance for hit in rec.search(query, k=_K, by=name, exact=True))
        hits = rec.search(query, k=_K, by=name)
        found.append(np.mean([hit.parts[name].distance <= limit * (1 + 1e-6) + 1e-6 for hit in hits]))
    return float(np.mean(found))
