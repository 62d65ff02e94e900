"""Query one HNSW graph of a generation for the rows nearest to a vector.

`search.candidates` decides which graphs a search queries, and for how many rows.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import DamagedGeneration, UnreadableGeneration
from imrec_core.features.metrics import METRICS, Metric
from imrec_core.index import exact_search
from imrec_core.index.exact_search import Matrix, Rows
from imrec_core.index.graph_space import GraphSpace, load_space
from imrec_core.index.integrity import GenerationFiles, mark_damaged
from imrec_core.index.manifest import HnswIndexInfo, graph_file_name
from imrec_core.runtime.cpu import cpu_count

log = logging.getLogger(__name__)

_LARGE = 50_000  # rows from which the first queries of a process do not wait for a graph: 0.15 s on one core (2026-12)
_LOADED_AFTER = 1.0  # seconds
_CANDIDATES_OF_EACH = 10  # of a graph with reduced dims, per neighbour of each of many rows
LOADING = "imrec-graph"
"""Name of the threads that load graphs."""


@dataclass(frozen=True)
class LoadedGraph:
    """A graph in memory: the index of hnswlib, and the space of its points."""

    index: Any
    space: GraphSpace

    def query(self, vectors: Matrix, k: int, *, threads: int) -> Rows:
        """Find the `k` rows nearest to each of some vectors `(n, width)`; return row numbers `(n, k)`.

        Raises:
            RuntimeError: hnswlib reaches fewer than `k` rows from the entry point of the graph.
        """
        labels, _ = self.index.knn_query(self.space.points(vectors), k=k, num_threads=threads)
        return np.asarray(labels, dtype=np.int64)


class HnswGraphs:
    """The HNSW graphs of one generation, each loaded at its first query. Safe to use from several threads.

    A large graph takes a second to load, as long as tens of exact searches. `has_loaded` tells a search to do without
    it, and loads it soon after in the background.

    hnswlib keeps ef in the index and not in the query: `set_ef` changes it for every thread. So the index that searches
    share always keeps its stored ef. A query with another ef uses a second copy of the index, which is loaded at the
    first such query, lives as long as this object, and serves one thread at a time.

    A damaged graph is replaced by an exact search.

    Args:
        files: Files of the generation.
        graphs: Graphs by `feature:metric`.
        set_aside: Called with the path of a damaged graph.
    """

    def __init__(
        self, files: GenerationFiles, graphs: Mapping[str, HnswIndexInfo], set_aside: Callable[[Path], object]
    ) -> None:
        self._files, self._graphs, self._set_aside = files, graphs, set_aside
        self._loading = threading.Lock()
        self._shared: dict[str, LoadedGraph | DamagedGeneration] = {}
        self._scheduling = threading.Lock()
        self._in_background: set[str] = set()
        self._setting_ef = threading.Lock()
        self._copies: dict[str, LoadedGraph | DamagedGeneration] = {}

    def nearest(
        self,
        name: str,
        vector: Matrix,
        count: int,
        vectors: Matrix,
        is_live: NDArray[np.bool_] | None,
        *,
        ef: int | None = None,
    ) -> Rows:
        """Find about `count` rows nearest to a vector, nearest first in the dims of the graph.

        Args:
            vector: Vector of the graph's feature `(width,)`, as stored, not lifted.
            vectors: All vectors of that feature `(rows, width)`.
            is_live: Mask of the rows to return `(rows,)`; None for all.
            ef: Size of the candidate list; None for the stored one. hnswlib uses at least `count`.
        """
        info = self._graphs[name]
        metric = METRICS[info.metric]
        k = min(count, len(vectors) - info.unindexed_rows)
        try:
            if ef is None:
                labels = self._shared_graph(name, vectors, is_live).query(vector[None], k, threads=1)
            else:
                labels = self._query_copy(name, vector[None], k, vectors, is_live, ef, threads=1)
        except (RuntimeError, DamagedGeneration):  # hnswlib: the graph reaches fewer than k rows from its entry point
            is_removed = None if is_live is None else ~is_live
            return np.asarray(exact_search.nearest(metric, vector[None], vectors, count, is_removed=is_removed)[0])
        indexed: Rows = labels[0]
        if info.unindexed_rows:
            return _merge_unindexed(info.unindexed_rows, metric, vector, indexed, count, vectors, is_live)
        return indexed

    def nearest_each(
        self, name: str, queries: Matrix, count: int, vectors: Matrix, is_live: NDArray[np.bool_] | None
    ) -> Rows | None:
        """Find about `count` rows nearest to each of many vectors `(n, width)`, on all cores, without an order.

        The other arguments are those of `nearest`. A few more neighbours are missed than by a search: for statistics
        over all rows, time matters more. Over 60,000 images, the 10 neighbours by content are .07 % farther on average
        (`tests/benchmarks/graphs.py`, 2026-12).

        Returns:
            Rows `(n, count)`, or more where the graph does not hold the last rows; None if the graph is damaged or
            reaches fewer rows.
        """
        info = self._graphs[name]
        metric, indexed = METRICS[info.metric], len(vectors) - info.unindexed_rows
        candidates = min(info.candidates_for(count), _CANDIDATES_OF_EACH * count)
        k, threads = min(candidates, indexed), cpu_count()
        try:
            if info.dims and candidates < info.ef:
                found = self._query_copy(name, queries, k, vectors, is_live, candidates, threads=threads)
            else:
                found = self._shared_graph(name, vectors, is_live).query(queries, k, threads=threads)
        except (RuntimeError, DamagedGeneration):
            return None
        if found.shape[1] > count:
            found = _nearest_of(metric, queries, vectors, found, count)
        last = np.arange(indexed, len(vectors))
        last = last if is_live is None else last[is_live[last]]
        return np.hstack([found, exact_search.nearest(metric, queries, vectors, count, last)]) if len(last) else found

    def has_loaded(self, name: str, vectors: Matrix, is_live: NDArray[np.bool_] | None) -> bool:
        """Return whether a graph is loaded, damaged, or small enough to be loaded by a query.

        If it is not, a thread loads it, one second after the first call. hnswlib lets no other thread of Python run
        while it loads (0.8); a process that ends within the second, such as a command, does not wait for it.
        """
        if name in self._shared or len(vectors) < _LARGE:
            return True
        with self._scheduling:
            if name not in self._in_background:
                self._in_background.add(name)
                load = threading.Timer(_LOADED_AFTER, _load_if_used, (weakref.ref(self), name, vectors, is_live))
                load.name, load.daemon = LOADING, True
                load.start()
        return False

    def load(self, name: str, vectors: Matrix, is_live: NDArray[np.bool_] | None) -> None:
        """Load a graph, if it is not loaded; a damaged one is logged and set aside."""
        with suppress(DamagedGeneration):
            self._shared_graph(name, vectors, is_live)

    def _shared_graph(self, name: str, vectors: Matrix, is_live: NDArray[np.bool_] | None) -> LoadedGraph:
        graph = self._shared.get(name)
        if graph is None:
            with self._loading:
                graph = self._shared.get(name)
                if graph is None:
                    graph = self._shared[name] = self._load(name, vectors, is_live)
        if isinstance(graph, DamagedGeneration):
            raise graph
        return graph

    def _query_copy(
        self,
        name: str,
        queries: Matrix,
        k: int,
        vectors: Matrix,
        is_live: NDArray[np.bool_] | None,
        ef: int,
        *,
        threads: int,
    ) -> Rows:
        """Query the copy of an index that is not shared, with any ef. Returns labels `(n, k)`."""
        with self._setting_ef:
            if name not in self._copies:
                self._copies[name] = self._load(name, vectors, is_live)
            graph = self._copies[name]
            if isinstance(graph, DamagedGeneration):
                raise graph
            graph.index.set_ef(ef)
            found: Rows = graph.query(queries, k, threads=threads)
            return found

    def _load(self, name: str, vectors: Matrix, is_live: NDArray[np.bool_] | None) -> LoadedGraph | DamagedGeneration:
        """Load a graph; return the error if it is damaged, so that it is loaded and reported once."""
        info = self._graphs[name]
        try:
            graph = load_graph(self._files, info, vectors)
        except DamagedGeneration as error:
            log.warning("%s; searches use an exact scan instead. To repair it, run: imrec build", error)
            if error.is_certain:
                self._set_aside(error.path)
            return error
        if is_live is not None:
            mark_removed(graph.index, np.flatnonzero(~is_live[: len(vectors) - info.unindexed_rows]))
        graph.index.set_ef(info.ef)
        return graph


def _load_if_used(
    graphs: weakref.ref[HnswGraphs], name: str, vectors: Matrix, is_live: NDArray[np.bool_] | None
) -> None:
    """Load a graph, unless its generation is closed by now, whose files may be removed."""
    used = graphs()
    if used is not None:
        used.load(name, vectors, is_live)


def load_graph(files: GenerationFiles, info: HnswIndexInfo, vectors: Matrix, *, max_rows: int = 0) -> LoadedGraph:
    """Load a graph, after its file was verified: hnswlib reads a damaged one beyond its memory.

    Args:
        vectors: Vectors of the graph's feature `(rows, width)`.
        max_rows: Rows for which to reserve space; 0 for those of the graph.

    Raises:
        DamagedGeneration: The file is missing or damaged, or cannot be read.
    """
    name = graph_file_name(info)
    files.require_whole(name)
    path = files.folder / name
    space = load_space(files, info)
    index = empty_index(space, vectors)
    try:
        index.load_index(str(path), max_elements=max_rows)
    except Exception as error:  # of many classes
        if name in files.whole:  # the file has its checksum: too little memory, or too many open files
            raise UnreadableGeneration(path, error) from error
        mark_damaged(path)
        raise DamagedGeneration(path, f"cannot be loaded ({error})") from error
    return LoadedGraph(index, space)


def empty_index(space: GraphSpace, vectors: Matrix) -> Any:
    """Create an hnswlib index for vectors of a feature, to be initialised or loaded."""
    return hnswlib.Index(space=space.name, dim=space.points(vectors[:1]).shape[1])


def mark_removed(index: Any, rows: Rows) -> None:
    """Exclude rows from the results of an index, whose file may be older than their removal."""
    for row in rows.tolist():
        with suppress(RuntimeError):  # already marked
            index.mark_deleted(row)


def _nearest_of(metric: Metric, queries: Matrix, vectors: Matrix, found: Rows, count: int) -> Rows:
    """Select the `count` nearest of the rows found for each query, by exact distance, without an order."""
    nearest = np.empty((len(queries), count), np.int64)
    for i, (query, rows) in enumerate(zip(queries, found, strict=True)):
        nearest[i] = rows[np.argpartition(metric(query, vectors[rows]), count - 1)[:count]]
    return nearest


def _merge_unindexed(
    unindexed: int,
    metric: Metric,
    vector: Matrix,
    indexed: Rows,
    count: int,
    vectors: Matrix,
    is_live: NDArray[np.bool_] | None,
) -> Rows:
    """Merge the rows that a graph found with the last rows, which it does not hold, by exact distance."""
    last = np.arange(len(vectors) - unindexed, len(vectors))
    distances = metric(vector, vectors[last[0] :])
    if is_live is not None:
        last, distances = last[is_live[last]], distances[is_live[last]]
    near = exact_search.smallest(count, distances)
    order = exact_search.smallest(count, np.concatenate([metric(vector, vectors[indexed]), distances[near]]))
    return np.asarray(np.concatenate([indexed, last[near]])[order])
