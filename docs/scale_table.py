"""Estimates for lakes of 10 and 100 million images: formulas over the unit costs of the largest size measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from docs.markdown import table
from docs.sizes_tables import Figures, measured, number

_SIZES = (10_000_000, 100_000_000)
_CORES, _DAY = 16, 86_400  # cores of a worker; seconds
_SHARD = 4096

_BUILD, _SEARCHES = "build", "searches in one process"


def unit_costs_table() -> str:
    """Generate the unit costs, with the figure that each follows from."""
    costs = _unit_costs()
    rows = [
        (f"*{symbol}*", meaning, f"{number(costs[symbol])} {unit}")
        for symbol, meaning, unit in _COSTS
        if symbol in costs
    ]
    return table(("cost", "measured as", "value"), rows)


def scale_table() -> str:
    """Generate the formulas with their values for 10 and 100 million images."""
    costs = _unit_costs()
    rows = []
    for what, formula, needed, value, unit in _FORMULAS:
        if needed in costs:
            rows.append((what, f"`{formula}`", *(f"{number(value(images, costs))} {unit}" for images in _SIZES)))
    return table(("what", "formula", *(f"{images:,} images" for images in _SIZES)), rows)


_COSTS = (
    ("n", "images of the largest size measured", "images"),
    ("c", "CPU time of `imrec build` per image", "ms"),
    ("g", "time of the generation (HNSW graphs, calibration) per image, on one machine", "ms"),
    ("b", "bytes of the lake per image: Parquet tables and one generation", "B"),
    ("m", "memory that searches need more per image, beside mapped files, between the two largest sizes", "B"),
)

_FORMULAS: tuple[tuple[str, str, str, Callable[[float, dict[str, float]], float], str], ...] = (
    ("CPU time of a build", "N × c", "c", lambda n, of: n * of["c"] / 3.6e6, "core hours"),
    (
        f"workers of {_CORES} cores that do it within a day",
        f"N × c / ({_CORES} × 24 h)",
        "c",
        lambda n, of: math.ceil(n * of["c"] / 1000 / _CORES / _DAY),
        "workers",
    ),
    ("shards, which are the partitions in Dagster", f"N / {_SHARD}", "n", lambda n, of: n / _SHARD, "shards"),
    ("store", "N × b", "b", lambda n, of: n * of["b"] / 1e9, "GB"),
    ("generation on one machine, if it stays linear", "N × g", "g", lambda n, of: n * of["g"] / 3.6e6, "h"),
    ("memory of a search process, if it stays linear", "N × m", "m", lambda n, of: n * of["m"] / 1e9, "GB"),
)


def _unit_costs() -> dict[str, float]:
    """Return the unit costs by symbol; empty without a build, without memory if only one size was measured."""
    builds = {size: figures for size, figures in measured().items() if _worked(figures, _BUILD)}
    if not builds:
        return {}
    size = max(builds)
    build: dict[str, Any] = builds[size][_BUILD]["results"]
    costs = {
        "n": size,
        "c": build["CPU ms per image"],
        "g": 1000 * build["generation s"] / size,
        "b": 1e6 * build["lake MB"] / size,
    }
    slope = _slope(builds, size)
    return costs if slope is None else costs | {"m": max(slope, 0)}


def _slope(builds: dict[int, Figures], largest: int) -> float | None:
    """Return the bytes of memory that a search process needs more per image, between the two largest sizes."""
    peaks = {size: figures[_SEARCHES]["peak"] for size, figures in builds.items() if _worked(figures, _SEARCHES)}
    smaller = [size for size in peaks if size < largest]
    if not smaller or largest not in peaks:
        return None
    before = max(smaller)
    return (peaks[largest] - peaks[before]) / (largest - before)


def _worked(figures: Figures, name: str) -> bool:
    return name in figures and not figures[name]["note"]
