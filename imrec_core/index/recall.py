"""Measure the recall of HNSW graphs against exact search, and choose the ef that reaches the wanted recall.

Measuring passes `ef` and the number of candidates with every query; what searches use meanwhile stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imrec_core.features import Feature
from imrec_core.features.feature_metric import graph_name
from imrec_core.features.metrics import Metric
from imrec_core.index.generation import Generation
from imrec_core.index.manifest import HnswIndexInfo
from imrec_core.runtime.cpu import cpu_count

_SEED = 20_26


RECALL_FLOOR = 0.95
RECALL_WANTED = 0.99

EFS = (64, 128, 256, 512, 1024)
"""Tried in turn when a graph is built."""

CURVE_EFS = (10, 16, 32, 64, 128, 256)
"""At which a curve of recall is drawn."""

_QUERIES = 50
_SEED = 20_26


def with_ef_for_recall(generation: Generation, name: str, ef: int = 0) -> HnswIndexInfo:
    """Set a graph's ef to the least of `EFS` at which all that use it reach `RECALL_WANTED`, and record their recall.

    Args:
        generation: With the graph; it stays as it is.
        ef: Measure at this one alone.
    """
    graph = generation.graphs[name]
    queries = np.random.default_rng(_SEED).permutation(generation.live)[:_QUERIES]
    users = graph_users(generation, name)
    exact = {label: _exact(generation, f, metric, queries) for label, (f, metric) in users.items()}
    measured = graph
    for tried in (ef,) if ef else EFS:
        count = max(graph.candidates, tried // 2)
        recall = {
            label: round(recall_at_10(generation, f, metric, queries, exact[label], ef=tried, candidates=count), 4)
            for label, (f, metric) in users.items()
        }
        measured = replace(graph, ef=tried, candidates=count, recall=recall)
        if min(recall.values()) >= RECALL_WANTED:
            break
    return measured


def recall_at_ef(generation: Generation, *, count: int = 20) -> dict[str, list[float]]:
    """Recall@10 of all that use a graph, at each of `CURVE_EFS`, on a few of the images.

    No more candidates are taken than ef, since every lower ef would give the same.
    """
    queries = np.random.default_rng(_SEED).permutation(generation.live)[:count]
    curves: dict[str, list[float]] = {}
    for name, graph in generation.graphs.items():
        for label, (feature, metric) in graph_users(generation, name).items():
            exact = _exact(generation, feature, metric, queries)
            curves[label] = [
                recall_at_10(generation, feature, metric, queries, exact, ef=ef, candidates=min(graph.candidates, ef))
                for ef in CURVE_EFS
            ]
    return curves


def _exact(generation: Generation, feature: Feature, metric: Metric, queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """The 10 nearest rows of each query, looked for by all cores."""
    vectors = generation.matrix(feature.name)[queries]
    with ThreadPoolExecutor(cpu_count()) as pool:
        parts = np.array_split(vectors, min(cpu_count(), len(vectors)))
        return np.concatenate(list(pool.map(lambda part: generation.scan(feature.name, metric, part, 10), parts)))


def graph_users(generation: Generation, graph: str) -> Mapping[str, tuple[Feature, Metric]]:
    """What a graph gives candidates for and is measured by: features in their default metric, and its own."""
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
    queries: NDArray[np.int64],
    exact: NDArray[np.int64],
    *,
    ef: int | None = None,
    candidates: int | None = None,
) -> float:
    """Share of the 10 exactly nearest rows that search through the graph finds; equal distances count as found.

    Args:
        queries: Rows asked for, `(n,)`.
        exact: Their nearest rows, `(n, 10)`.
        ef: Size of the candidate list; None for that which searches use.
        candidates: Rows taken from the graph; None for as many as the graph gives at least.
    """
    name = generation.graph_of(feature, metric)
    if name is None:
        return 1.0
    graph = generation.graphs[name]
    count = graph.candidates if candidates is None else candidates
    found = []
    matrix = generation.matrix(feature.name)
    for row, nearest in zip(queries, exact, strict=True):
        rows = generation.from_graph(name, generation.matrix(graph.feature)[row], count, ef=ef)
        distances = np.sort(metric(matrix[row], matrix[rows]))[: len(nearest)]
        limit = metric(matrix[row], matrix[nearest]).max()
        found.append(float((distances <= limit * (1 + 1e-6) + 1e-6).sum()) / len(nearest))
    return float(np.mean(found))
