"""Tables of `docs/explanation/performance.md`, from the measurements of `tests/benchmarks/half_million.py`."""

from __future__ import annotations

import json
import math
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from docs.markdown import table

MEASURED = Path("docs/measured_sizes.json")

WORSE = 1.1
"""Exponent above which a verb grows worse than linear."""

Figures = dict[str, dict[str, Any]]


@cache
def measured() -> dict[int, Figures]:
    """Return the figures of each number of images, by name; empty without their file."""
    if not MEASURED.exists():
        return {}
    sizes = json.loads(MEASURED.read_text("utf-8"))
    return {int(size): {figure["name"]: figure for figure in found["figures"]} for size, found in sizes.items()}


def growth(small: tuple[int, float | None], large: tuple[int, float | None]) -> float | None:
    """Return the exponent by which a value grows between two numbers of images: 1 is linear.

    Args:
        small, large: Number of images, and the value measured there.

    Returns:
        None if a value is missing or is not positive.
    """
    (n, before), (m, after) = small, large
    if not before or not after or before < 0 or after < 0:
        return None
    return math.log(after / before) / math.log(m / n)


def growth_table() -> str:
    """Generate the exponents of time, CPU time and memory of each verb; marked where it grows worse than linear."""
    steps = list(pairwise(measured()))
    heading = ("verb", *(f"{_count(n)} → {_count(m)}: {what}" for n, m in steps for what in ("time", "CPU", "memory")))
    rows = []
    for name in _names():
        cells = [
            _exponent(growth(*((size, _value(size, name, key)) for size in step)))
            for step in steps
            for key in ("seconds", "core_seconds", "peak")
        ]
        if any(cell != "–" for cell in cells):
            rows.append((name, *cells))
    return table(heading, rows)


def _exponent(value: float | None) -> str:
    if value is None:
        return "–"
    return f"**{value:.2f}**" if value > WORSE else f"{value:.2f}"


def sizes_table() -> str:
    """Generate seconds, CPU seconds, peak memory and results of each verb, a column per number of images."""
    heading = ("verb", *(f"{_count(size)} images" for size in measured()))
    return table(heading, ((name, *(_cell(size, name) for size in measured())) for name in _names()))


def targets_table() -> str:
    """Generate each target beside its figure."""
    rows = []
    for name in _names():
        for key, show in (("seconds", _time), ("peak", _bytes)):
            found = {size: measured()[size].get(name) for size in measured()}
            most = [one[f"{key}_at_most"] for one in found.values() if one and one[f"{key}_at_most"] is not None]
            if most:
                cells = (_against_target(one, key) for one in found.values())
                limits = dict.fromkeys(show(limit) for limit in most)
                rows.append((name if key == "seconds" else f"{name}: memory", "; ".join(limits), *cells))
    return table(("what", "at most", *(f"{_count(size)} images" for size in measured())), rows)


def _against_target(figure: dict[str, Any] | None, key: str) -> str:
    if not figure or figure["note"] or figure[key] is None:
        return "–"
    shown = (_time if key == "seconds" else _bytes)(figure[key])
    if key == "seconds" and figure["core_seconds"] is not None:
        shown += f" (CPU {_time(figure['core_seconds'])})"
    most = figure[f"{key}_at_most"]
    return shown if most is None else f"{shown}, met" if figure[key] <= most else f"**{shown}, missed**"


def machines_table() -> str:
    """Generate where and when each number of images was measured, and how busy other processes kept the cores."""
    sizes = json.loads(MEASURED.read_text("utf-8")) if MEASURED.exists() else {}
    rows = []
    for size, found in sizes.items():
        others = median(
            [figure["cores_of_others"] for figure in found["figures"] if "cores_of_others" in figure] or [0]
        )
        facts = found["machine"] | {
            "cores": f"{found['machine']['cores'].split(',')[0]}, {others:.1f} busy with others"
        }
        rows.append((_count(int(size)), *facts.values()))
    return table(("images", "date", "machine", "cores", "versions"), rows)


def in_words(figure: dict[str, Any]) -> str:
    """Describe a figure on one line."""
    return f"{figure['name']}: {_facts(figure)}"


def _cell(size: int, name: str) -> str:
    figure = measured()[size].get(name)
    return _facts(figure) if figure else "–"


def _facts(figure: dict[str, Any]) -> str:
    if figure["note"]:
        return f"{figure['note']} ({_time(figure['seconds'])})".replace("|", "/")
    facts = [_time(figure["seconds"])]
    if figure["core_seconds"] is not None:
        facts.append(f"CPU {_time(figure['core_seconds'])}")
    if figure["peak"]:
        facts.append(_bytes(figure["peak"]))
    results = ", ".join(f"{name} {number(value)}" for name, value in figure["results"].items())
    return ", ".join(facts) + (results and f"; {results}")


def _names() -> list[str]:
    return list(dict.fromkeys(name for figures in measured().values() for name in figures))


def _value(size: int, name: str, key: str) -> float | None:
    figure = measured()[size].get(name)
    return None if figure is None or figure["note"] else figure[key]


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else f"{number(seconds)} s"


def _bytes(value: float) -> str:
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def number(value: float) -> str:
    """Format with three digits, large numbers without exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _count(images: int) -> str:
    return f"{images:,}"
