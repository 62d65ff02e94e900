"""Measure the recall of HNSW graphs against exact search, and choose the ef that reaches the target recall.

Every measurement passes its own `ef` and number of candidates; concurrent searches keep the stored values.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from imrec_core.features import Feature
from imrec_core.features.feature_metric import graph_name
from imrec_core.features.metrics import Metric
from imrec_core.index import exact_search
from imrec_core.index.generation import Generation, Rows
from imrec_core.index.manifest import HnswIndexInfo
from imrec_core.runtime.cpu import cpu_count

RECALL_FLOOR = 0.95
"""Recall@10 below which a graph is built again with a larger M."""

RECALL_WANTED = 0.99
"""Recall@10 that the choice of ef aims at."""

EFS = (64, 96, 128, 192, 256, 320, 384, 512, 768, 1024)
"""Values of ef tried in turn when a graph is built.

With reduced dims the number of candidates is at least the ef, as candidates cost less than a larger ef
(`tests/benchmarks/graphs.py`). Otherwise it is at least half of it.
"""

CURVE_EFS = (10, 16, 32, 64, 128, 256)
"""Values of ef of a recall curve."""

_NEAREST = 10
_QUERIES, _QUERIES_OF_LARGE = 50, 200
_LARGE = 10_000  # rows from which 50 queries are too few: over 500,000 images, .994 of them was .972 of 200 (2026-12)
_SEED = 20_26


def with_ef_for_recall(generation: Generation, name: str, ef: int = 0) -> HnswIndexInfo:
    """Set a graph's ef to the least of `EFS` that reaches `RECALL_WANTED`, and record its recall.

    All features that use the graph must reach it. If none of `EFS` suffices, the largest is set.

    Args:
        generation: Generation with the graph; it is not changed.
        ef: Only value to measure, with at least half as many candidates; 0 for `EFS`.
    """
    graph = generation.graphs[name]
    queries = _sample_rows(generation, _QUERIES_OF_LARGE if len(generation) >= _LARGE else _QUERIES)
    users = graph_users(generation, name)
    exact = {label: _exact_nearest(generation, f, metric, queries) for label, (f, metric) in users.items()}
    measured = graph
    for tried in (ef,) if ef else EFS:
        count = max(graph.candidates, tried if graph.dims and not ef else tried // 2)
        recall = {
            label: round(recall_at_10(generation, f, metric, queries, exact[label], ef=tried, candidates=count), 4)
            for label, (f, metric) in users.items()
        }
        measured = replace(graph, ef=tried, candidates=count, recall=recall)
        if min(recall.values()) >= RECALL_WANTED:
            break
    return measured


def recall_at_ef(generation: Generation, *, count: int = 20) -> dict[str, list[float]]:
    """Measure recall@10 at each of `CURVE_EFS` for all features that use a graph.

    Takes at most ef candidates from a graph: with more, every smaller ef would give the same recall.

    Args:
        count: Number of query images.
    """
    queries = _sample_rows(generation, count)
    curves: dict[str, list[float]] = {}
    for name, graph in generation.graphs.items():
        opened = generation.with_graphs(generation.graphs)  # holds one loaded graph, not all of them at once
        for label, (feature, metric) in graph_users(generation, name).items():
            exact = _exact_nearest(generation, feature, metric, queries)
            curves[label] = [
                recall_at_10(opened, feature, metric, queries, exact, ef=ef, candidates=min(graph.candidates, ef))
                for ef in CURVE_EFS
            ]
    return curves


def _sample_rows(generation: Generation, count: int) -> Rows:
    return np.random.default_rng(_SEED).permutation(generation.live)[:count]


def _exact_nearest(generation: Generation, feature: Feature, metric: Metric, queries: Rows) -> Rows:
    """Find the 10 nearest rows of each query by exact search, on all cores: each takes some rows, for all queries."""
    matrix = generation.matrix(feature.name)
    bounds = np.linspace(0, len(matrix), min(cpu_count(), len(matrix)) + 1).astype(int)

    def nearest_of(part: slice) -> Rows:
        is_removed = ~generation.is_live[part] if generation.removed else None
        found = exact_search.nearest(metric, matrix[queries], matrix[part], _NEAREST, is_removed=is_removed)
        return np.asarray(part.start + found)

    with ThreadPoolExecutor(cpu_count()) as pool:
        found = np.hstack(list(pool.map(nearest_of, map(slice, bounds[:-1], bounds[1:]))))
    nearest = []
    for query, rows in zip(queries, found, strict=True):
        distances = np.where(generation.is_live[rows], metric(matrix[query], matrix[rows]), np.inf)
        nearest.append(rows[exact_search.smallest(_NEAREST, distances)])
    return np.stack(nearest)


def graph_users(generation: Generation, graph: str) -> Mapping[str, tuple[Feature, Metric]]:
    """List the features and metrics whose recall a graph is measured by.

    They are the features that take candidates from it in their default metric, and the graph's own feature and metric.
    """
    users = {}
    for feature in map(generation.feature, generation.features):
        for metric in feature.metrics:
            is_default = metric == feature.metric
            if generation.graph_of(feature, metric) == graph and (is_default or graph_name(feature, metric) == graph):
                users[feature.name if is_default else graph] = (feature, metric)
    return users


def recall_at_10(
    generation: Generation,
    feature: Feature,
    metric: Metric,
    queries: Rows,
    exact: Rows,
    *,
    ef: int | None = None,
    candidates: int | None = None,
) -> float:
    """Compute the share of the 10 exact nearest rows that search through the graph finds.

    Rows at equal distances count as found.

    Args:
        queries: Query rows `(n,)`.
        exact: Their nearest rows by exact search `(n, 10)`.
        ef: Size of the candidate list; None for the stored one.
        candidates: Rows taken from the graph; None for the stored minimum.
    """
    name = generation.graph_of(feature, metric)
    if name is None:
        return 1.0
    graph = generation.graphs[name]
    count = graph.candidates if candidates is None else candidates
    shares = []
    matrix = generation.matrix(feature.name)
    for row, nearest in zip(queries, exact, strict=True):
        rows = generation.graph_nearest(name, generation.matrix(graph.feature)[row], count, ef=ef)
        distances = np.sort(metric(matrix[row], matrix[rows]))[: len(nearest)]
        limit = metric(matrix[row], matrix[nearest]).max()
        shares.append(float((distances <= limit * (1 + 1e-6) + 1e-6).sum()) / len(nearest))
    return float(np.mean(shares))
