"""The HNSW graph of content vectors, by imrec and by its peers. The process of each loads its own library only.

All have the same M, ef_construction and threads. The peers get vectors of length 1 in float32, by Euclidean distance;
usearch holds them in a type of its choice, and in float32. imrec builds its graph as a generation does: of fewer dims
where `graph_space` chooses so, with the file of the graph and the choice of its ef. As many candidates as its ef are
ranked by exact distances over all dims.
"""

import json
import os
import shutil
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.contenders import Contender, Turn, compared, in_turns, running
from tests.benchmarks.rows import Row, cores

if TYPE_CHECKING:
    from tests.benchmarks.testbed import Testbed

QUERIES, _JUDGED = 200, 1000  # rows that are asked; that recall is measured by, those among them
_FEATURE = "efficientnet_lite0"
_K, _RECALL = 10, 0.98
_EFS = (*range(12, 64, 4), *range(64, 128, 8), *range(128, 512, 16), 512, 768, 1024)
_THREADS = min(cores(), 2)
_ROUNDS = 5  # over all queries, in each turn
_SEED = 1

Rows = NDArray[np.int64]


def measure(work: "Testbed", turns: int) -> list[Row]:
    """Core seconds of the graph, and core milliseconds of a query at recall@10 of at least .98.

    Each turn builds a graph and chooses its ef: two builds by usearch reached .98 at an ef of 48 and of 64 (2026-12).
    """
    folder = work.folder / "graphs"
    folder.mkdir()
    _write_vectors(work, folder)
    with running((*GRAPHS, *_WHOLE), folder) as started:
        taken = in_turns(started, ["build", "choose_ef", "ask"], turns)
    built = {name: of[0].result for name, of in taken["build"].items()}
    recall = {name: recall_note([turn.result for turn in of]) for name, of in taken["choose_ef"].items()}
    asked = _costs(taken["ask"], 1000 / QUERIES / _ROUNDS)
    return [
        Row("rows", work.rows, "", f"content vectors of moved photos; {_THREADS} threads build"),
        *_named("graph", compared(GRAPHS, _costs(taken["build"]), "core-s", built)),
        *_named("query", compared((*GRAPHS, *_WHOLE), asked, "core-ms", recall)),
    ]


def _costs(taken: Mapping[str, list[Turn]], scale: float = 1) -> dict[str, list[float]]:
    return {name: [scale * turn.core_seconds for turn in of] for name, of in taken.items()}


def _named(what: str, rows: list[Row]) -> list[Row]:
    return [row if row.name.startswith(" ") else replace(row, name=f"{what}, {row.name}") for row in rows]


def recall_note(chosen: Sequence[tuple[int, float]]) -> str:
    """Say the mean recall and the values of ef of all turns."""
    efs, recalls = zip(*chosen, strict=True)
    missed = sum(recall < _RECALL for recall in recalls)
    said = f"recall@10 {fmean(recalls):.4f}, ef " + " to ".join(map(str, sorted({min(efs), max(efs)})))
    return f"{said}, below {_RECALL} in {missed} turns" if missed else said


def _write_vectors(work: "Testbed", folder: Path) -> None:
    """Write a lake of moved vectors, its content vectors as the peers get them, and a generation without graphs."""
    from imrec_core.features.metrics import l2_normalise
    from imrec_core.index.build import build_generation
    from imrec_core.index.opening import open_generation
    from imrec_core.lake.lake import GENERATION_FACTS
    from tests.benchmarks.large import SHARD_SIZE, large_vectors
    from tests.support import toy

    vectors = large_vectors(work, work.rows)[_FEATURE]
    lake = toy.vector_lake(folder / "lake", {_FEATURE: vectors}, shard_size=SHARD_SIZE)
    build_generation(lake)
    generation = open_generation(lake)
    content = l2_normalise(np.asarray(generation.matrix(_FEATURE), np.float32))
    np.save(folder / "vectors.npy", content)
    manifest = Path(shutil.copytree(generation.folder, folder / "generation")) / GENERATION_FACTS
    unbuilt = {"graphs": {}, "files": {}, "checksums": {}}  # as in a build, when graphs are made
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | unbuilt))


class _Searched(ABC):
    """Vectors `(rows, dims)` of length 1, and rows that are queries."""

    def __init__(self, folder: Path) -> None:
        self.vectors = np.load(folder / "vectors.npy")
        self.queries = np.random.default_rng(_SEED).permutation(len(self.vectors))[:_JUDGED]
        similarities = self.vectors[self.queries] @ self.vectors.T
        similarities[np.arange(len(self.queries)), self.queries] = -np.inf
        self._limits = np.partition(similarities, -_K, axis=1)[:, -_K]

    @abstractmethod
    def build(self) -> str:
        """Build the graph; return what is to be said of it."""

    @abstractmethod
    def nearest(self, i: int) -> Rows:
        """Find the 10 rows nearest to a query; the query itself may be one more."""

    @abstractmethod
    def choose_ef(self) -> tuple[int, float]:
        """Set the ef of queries; return it with its recall."""

    def recall(self) -> float:
        """Share of the 10 nearest others by an exact scan that are found; equal distances count as found."""
        shares = []
        for i, (row, limit) in enumerate(zip(self.queries.tolist(), self._limits, strict=True)):
            found = self.nearest(i)
            others = found[(found != row) & (found >= 0)]  # faiss fills up with -1
            similarities = self.vectors[others] @ self.vectors[row]
            shares.append(min(np.count_nonzero(similarities >= limit - 1e-6) / _K, 1.0))
        return float(np.mean(shares))

    def ask(self) -> None:
        for _ in range(_ROUNDS):
            for i in range(QUERIES):
                self.nearest(i)


class _Graph(_Searched):
    """A graph with a free choice of ef."""

    @abstractmethod
    def set_ef(self, ef: int) -> None: ...

    def choose_ef(self) -> tuple[int, float]:
        """Set the smallest ef that reaches the recall, or else the largest, by bisection."""
        known: dict[int, float] = {}

        def recall_at(ef: int) -> float:
            self.set_ef(ef)
            known[ef] = self.recall()
            return known[ef]

        chosen = _EFS[min(bisect_left(_EFS, _RECALL, key=recall_at), len(_EFS) - 1)]
        self.set_ef(chosen)
        return chosen, known[chosen]


class ImrecGraph(_Graph):
    """The content graph as a generation builds it, and its candidates ranked exactly as in a search."""

    def __init__(self, folder: Path) -> None:
        from imrec_core.features import known_features
        from imrec_core.features.feature_metric import FeatureMetric
        from imrec_core.index import exact_search
        from imrec_core.index.generation import Generation
        from imrec_core.lake.lake import Lake
        from imrec_core.runtime.cpu import CORES

        super().__init__(folder)
        os.environ[CORES] = str(_THREADS)
        self._generation = Generation(folder / "generation", known_features(Lake(folder / "lake")))
        self._by = FeatureMetric.of(self._generation.feature(_FEATURE))
        self._matrix = self._generation.matrix(_FEATURE)
        self._smallest = exact_search.smallest

    def build(self) -> str:
        from imrec_core.index.hnsw import build_graphs

        self._graph = build_graphs(self._generation, ((self._by, _params()),))[str(self._by)]
        return f"{self._graph.dims or 'all'} of {self._matrix.shape[1]} dims, with its file and the choice of its ef"

    def set_ef(self, ef: int) -> None:
        graph = replace(self._graph, ef=ef, candidates=ef)
        self._searched, self._candidates = self._generation.with_graphs({str(self._by): graph}), ef
        self._searched.load_graphs([graph.feature])

    def nearest(self, i: int) -> Rows:
        query = self._matrix[self.queries[i]]
        rows = self._searched.graph_nearest(str(self._by), query, self._candidates)
        return rows[self._smallest(_K + 1, self._by(query, self._matrix[rows]))]


class ImrecSearch(_Searched):
    """`Recommender.search` by an image id, as a user calls it, with the ef that the generation was published with."""

    def __init__(self, folder: Path) -> None:
        from imrec_core.lake.lake import Lake
        from imrec_core.search.query import ImageId
        from imrec_core.search.recommender import Recommender

        super().__init__(folder)
        self._rec = Recommender.open(Lake(folder / "lake"))
        self._rec.generation.load_graphs([_FEATURE])
        ids = self._rec.generation.columns("image_id")["image_id"]
        self._ids = [ImageId(ids[row].as_py()) for row in self.queries.tolist()]

    def build(self) -> str:
        return ""  # it is built

    def choose_ef(self) -> tuple[int, float]:
        return next(iter(self._rec.generation.graphs.values())).ef, self.recall()

    def nearest(self, i: int) -> Rows:
        return np.array([self._rec.generation.row_of(hit.image_id) for hit in self._rec.search(self._ids[i], k=_K)])


class Faiss(_Graph):
    def build(self) -> str:
        import faiss

        params = _params()
        faiss.omp_set_num_threads(_THREADS)
        self._index = faiss.IndexHNSWFlat(self.vectors.shape[1], params.m, faiss.METRIC_L2)
        self._index.hnsw.efConstruction = params.ef_construction
        self._index.add(self.vectors)
        faiss.omp_set_num_threads(1)
        return ""

    def set_ef(self, ef: int) -> None:
        self._index.hnsw.efSearch = ef

    def nearest(self, i: int) -> Rows:
        row = self.queries[i]
        return self._index.search(self.vectors[row : row + 1], _K + 1)[1][0]


class Hnswlib(_Graph):
    def build(self) -> str:
        import hnswlib

        params = _params()
        self._index = hnswlib.Index(space="l2", dim=self.vectors.shape[1])
        self._index.init_index(len(self.vectors), M=params.m, ef_construction=params.ef_construction, random_seed=_SEED)
        self._index.add_items(self.vectors, num_threads=_THREADS)
        return ""

    def set_ef(self, ef: int) -> None:
        self._index.set_ef(ef)

    def nearest(self, i: int) -> Rows:
        found, _ = self._index.knn_query(self.vectors[self.queries[i]], k=_K + 1, num_threads=1)
        return found[0].astype(np.int64)


class Usearch(_Graph):
    dtype: str | None = None  # it chooses by the processor

    def build(self) -> str:
        from usearch.index import Index

        params, (rows, dims) = _params(), self.vectors.shape
        sizes = {"connectivity": params.m, "expansion_add": params.ef_construction}
        self._index = Index(ndim=dims, metric="l2sq", dtype=self.dtype, **sizes)
        self._index.add(np.arange(rows), self.vectors, threads=_THREADS)
        return f"vectors held as {self._index.dtype.name}"

    def set_ef(self, ef: int) -> None:
        self._index.expansion_search = ef

    def nearest(self, i: int) -> Rows:
        return self._index.search(self.vectors[self.queries[i]], _K + 1, threads=1).keys.astype(np.int64)


class UsearchFloat32(Usearch):
    dtype = "f32"


def _params() -> Any:
    from imrec_core.index.hnsw import EF_CONSTRUCTION
    from imrec_core.lake.settings import IndexParams

    return IndexParams(ef_construction=EF_CONSTRUCTION)


GRAPHS = (
    Contender("imrec", ImrecGraph),
    Contender("faiss", Faiss, "faiss-cpu", "IndexHNSWFlat"),
    Contender("hnswlib", Hnswlib),
    Contender("usearch", Usearch, "usearch"),
    Contender("usearch, float32", UsearchFloat32, "usearch"),
)
_WHOLE = (Contender("imrec, search()", ImrecSearch, note="as published; hits with scores, not the rows alone"),)
