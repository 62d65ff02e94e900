"""Build HNSW graphs, measure what they find, and make those denser that find too little."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import LakeError
from imrec_core.features import Feature
from imrec_core.features.feature_metric import FeatureMetric, graph_name
from imrec_core.generation import Generation, GraphFacts, graph_file, mark_removed
from imrec_core.machine import cpu_count
from imrec_core.metrics import Metric
from imrec_core.scan import blocks
from imrec_core.settings import IndexParams

log = logging.getLogger(__name__)

RECALL_FLOOR = 0.95
RECALL_WANTED = 0.99

_EFS = (64, 128, 256, 512, 1024)
CURVE_EFS = (10, 16, 32, 64, 128, 256)
_QUERIES = 50
_TIMES_DENSER = 2  # rounds in which links are doubled before a graph is given up
_LARGE = 10_000  # rows from which on a graph may lack some
_TAIL, _TAIL_MOST = 0.02, 4096  # of the rows, and at most: to scan them takes 0.1 ms
_SAMPLE, _HALVINGS, _FROM_EVERYWHERE = 2000, 10, 0.2  # of the order in which a large graph is built
_SEED = 20_26
_BLOCK = 16_384

GraphRequest = tuple[FeatureMetric, IndexParams]


def build_graphs(generation: Generation, asked: tuple[GraphRequest, ...]) -> None:
    """Build the graphs of a generation that has its vectors, and search each as broadly as it must be.

    A graph that misses `RECALL_FLOOR` is built again with twice the links. If that does not help, as with vectors that
    are mostly copies of one another, it is left out: its features are scanned, which is slower and exact.

    Raises:
        LakeError: With the breadth that `lake.toml` fixes for it a graph stays below the floor.
    """
    for by, params in asked:
        generation.use_graph(str(by), _build(generation, by.feature, by.metric, params))
    for by, params in asked:
        name = str(by)
        generation.use_graph(name, _good_graph(generation, by.feature, by.metric, params))
        if name not in generation.graphs:
            log.warning("the graph of %s finds too little, however dense; it is scanned instead", name)


def extend_graphs(
    generation: Generation, before: Generation, asked: tuple[GraphRequest, ...], kept: int, *, measure: bool
) -> None:
    """Make the graphs of a generation out of those of the one before, to which the rows from `kept` on are new.

    While few rows are not in it, a graph stays the file that it is, and they are scanned beside it: to load, extend and
    write it took four fifths of an extension.

    Args:
        measure: Look again how broadly each must be searched, and build it anew if it finds too little.

    Raises:
        LakeError: As `build_graphs`.
    """
    for by, params in asked:
        name, feature, metric = str(by), by.feature, by.metric
        if name not in before.graphs:  # left out
            continue
        facts = before.graphs[name]
        tail = facts.tail + len(generation) - kept
        if not measure and _is_short(tail, len(generation)) and _is_shared(before, generation, facts):
            generation.use_graph(name, replace(facts, tail=tail))
            continue
        matrix = generation.matrix(feature.name)
        graph = _empty(metric, matrix)
        graph.load_index(str(before.folder / graph_file(facts)), max_elements=len(matrix))
        inside = kept - facts.tail
        mark_removed(graph, np.flatnonzero(~generation.is_live[:inside]))
        _add(graph, metric, matrix, np.arange(inside, len(matrix)))
        mark_removed(graph, inside + np.flatnonzero(~generation.is_live[inside:]))
        facts = replace(facts, tail=0)
        _save(graph, generation.folder / graph_file(facts))
        generation.use_graph(name, facts)
        if measure:
            generation.use_graph(name, _good_graph(generation, feature, metric, params))


def _is_short(tail: int, rows: int) -> bool:
    """Whether so many rows may stay outside a graph, where extending it takes long and scanning them does not."""
    return rows >= _LARGE and tail <= min(_TAIL * rows, _TAIL_MOST)


def _is_shared(before: Generation, generation: Generation, graph: GraphFacts) -> bool:
    """Make the file of a graph that of both generations; False where the disk knows no hard links."""
    try:
        os.link(before.folder / graph_file(graph), generation.folder / graph_file(graph))
    except OSError:
        return False
    return True


def _good_graph(generation: Generation, feature: Feature, metric: Metric, params: IndexParams) -> GraphFacts | None:
    """The graph with the least breadth that does, built again where none does; None where nothing helps."""
    name = graph_name(feature, metric)
    for _ in range(_TIMES_DENSER):
        graph = searched_well(generation, name, params.ef)
        if min(graph.recall.values()) >= RECALL_FLOOR:
            return graph
        if params.ef:
            raise LakeError(
                f"the graph of {name} reaches recall@10 {min(graph.recall.values())} at ef {params.ef}, {RECALL_FLOOR} "
                f'is the floor; raise ef under [indexes."{name}"] in lake.toml, or remove it there'
            )
        params = replace(params, m=2 * params.m, ef_construction=2 * params.ef_construction)
        log.info("the graph of %s finds too little; building it with m %d", name, params.m)
        generation.use_graph(name, _build(generation, feature, metric, params))
    graph = searched_well(generation, name)
    if min(graph.recall.values()) >= RECALL_FLOOR:
        return graph
    (generation.folder / graph_file(graph)).unlink()
    return None


def _build(generation: Generation, feature: Feature, metric: Metric, params: IndexParams) -> GraphFacts:
    matrix = generation.matrix(feature.name)
    graph = _empty(metric, matrix)
    graph.init_index(len(matrix), M=params.m, ef_construction=params.ef_construction, random_seed=_SEED)
    _add(graph, metric, matrix, _insertion_order(metric, matrix))
    mark_removed(graph, np.flatnonzero(~generation.is_live))
    facts = GraphFacts(
        feature.name, metric.name, params.m, params.ef_construction, params.ef or _EFS[0], params.candidates
    )
    _save(graph, generation.folder / graph_file(facts))
    return facts


def _empty(metric: Metric, matrix: NDArray[Any]) -> Any:
    return hnswlib.Index(space=metric.space, dim=metric.lifted(matrix[:1]).shape[1])


def _add(graph: Any, metric: Metric, matrix: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Add rows, in their order."""
    for some in (rows[first : first + _BLOCK] for first in range(0, len(rows), _BLOCK)):
        graph.add_items(metric.lifted(matrix[some]), some, num_threads=cpu_count())


def _insertion_order(metric: Metric, matrix: NDArray[Any]) -> NDArray[np.int64]:
    """All rows in the order in which a large graph is built fastest: some from everywhere, then region by region.

    What a row is compared with is then mostly in the cache: 200,000 rows of 128 numbers took 4.3 s instead of 7.2. By
    regions alone they took as long, but the graph found less; the first ones, at random, are the links between regions.
    A region is where a row lies on each of the first principal components of a sample; those that follow one another
    differ in one of them (Gray 1953).
    """
    count = len(matrix)
    if count < _LARGE:
        return np.arange(count)
    rng = np.random.default_rng(_SEED)
    sample = metric.lifted(matrix[np.sort(rng.choice(count, min(_SAMPLE, count), replace=False))])
    middle = sample.mean(axis=0)
    directions = np.linalg.svd(sample - middle, full_matrices=False)[2][:_HALVINGS].T
    sides = [(metric.lifted(block) - middle) @ directions > 0 for _, block in blocks(matrix)]
    gray = np.bitwise_xor.accumulate(np.concatenate(sides), axis=1)
    order = np.argsort(gray @ (1 << np.arange(gray.shape[1])[::-1]), kind="stable")
    is_first = np.zeros(count, np.bool_)
    is_first[rng.choice(count, int(_FROM_EVERYWHERE * count), replace=False)] = True
    return np.concatenate([np.flatnonzero(is_first), order[~is_first[order]]])


def _save(graph: Any, path: Path) -> None:
    path.unlink(missing_ok=True)  # never into a file that another generation has too
    graph.save_index(str(path))
    if path.stat().st_size != graph.index_file_size():  # hnswlib does not look whether its writes went through
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


# -- measuring ----------------------------------------------------------------------------------------------


def searched_well(generation: Generation, name: str, ef: int = 0) -> GraphFacts:
    """A graph with the least breadth at which all that use it reach `RECALL_WANTED`, or with that of `ef`."""
    graph = generation.graphs[name]
    queries = np.random.default_rng(_SEED).permutation(generation.live)[:_QUERIES]
    users = graph_users(generation, name)
    exact = {label: _exact(generation, f, metric, queries) for label, (f, metric) in users.items()}
    for breadth in (ef,) if ef else _EFS:
        generation.graphs[name] = replace(graph, ef=breadth, candidates=max(graph.candidates, breadth // 2))
        recall = {
            label: round(recall_at_10(generation, f, metric, queries, exact[label]), 4)
            for label, (f, metric) in users.items()
        }
        generation.graphs[name] = replace(generation.graphs[name], recall=recall)
        if min(recall.values()) >= RECALL_WANTED:
            break
    return generation.graphs[name]


def recall_by_breadth(generation: Generation, *, count: int = 20) -> dict[str, list[float]]:
    """Recall@10 of all that use a graph, at each of `CURVE_EFS`, on a few of the images.

    No more candidates are taken than a search is broad, or breadths below that many would all be the same.
    """
    queries = np.random.default_rng(_SEED).permutation(generation.live)[:count]
    curves: dict[str, list[float]] = {}
    for name, graph in list(generation.graphs.items()):
        for label, (feature, metric) in graph_users(generation, name).items():
            exact = _exact(generation, feature, metric, queries)
            curves[label] = []
            for ef in CURVE_EFS:
                generation.graphs[name] = replace(graph, ef=ef, candidates=min(graph.candidates, ef))
                curves[label].append(recall_at_10(generation, feature, metric, queries, exact))
            generation.graphs[name] = graph
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
    generation: Generation, feature: Feature, metric: Metric, queries: NDArray[np.int64], exact: NDArray[np.int64]
) -> float:
    """Share of the 10 exactly nearest rows that search through the graph finds; equal distances count as found.

    Args:
        queries: Rows asked for, `(n,)`.
        exact: Their nearest rows, `(n, 10)`.
    """
    name = generation.graph_of(feature, metric)
    if name is None:
        return 1.0
    graph = generation.graphs[name]
    found = []
    matrix = generation.matrix(feature.name)
    for row, nearest in zip(queries, exact, strict=True):
        candidates = generation.from_graph(name, generation.matrix(graph.feature)[row], graph.candidates)
        distances = np.sort(metric(matrix[row], matrix[candidates]))[: len(nearest)]
        limit = metric(matrix[row], matrix[nearest]).max()
        found.append(float((distances <= limit * (1 + 1e-6) + 1e-6).sum()) / len(nearest))
    return float(np.mean(found))
