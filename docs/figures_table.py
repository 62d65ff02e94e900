"""Figures of `docs/explanation/figures.md`, generated from the measurements of `make bench`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docs.markdown import table

MEASURED = Path("docs/measured.json")

_GRAPH = "500,000 vectors of 1,280 numbers"

FIGURES: Mapping[tuple[str, str], str] = {
    ("large", "raw hnswlib"): "a query of raw hnswlib, at recall@10 of 0.98",
    ("large", "one feature"): "a query of imrec by one feature, ranked exactly",
    ("large", "recall@10, one feature"): "its recall@10",
    ("large", "three features"): "a query by three features",
    ("large", "where keeps 50 %"): "with a condition that keeps 50 %",
    ("large", "where keeps 10 %"): "with a condition that keeps 10 %",
    ("large", "where keeps 1 %"): "with a condition that keeps 1 %",
    ("large", "where keeps 0.1 %"): "with a condition that keeps 0.1 %",
    ("large", "one numpy matmul"): "one numpy matmul over all vectors in float32",
    ("large", "exact"): "an exact search of imrec",
    ("extend", "built whole"): "a generation of 100,000 images, built whole",
    ("extend", "extended by 1 %"): "the same, extended by 1,000 images",
    ("generation", "generation built"): f"a generation of {_GRAPH}, checked and published",
    ("generation", "hnswlib built / generation"): "time of hnswlib for a graph over all numbers, of that time",
    ("generation", "faiss built / generation"): "time of faiss for a graph over all numbers, of that time",
    ("generation", "hnswlib built / generation and PCA"): "time of hnswlib, of that time and PCA",
    ("generation", "faiss built / generation and PCA"): "time of faiss, of that time and PCA",
    ("generation", "query by imrec"): "a query of this generation",
    ("generation", "query by hnswlib"): "a query of hnswlib, at the most recall that it reached",
    ("generation", "query by faiss"): "a query of faiss, at the most recall that it reached",
    ("generation", "memory of imrec"): "memory of imrec, which searches it; most of it are mapped files",
    ("generation", "memory of hnswlib"): "memory of hnswlib",
    ("generation", "memory of faiss"): "memory of faiss",
    ("serve", "by image_id"): "HTTP: 60 hits by `image_id`, one feature",
    ("serve", "by image_id, three features"): "HTTP: 60 hits by `image_id`, three features",
    ("serve", "by upload of 12 megapixels"): "HTTP: an upload of 12 megapixels, read, embedded and searched",
    ("serve", "50 users at once"): "HTTP: searches of 50 users at once, three features",
    ("serve", "users, of the recommender"): "HTTP: the same, of calls from Python by as many threads",
    ("page", "first paint"): "page: until the browser draws it first",
    ("map_page", "open a map of 100,000"): "page: a map of 100,000 points, from a click",
    ("map_page", "open a map of 500,000"): "page: a map of 500,000 points, from a click",
    ("map_page", "frame while panning 500,000"): "page: a frame while it is moved, drawn by the CPU",
}
"""Subject of `make bench` and name of a row → what it says."""

_RECALL = ("query by imrec", "query by hnswlib", "query by faiss")


def figures_table() -> str:
    """Generate a row per figure, with the command that measures it and its day."""
    noted = json.loads(MEASURED.read_text("utf-8"))
    rows = []
    for (subject, name), label in FIGURES.items():
        row = next(row for row in noted["subjects"][subject] if row["name"] == name)
        recall = f", {row['note'].partition(',')[0]}" if name in _RECALL else ""
        day = noted["machines"][subject]["date"][:10]
        rows.append((label, f"{_value(row)}{recall}", f"`make bench ARGS={subject}`", day))
    return table(("what", "measured", "command", "day"), rows)


def _value(row: Mapping[str, Any]) -> str:
    value, unit = row["value"], row["unit"]
    if unit == "MB":
        value, unit = value / 1000, "GB"
    return f"{value:.3g} {unit.replace('×', 'times')}".strip() if value < 1000 else f"{value:,.0f} {unit}"


TABLES: Mapping[str, Callable[[], str]] = {"figures": figures_table}
