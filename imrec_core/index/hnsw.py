"""Build and extend the HNSW graphs of a generation; build those with low recall again with a larger M."""

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
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.searched import is_embedding
from imrec_core.index.exact_search import blocks
from imrec_core.index.generation import Generation, Rows
from imrec_core.index.graph_search import empty_index, load_graph, mark_removed
from imrec_core.index.graph_space import GraphSpace, reduced_space
from imrec_core.index.manifest import HnswIndexInfo, axes_file_name, graph_file_name, graph_files
from imrec_core.index.recall import EFS, RECALL_FLOOR, RECALL_WANTED, with_ef_for_recall
from imrec_core.lake.settings import IndexParams
from imrec_core.runtime.cpu import cpu_count
from imrec_core.runtime.timing import timed

log = logging.getLogger(__name__)

_MAX_DOUBLINGS = 2  # of M, before a graph is left out
EF_CONSTRUCTION = 100
"""ef_construction of a graph for which `lake.toml` sets none."""

# The same for a graph of reduced dims that is of no embedding. Over 60,000 images it takes .4 of the time for 100, and
# recall@10 is .002 lower at most; that of content vectors would be .01 lower (`tests/benchmarks/graphs.py`, 2026-12).
_OF_REDUCED = 48
_LARGE = 10_000  # rows from which a graph may have unindexed rows, and the order of insertion matters
_MAX_UNINDEXED_SHARE, _MAX_UNINDEXED = 0.02, 4096  # rows outside a graph; an exact scan of them takes 0.1 ms
_SAMPLE, _DIRECTIONS, _SCATTERED = 2000, 10, 0.2  # for the insertion order of a large graph
_BLOCK = 16_384
_SEED = 20_26

GraphRequest = tuple[FeatureMetric, IndexParams]
Graphs = dict[str, HnswIndexInfo]
"""By `feature:metric`."""


def build_graphs(generation: Generation, requests: tuple[GraphRequest, ...]) -> Graphs:
    """Build the graphs of a generation that has its vectors, and choose the ef of each.

    A graph of reduced dims that does not reach `RECALL_WANTED` is built again over all dims; see `graph_space`. A graph
    below `RECALL_FLOOR` is built again with twice the M. If that does not suffice, as for vectors that are
    mostly equal, the graph is left out, and searches use exact search, which is slower.

    Raises:
        LakeError: A graph is below the floor at the ef that `lake.toml` sets.
    """
    graphs = {str(by): _build(generation, by, params) for by, params in requests}
    for by, params in requests:
        _tune(generation, graphs, by, params)
        if str(by) not in graphs:
            log.warning(
                "%s: HNSW recall@10 is below %s even at %d times the M; searches will use an exact scan",
                *(by, RECALL_FLOOR, 2**_MAX_DOUBLINGS),
            )
    return graphs


def extend_graphs(
    generation: Generation, previous: Generation, requests: tuple[GraphRequest, ...], kept: int, *, measure: bool
) -> Graphs:
    """Make the graphs of a generation from those of the previous one; rows from `kept` on are new.

    While few rows are unindexed, the file of a graph is shared without change, and searches compare with these rows
    exactly. Loading, extending and writing graphs took four fifths of the time of an extension.

    Args:
        measure: Choose the ef of each graph again, and build graphs with low recall again.

    Raises:
        LakeError: As for `build_graphs`.
    """
    graphs: Graphs = {}
    for by, params in requests:
        name = str(by)
        if name not in previous.graphs:
            if name in previous.facts["graphs"]:  # damaged; others were left out for their recall
                graphs[name] = _build(generation, by, params)
                _tune(generation, graphs, by, params)
            continue
        graph = previous.graphs[name]
        unindexed = graph.unindexed_rows + len(generation) - kept
        if not measure and _may_stay_unindexed(unindexed, len(generation)) and _link(previous, generation, graph):
            graphs[name] = replace(graph, unindexed_rows=unindexed)
            continue
        with timed(f"graph {by}"):
            graphs[name] = _extend(generation, previous, graph, by, kept)
        if measure:
            _tune(generation, graphs, by, params)
    return graphs


def _extend(
    generation: Generation, previous: Generation, graph: HnswIndexInfo, by: FeatureMetric, kept: int
) -> HnswIndexInfo:
    """Load a graph of the previous generation, add all unindexed rows, and write it."""
    matrix = generation.matrix(by.feature.name)
    loaded = load_graph(previous.files, graph, matrix, max_rows=len(matrix))
    index, space = loaded.index, loaded.space
    indexed = kept - graph.unindexed_rows
    mark_removed(index, np.flatnonzero(~generation.is_live[:indexed]))
    _add(index, space, matrix, np.arange(indexed, len(matrix)))
    mark_removed(index, indexed + np.flatnonzero(~generation.is_live[indexed:]))
    graph = replace(graph, unindexed_rows=0)
    _save(index, generation.folder / graph_file_name(graph))
    space.save_axes(generation.folder / axes_file_name(graph))
    return graph


def _may_stay_unindexed(unindexed: int, rows: int) -> bool:
    """Return whether rows may stay outside a graph: scanning them is fast, extending the graph is slow."""
    return rows >= _LARGE and unindexed <= min(_MAX_UNINDEXED_SHARE * rows, _MAX_UNINDEXED)


def _link(previous: Generation, generation: Generation, graph: HnswIndexInfo) -> bool:
    """Share the files of a graph by hard links; return False if the disk does not support them."""
    try:
        for name in graph_files(graph):
            os.link(previous.folder / name, generation.folder / name)
    except OSError:
        return False
    return True


def _tune(generation: Generation, graphs: Graphs, by: FeatureMetric, params: IndexParams) -> None:
    """Set the ef of a graph in `graphs`; build the graph again, or remove it, if its recall is too low.

    Args:
        graphs: All graphs built so far. They decide which features take candidates from this one.
    """
    name = str(by)
    if graphs[name].dims:
        graphs[name] = graph = _measured(generation, graphs, name, params.ef)
        if min(graph.recall.values()) >= (RECALL_FLOOR if params.ef else RECALL_WANTED):
            return
        log.info(
            "%s: HNSW recall@10 is below %s in %d dims; building the graph in all", name, RECALL_WANTED, graph.dims
        )
        graphs[name] = _build(generation, by, params, is_reduced=False)
    for _ in range(_MAX_DOUBLINGS):
        graphs[name] = graph = _measured(generation, graphs, name, params.ef)
        recall = min(graph.recall.values())
        if recall >= RECALL_FLOOR:
            return
        if params.ef:
            raise LakeError(
                f"{name}: HNSW recall@10 is {recall} at ef {params.ef}, below the floor of {RECALL_FLOOR}; "
                f'raise ef under [indexes."{name}"] in lake.toml, or remove it there'
            )
        breadth = 2 * (params.ef_construction or EF_CONSTRUCTION)
        params = replace(params, m=2 * params.m, ef_construction=breadth)
        log.info("%s: HNSW recall@10 is below %s; building the graph with M %d", name, RECALL_FLOOR, params.m)
        graphs[name] = _build(generation, by, params, is_reduced=False)
    graphs[name] = graph = _measured(generation, graphs, name)
    if min(graph.recall.values()) < RECALL_FLOOR:
        (generation.folder / graph_file_name(graph)).unlink()
        del graphs[name]  # it is of all dims, so it has no axes


def _measured(generation: Generation, graphs: Graphs, name: str, ef: int = 0) -> HnswIndexInfo:
    """Return a graph with its ef for recall; see `with_ef_for_recall`."""
    with timed("recall"):
        return with_ef_for_recall(generation.with_graphs(graphs), name, ef)


def _build(generation: Generation, by: FeatureMetric, params: IndexParams, *, is_reduced: bool = True) -> HnswIndexInfo:
    """Build a graph of all rows, of reduced dims where `reduced_space` chooses so, and write it."""
    with timed(f"graph {by}"):
        return _build_and_save(generation, by, params, is_reduced=is_reduced)


def _build_and_save(
    generation: Generation, by: FeatureMetric, params: IndexParams, *, is_reduced: bool
) -> HnswIndexInfo:
    feature, metric = by.feature, by.metric
    matrix = generation.matrix(feature.name)
    space = reduced_space(feature, metric, matrix) if is_reduced else GraphSpace(metric)
    breadth = params.ef_construction or (_OF_REDUCED if space.dims and not is_embedding(feature) else EF_CONSTRUCTION)
    index = empty_index(space, matrix)
    index.init_index(len(matrix), M=params.m, ef_construction=breadth, random_seed=_SEED)
    _add(index, space, matrix, _insertion_order(space, matrix))
    mark_removed(index, np.flatnonzero(~generation.is_live))
    graph = HnswIndexInfo(
        feature.name,
        metric.name,
        params.m,
        breadth,
        params.ef or EFS[0],
        params.candidates,
        dims=space.dims,
        has_axes=space.axes is not None,
    )
    (generation.folder / axes_file_name(graph)).unlink(missing_ok=True)
    space.save_axes(generation.folder / axes_file_name(graph))
    _save(index, generation.folder / graph_file_name(graph))
    return graph


def _add(index: Any, space: GraphSpace, matrix: NDArray[Any], rows: Rows) -> None:
    """Add rows to an index in the given order."""
    for block in (rows[first : first + _BLOCK] for first in range(0, len(rows), _BLOCK)):
        index.add_items(space.points(matrix[block]), block, num_threads=cpu_count())


def _insertion_order(space: GraphSpace, matrix: NDArray[Any]) -> Rows:
    """Order all rows for fast construction: a random sample first, then the rest region by region.

    A row is then mostly compared with rows in the CPU cache: 200,000 rows of 128 dims took 4.3 s instead of 7.2.
    Regions alone took as long, but had a lower recall: the sample links the regions. A region is the set of rows with
    the same signs on the first principal components of a sample. Consecutive regions differ in one sign (Gray 1953).
    """
    count = len(matrix)
    if count < _LARGE:
        return np.arange(count)
    rng = np.random.default_rng(_SEED)
    sample = space.points(matrix[np.sort(rng.choice(count, min(_SAMPLE, count), replace=False))])
    middle = sample.mean(axis=0)
    directions = np.linalg.svd(sample - middle, full_matrices=False)[2][:_DIRECTIONS].T
    sides = [(space.points(block) - middle) @ directions > 0 for _, block in blocks(matrix)]
    gray = np.bitwise_xor.accumulate(np.concatenate(sides), axis=1)
    order = np.argsort(gray @ (1 << np.arange(gray.shape[1])[::-1]), kind="stable")
    is_first = np.zeros(count, np.bool_)
    is_first[rng.choice(count, int(_SCATTERED * count), replace=False)] = True
    return np.concatenate([np.flatnonzero(is_first), order[~is_first[order]]])


def _save(index: Any, path: Path) -> None:
    path.unlink(missing_ok=True)  # never overwrite a file that another generation shares
    index.save_index(str(path))
    if path.stat().st_size != index.index_file_size():  # hnswlib does not check its writes
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
