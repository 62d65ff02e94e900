"""Recall@10 and queries per second of each HNSW graph over `ef`, and the least ef that reaches a wanted recall."""

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
_TIMES = 3


@dataclass(frozen=True)
class EfPoint:
    """A graph queried with one ef.

    Attributes:
        graph: `feature:metric`.
        recall: Recall@10 after exact re-ranking, the least of those of all features that take candidates from it.
        queries_per_second: Of one thread, graph and exact re-ranking; not decoding and embedding a query.
        in_use: Searches query it with this ef.
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
    """Measure every graph at one ef after another, from the number of its candidates to 1024.

    An ef below the number of candidates would change nothing: hnswlib takes at least the number of rows that it is to
    return.

    Args:
        settings: Of the lake; they say how many candidates a graph gives at least.
        queries: Rows that are queried with, at most; always the same.
        progress: Told which graph is measured.
    """
    rows = sample(generation.live, queries)
    found = []
    for name, graph in generation.graphs.items():
        progress(f"{name}: {len(rows)} queries over {len(generation.live)} images")
        users = graph_users(generation, name).values()
        exact = [generation.exact_nearest(f.name, m, generation.matrix(f.name)[rows], _NEAREST) for f, m in users]
        least = _params(generation, settings, name)[1].candidates
        for ef in sorted({least, graph.ef, *EFS} - set(range(least))):
            recalls, seconds = [], np.inf
            for _ in range(_TIMES):
                started = time.perf_counter()
                recalls = [
                    recall_at_10(generation, feature, metric, rows, nearest, ef=ef, candidates=max(least, ef // 2))
                    for (feature, metric), nearest in zip(users, exact, strict=True)
                ]
                seconds = min(seconds, time.perf_counter() - started)
            rate = len(rows) * len(recalls) / seconds
            found.append(EfPoint(name, ef, min(recalls), rate, ef == max(graph.ef, least)))
    return found


def tune_ef(
    lake: Lake,
    generation: Generation,
    recall: float,
    *,
    queries: int = MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[EfPoint]:
    """Set in `lake.toml` the least ef at which each graph reaches a recall@10; the next build uses it.

    Raises:
        LakeError: A graph does not reach it at any ef; then nothing is written.
    """
    settings = lake.settings()
    measured = sweep_ef(generation, settings, queries=queries, progress=progress)
    chosen, indexes = [], {name: dict(table) for name, table in settings.indexes.items()}
    for name in generation.graphs:
        of_graph = [row for row in measured if row.graph == name]
        enough = next((row for row in of_graph if row.recall >= recall), None)
        key = _params(generation, settings, name)[0]
        if enough is None:
            best = max(of_graph, key=lambda row: row.recall)
            raise LakeError(
                f"the graph of {name} reaches recall@10 {best.recall:.4f} at most (at ef {best.ef}), not {recall}; "
                f'raise m or ef_construction under [indexes."{key}"] in lake.toml and run: imrec build'
            )
        chosen.append(enough)
        indexes.setdefault(key, {})["ef"] = enough.ef
    lake.save_settings(replace(settings, indexes=indexes))
    return chosen


def _params(generation: Generation, settings: Settings, graph: str) -> tuple[str, IndexParams]:
    """What `lake.toml` calls a graph, and how it is to be built."""
    facts = generation.graphs[graph]
    feature = generation.feature(facts.feature)
    names = [graph]
    if graph == graph_name(feature, feature.metric):
        names.append(feature.name)
    name = next((name for name in names if name in settings.indexes), names[-1])
    return name, IndexParams.of(name, settings.indexes.get(name, {}))
