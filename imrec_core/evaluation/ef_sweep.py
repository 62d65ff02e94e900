"""Recall@10 and queries per second of each HNSW graph by ef, and the smallest ef that reaches a target recall."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from imrec_core.errors import LakeError
from imrec_core.evaluation.rankers import sample
from imrec_core.features.feature_metric import graph_name
from imrec_core.index.generation import Generation
from imrec_core.index.recall import graph_users, recall_at_10
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import IndexParams, Settings

EFS = (128, 192, 256, 384, 512, 768, 1024)
MAX_QUERIES = 200

_NEAREST = 10
_REPEATS = 3  # measurements of each ef; the fastest counts


@dataclass(frozen=True)
class EfPoint:
    """Recall and speed of an HNSW graph with one ef.

    Attributes:
        graph: `feature:metric`.
        recall: Recall@10 after exact re-ranking; the minimum over the features that take candidates from the graph.
        queries_per_second: In one thread, with exact re-ranking, without decoding and encoding of queries.
        in_use: Whether searches use this ef.
    """

    graph: str
    ef: int
    recall: float
    queries_per_second: float
    in_use: bool


def sweep_ef(
    generation: Generation,
    settings: Settings,
    *,
    queries: int = MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[EfPoint]:
    """Measure every graph with increasing ef, from its number of candidates to 1024.

    A smaller ef would have no effect: hnswlib uses at least the number of rows to return.

    Args:
        settings: Settings of the lake, with the minimum number of candidates of a graph.
        queries: Maximum number of query rows; a fixed random sample.
        progress: Called with a line for each graph.
    """
    rows = sample(generation.live, queries)
    points = []
    for name, graph in generation.graphs.items():
        progress(f"{name}: {len(rows)} queries over {len(generation.live)} images")
        users = graph_users(generation, name).values()
        exact = [generation.exact_nearest(f.name, m, generation.matrix(f.name)[rows], _NEAREST) for f, m in users]
        least = _params(generation, settings, name)[1].candidates
        for ef in sorted({least, graph.ef, *EFS} - set(range(least))):
            recalls, seconds = [], np.inf
            for _ in range(_REPEATS):
                started = time.perf_counter()
                recalls = [
                    recall_at_10(generation, feature, metric, rows, nearest, ef=ef, candidates=max(least, ef // 2))
                    for (feature, metric), nearest in zip(users, exact, strict=True)
                ]
                seconds = min(seconds, time.perf_counter() - started)
            rate = len(rows) * len(recalls) / seconds
            points.append(EfPoint(name, ef, min(recalls), rate, ef == max(graph.ef, least)))
    return points


def tune_ef(
    lake: Lake,
    generation: Generation,
    recall: float,
    *,
    queries: int = MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[EfPoint]:
    """Save in `lake.toml` the smallest ef with which each graph reaches a recall@10; the next build uses it.

    Args:
        recall: Target recall@10, 0 to 1.
        queries, progress: As for `sweep_ef`.

    Raises:
        LakeError: A graph reaches it with no ef; `lake.toml` is unchanged.
    """
    settings = lake.settings()
    measured = sweep_ef(generation, settings, queries=queries, progress=progress)
    chosen, indexes = [], {name: dict(table) for name, table in settings.indexes.items()}
    for name in generation.graphs:
        points = [point for point in measured if point.graph == name]
        smallest = next((point for point in points if point.recall >= recall), None)
        key = _params(generation, settings, name)[0]
        if smallest is None:
            best = max(points, key=lambda point: point.recall)
            raise LakeError(
                f"the graph of {name} reaches recall@10 {best.recall:.4f} at most (at ef {best.ef}), not {recall}; "
                f'raise m or ef_construction under [indexes."{key}"] in lake.toml and run: imrec build'
            )
        chosen.append(smallest)
        indexes.setdefault(key, {})["ef"] = smallest.ef
    lake.save_settings(replace(settings, indexes=indexes))
    return chosen


def _params(generation: Generation, settings: Settings, graph: str) -> tuple[str, IndexParams]:
    """Return the name of a graph in `[indexes]` of `lake.toml`, and its build parameters."""
    facts = generation.graphs[graph]
    feature = generation.feature(facts.feature)
    names = [graph]
    if graph == graph_name(feature, feature.metric):
        names.append(feature.name)
    name = next((name for name in names if name in settings.indexes), names[-1])
    return name, IndexParams.of(name, settings.indexes.get(name, {}))
