"""Build and extend the HNSW graphs of a generation; build those again with more links whose recall is too low."""

from __future__ import annotations

import errno
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import LakeError
from imrec_core.features import Feature
from imrec_core.features.feature_metric import FeatureMetric, graph_name
from imrec_core.features.metrics import Metric
from imrec_core.index.exact_search import blocks
from imrec_core.index.generation import Generation
from imrec_core.index.graph_search import empty_index, mark_removed
from imrec_core.index.manifest import HnswIndexInfo, graph_file
from imrec_core.index.recall import _SEED, EFS, RECALL_FLOOR, with_ef_for_recall
from imrec_core.lake.settings import IndexParams
from imrec_core.runtime.cpu import cpu_count

log = logging.getLogger(__name__)

_TIMES_DENSER = 2  # rounds in which links are doubled before a graph is given up
_LARGE = 10_000  # rows from which on a graph may lack some
_TAIL, _TAIL_MOST = 0.02, 4096  # of the rows, and at most: to scan them takes 0.1 ms
_SAMPLE, _HALVINGS, _FROM_EVERYWHERE = 2000, 10, 0.2  # of the order in which a large graph is built
_BLOCK = 16_384

GraphRequest = tuple[FeatureMetric, IndexParams]
Graphs = dict[str, HnswIndexInfo]
"""By `feature:metric`."""


def build_graphs(generation: Generation, requests: tuple[GraphRequest, ...]) -> Graphs:
    """Build the graphs of a generation that has its vectors, and choose the ef of each.

    A graph that misses `RECALL_FLOOR` is built again with twice the links. If that does not help, as with vectors that
    are mostly copies of one another, it is left out: its features are scanned, which is slower and exact.

    Raises:
        LakeError: With the ef that `lake.toml` fixes for it a graph stays below the floor.
    """
    graphs = {str(by): _build(generation, by.feature, by.metric, params) for by, params in requests}
    for by, params in requests:
        name = str(by)
        good = _good_graph(generation, graphs, by.feature, by.metric, params)
        if good is None:
            del graphs[name]
            log.warning("the graph of %s finds too little, however dense; it is scanned instead", name)
        else:
            graphs[name] = good
    return graphs


def extend_graphs(
    generation: Generation, before: Generation, requests: tuple[GraphRequest, ...], kept: int, *, measure: bool
) -> Graphs:
    """Make the graphs of a generation out of those of the one before, to which the rows from `kept` on are new.

    While few rows are not in it, a graph stays the file that it is, and they are scanned beside it: to load, extend and
    write it took four fifths of an extension.

    Args:
        measure: Choose the ef of each again, and build it anew if it finds too little.

    Raises:
        LakeError: As `build_graphs`.
    """
    graphs: Graphs = {}
    for by, params in requests:
        name, feature, metric = str(by), by.feature, by.metric
        if name not in before.graphs:  # left out
            continue
        graph = before.graphs[name]
        unindexed = graph.unindexed_rows + len(generation) - kept
        if not measure and _is_short(unindexed, len(generation)) and _is_shared(before, generation, graph):
            graphs[name] = replace(graph, unindexed_rows=unindexed)
            continue
        graphs[name] = _extend(generation, before, graph, feature, metric, kept)
        if measure:
            good = _good_graph(generation, graphs, feature, metric, params)
            if good is None:
                del graphs[name]
            else:
                graphs[name] = good
    return graphs


def _extend(
    generation: Generation, before: Generation, graph: HnswIndexInfo, feature: Feature, metric: Metric, kept: int
) -> HnswIndexInfo:
    """Write a graph of all rows, made of the one before."""
    matrix = generation.matrix(feature.name)
    index = empty_index(metric, matrix)
    index.load_index(str(before.folder / graph_file(graph)), max_elements=len(matrix))
    inside = kept - graph.unindexed_rows
    mark_removed(index, np.flatnonzero(~generation.is_live[:inside]))
    _add(index, metric, matrix, np.arange(inside, len(matrix)))
    mark_removed(index, inside + np.flatnonzero(~generation.is_live[inside:]))
    graph = replace(graph, unindexed_rows=0)
    _save(index, generation.folder / graph_file(graph))
    return graph


def _is_short(unindexed: int, rows: int) -> bool:
    """Whether so many rows may stay outside a graph, where extending it takes long and scanning them does not."""
    return rows >= _LARGE and unindexed <= min(_TAIL * rows, _TAIL_MOST)


def _is_shared(before: Generation, generation: Generation, graph: HnswIndexInfo) -> bool:
    """Make the file of a graph that of both generations; False where the disk knows no hard links."""
    try:
        os.link(before.folder / graph_file(graph), generation.folder / graph_file(graph))
    except OSError:
        return False
    return True


def _good_graph(
    generation: Generation, graphs: Graphs, feature: Feature, metric: Metric, params: IndexParams
) -> HnswIndexInfo | None:
    """A graph with the least ef that suffices, built again where none does; None where nothing helps.

    Args:
        graphs: All that are built so far: which features a graph is measured by depends on the others.
    """
    name = graph_name(feature, metric)
    for _ in range(_TIMES_DENSER):
        graph = with_ef_for_recall(generation.with_graphs(graphs), name, params.ef)
        if min(graph.recall.values()) >= RECALL_FLOOR:
            return graph
        if params.ef:
            raise LakeError(
                f"the graph of {name} reaches recall@10 {min(graph.recall.values())} at ef {params.ef}, {RECALL_FLOOR} "
                f'is the floor; raise ef under [indexes."{name}"] in lake.toml, or remove it there'
            )
        params = replace(params, m=2 * params.m, ef_construction=2 * params.ef_construction)
        log.info("the graph of %s finds too little; building it with m %d", name, params.m)
        graphs = {**graphs, name: _build(generation, feature, metric, params)}
    graph = with_ef_for_recall(generation.with_graphs(graphs), name)
    if min(graph.recall.values()) >= RECALL_FLOOR:
        return graph
    (generation.folder / graph_file(graph)).unlink()
    return None


def _build(generation: Generation, feature: Feature, metric: Metric, params: IndexParams) -> HnswIndexInfo:
    matrix = generation.matrix(feature.name)
    index = empty_index(metric, matrix)
    index.init_index(len(matrix), M=params.m, ef_construction=params.ef_construction, random_seed=_SEED)
    _add(index, metric, matrix, _insertion_order(metric, matrix))
    mark_removed(index, np.flatnonzero(~generation.is_live))
    graph = HnswIndexInfo(
        feature.name, metric.name, params.m, params.ef_construction, params.ef or EFS[0], params.candidates
    )
    _save(index, generation.folder / graph_file(graph))
    return graph


def _add(index: Any, metric: Metric, matrix: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Add rows, in their order."""
    for some in (rows[first : first + _BLOCK] for first in range(0, len(rows), _BLOCK)):
        index.add_items(metric.lifted(matrix[some]), some, num_threads=cpu_count())


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


def _save(index: Any, path: Path) -> None:
    path.unlink(missing_ok=True)  # never into a file that another generation has too
    index.save_index(str(path))
    if path.stat().st_size != index.index_file_size():  # hnswlib does not look whether its writes went through
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
