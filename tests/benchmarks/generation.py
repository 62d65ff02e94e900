"""A large generation with the default features: how it is built, stage by stage, and its content graph beside others.

faiss (`IndexHNSWFlat`) and hnswlib get the whole embeddings in float32, the same links and breadth of construction, and
the same number of threads. Each is asked for the nearest by its own vectors. Everything is in a process of its own.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from imrec_core.extraction.fit import fit
from imrec_core.extraction.project import project_shard
from imrec_core.features import find_feature
from imrec_core.index import hnsw
from imrec_core.index.build import build_generation
from imrec_core.index.exact_search import BLOCK_BYTES
from imrec_core.index.generation import Generation
from imrec_core.index.hnsw import EF_CONSTRUCTION
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import DEFAULT_FEATURES, IndexParams
from imrec_core.search.query import ImageId
from imrec_core.search.recommender import Recommender
from tests.benchmarks.alone import Alone, alone, clocked, held
from tests.benchmarks.large import SHARD_SIZE, WITH_FULL, moved
from tests.benchmarks.rows import Row, cores
from tests.benchmarks.testbed import Testbed
from tests.support import toy

_FEATURE, _REDUCED = "efficientnet_lite0", "efficientnet_lite0_content"
_GRAPH = f"{_FEATURE}:cosine"
_QUERIES, _ROUNDS, _K = 400, 3, 10
_EFS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
_RECALL, _RECALL_PUBLISHED = 0.98, 0.99
_BUILT, _HELD, _ASKED = 3, 1 / 4, 1  # what was promised, of either of the others
_OWN_MEMORY = 1500  # MB of a build beside mapped files

Found = Callable[[int], NDArray[np.int64]]


def measure(work: Testbed) -> list[Row]:
    """Memory is beyond what a process holds after its imports; queries are rows, asked for one at a time."""
    folder = work.folder / "generation"
    folder.mkdir()
    _write_vectors(work, folder)
    root = folder / "lake"
    stored = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in DEFAULT_FEATURES}
    lake = toy.vector_lake(root, stored, shard_size=SHARD_SIZE)
    shutil.rmtree(root / "fitted")
    shutil.rmtree(root / "features" / _REDUCED)
    of = {stage: _alone(stage, lake.root) for stage in ("fitted", "projected", "built")}
    others = {name: _alone(name, folder) for name in ("hnswlib_built", "faiss_built")}
    asked = {name: _alone(f"{name}_asked", folder) for name in ("imrec", "hnswlib", "faiss")}
    shutil.rmtree(folder)
    ours = asked["imrec"].result
    return [
        Row("rows", work.rows, "", f"{len(stored)} features; {cores()} threads"),
        *_built_rows(of),
        *_graph_rows(of, others),
        *(row for name, of_one in asked.items() for row in _memory(name, of_one.result)),
        *(
            Row(f"memory, of {name}", _resident(ours) / _resident(asked[name].result), "×", at_most=_HELD)
            for name in ("hnswlib", "faiss")
        ),
        *(
            Row(
                f"query by {name}", one.result["ms"], "ms", f"recall@10 {one.result['recall']:.4f}, {one.result['how']}"
            )
            for name, one in asked.items()
        ),
        *(
            Row(f"query, of {name}", ours["ms"] / asked[name].result["ms"], "×", at_most=_ASKED)
            for name in ("hnswlib", "faiss")
        ),
        Row("query as published", ours["published_ms"], "ms", ours["published"]),
        Row("recall@10 as published", ours["published_recall"], at_least=_RECALL_PUBLISHED),
        *(
            Row(f"own peak memory, {what}", one.own_peak / 1e6, "MB", f"{one.peak / 1e6:,.0f} MB with files", at_most=m)
            for what, one, m in (
                ("PCA fitted", of["fitted"], _OWN_MEMORY),
                ("PCA projected", of["projected"], _OWN_MEMORY),
                ("generation built", of["built"], _OWN_MEMORY),
                ("opened and asked", asked["imrec"], None),
            )
        ),
    ]


def _built_rows(of: dict[str, Alone]) -> list[Row]:
    whole, core = (sum(getattr(stage, clock) for stage in of.values()) for clock in ("seconds", "core_seconds"))
    return [
        Row("PCA, projection, generation", whole, "s", f"{core:.1f} core-s"),
        Row("  PCA fitted", of["fitted"].seconds, "s", _core(of["fitted"])),
        Row("  PCA projected", of["projected"].seconds, "s", _core(of["projected"])),
        Row("  generation built", of["built"].seconds, "s", _core(of["built"])),
        *(Row(f"    {stage}", seconds, "s") for stage, seconds in of["built"].result["stages"].items()),
    ]


def _graph_rows(of: dict[str, Alone], others: dict[str, Alone]) -> list[Row]:
    """The content graph with all that it needs, which is compared in core time: other work disturbs it less."""
    graph = of["built"].result["graphs"][_GRAPH]
    ours = graph + of["fitted"].core_seconds + of["projected"].core_seconds
    rows = [Row("content graph", graph, "core-s"), Row("content graph, PCA and projection", ours, "core-s")]
    rows += [Row(name.replace("_", " "), other.core_seconds, "core-s") for name, other in others.items()]
    return rows + [
        Row(f"{name.replace('_', ' ')} / content graph and PCA", other.core_seconds / ours, "×", at_least=_BUILT)
        for name, other in others.items()
    ]


def _alone(function: str, folder: Path) -> Alone:
    return alone(__name__, function, str(folder))


def _core(of: Alone) -> str:
    return f"{of.core_seconds:.1f} core-s"


def _resident(of: dict[str, Any]) -> float:
    return float(sum(of["asked"].values()))


def _memory(name: str, of: dict[str, Any]) -> list[Row]:
    own, mapped = (of["asked"][kind] / 1e6 for kind in ("anonymous", "mapped"))
    rows = [Row(f"memory of {name}", own + mapped, "MB", f"{own:,.0f} its own, {mapped:,.0f} of files it asked of")]
    if "all" in of:
        own, mapped = (of["all"][kind] / 1e6 for kind in ("anonymous", "mapped"))
        note = f"{mapped:,.0f} of files, which the system takes back when it needs room"
        rows.append(Row("  every vector read", own + mapped, "MB", note))
    return rows


def _write_vectors(work: Testbed, folder: Path) -> None:
    """Vectors as `large` makes them, block by block, and of each query how far its 10 nearest embeddings are."""
    photos = open_generation(work.built_lake("photos", work.photos, WITH_FULL))
    for name in DEFAULT_FEATURES:
        write_moved(photos, name, work.rows, folder / f"{name}.npy")
    file = np.load(folder / f"{_FEATURE}.npy", mmap_mode="r")
    step = BLOCK_BYTES // (4 * file.shape[1])
    queries = np.sort(np.random.default_rng(1).permutation(work.rows)[:_QUERIES])
    near = np.full((_QUERIES, _K + 1), np.inf, np.float32)  # a row is nearest to itself
    for first in range(0, work.rows, step):
        found = np.maximum(2 - 2 * (file[queries] @ file[first : first + step].T), 0)
        near = np.partition(np.hstack([near, found]), _K, axis=1)[:, : _K + 1]
    np.save(folder / "queries.npy", queries)
    np.save(folder / "limits.npy", near.max(axis=1))


def write_moved(photos: Generation, name: str, rows: int, path: Path) -> None:
    rng, step = np.random.default_rng(0), 8192
    first = moved(photos, name, *rng.integers(0, len(photos), (3, 1)))
    file = np.lib.format.open_memmap(path, "w+", first.dtype, (rows, first.shape[1]))
    for start in range(0, rows, step):
        count = min(step, rows - start)
        file[start : start + count] = moved(photos, name, *rng.integers(0, len(photos), (3, count)))
    file.flush()


# -- building, each in a process of its own -----------------------------------------------------------------


def fitted(root: str) -> None:
    with clocked():
        fit(Lake(root), find_feature(_REDUCED))


def projected(root: str) -> None:
    lake = Lake(root)
    with clocked():
        for shard in lake.live_shards():
            project_shard(lake, shard, find_feature(_REDUCED))


def built(root: str) -> dict[str, Any]:
    """Build the generation; return the seconds of its stages, and the core seconds of each graph."""
    took: dict[str, float] = {}

    def build(generation: Any, by: Any, params: Any, **options: Any) -> Any:
        started = process_time()
        graph = original(generation, by, params, **options)
        took[str(by)] = took.get(str(by), 0.0) + process_time() - started
        return graph

    original, hnsw._build_and_save = hnsw._build_and_save, build
    shutil.rmtree(Path(root) / "generations", ignore_errors=True)
    lake = Lake(root)
    with clocked():
        report = build_generation(lake)
    generation, queries = open_generation(lake), np.load(Path(root).parent / "queries.npy")
    own = generation.matrix(_FEATURE)[queries]
    near = generation.exact_nearest(_FEATURE, generation.feature(_FEATURE).metric, own, _K + 1)
    np.save(Path(root).parent / "nearest.npy", near)
    return {"graphs": took, "stages": dict(report.stage_seconds)}


def hnswlib_built(folder: str) -> None:
    vectors, params = np.load(Path(folder) / f"{_FEATURE}.npy", mmap_mode="r"), IndexParams()
    graph = hnswlib.Index(space="l2", dim=vectors.shape[1])
    with clocked():
        graph.init_index(len(vectors), M=params.m, ef_construction=EF_CONSTRUCTION, random_seed=1)
        graph.add_items(vectors, num_threads=cores())
    graph.save_index(str(Path(folder) / "hnswlib"))


def faiss_built(folder: str) -> None:
    import faiss

    vectors, params = np.load(Path(folder) / f"{_FEATURE}.npy", mmap_mode="r"), IndexParams()
    faiss.omp_set_num_threads(cores())
    graph = faiss.IndexHNSWFlat(vectors.shape[1], params.m, faiss.METRIC_L2)
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    with clocked():
        graph.add(vectors)
    faiss.write_index(graph, str(Path(folder) / "faiss"))


# -- asking, each in a process of its own -------------------------------------------------------------------


def imrec_asked(folder: str) -> dict[str, Any]:
    before = held()
    rec = Recommender.open(Path(folder) / "lake")
    generation, asked = rec.generation, _Asked(folder)
    ids = [ImageId(generation.rows["image_id"][row].as_py()) for row in asked.queries.tolist()]
    published = generation.graphs[_GRAPH]

    def found(i: int) -> NDArray[np.int64]:
        return np.array([generation.row_of(hit.image_id) for hit in rec.search(ids[i], k=_K, by=_FEATURE)])

    def set_to(ef: int, candidates: int) -> None:
        other = generation.with_graphs({**generation.graphs, _GRAPH: replace(published, ef=ef, candidates=candidates)})
        rec._context = replace(rec._context, generation=other)

    breadths = ((ef, share * ef // 4) for ef in _EFS for share in (2, 4))
    near = np.load(Path(folder) / "nearest.npy")

    def recall() -> float:
        return float(np.mean([np.isin(near[i][1:], found(i)).mean() for i in range(len(near))]))

    breadths = ((ef, share * ef // 4) for ef in _EFS for share in (2, 4))
    ef, candidates = next((of for of in breadths if set_to(*of) or recall() >= _RECALL), (_EFS[-1],) * 2)
    answer = {
        "recall": recall(),
        "how": f"ef {ef}, {candidates} candidates",
        "ms": asked.ms(lambda i: rec.search(ids[i], k=_K, by=_FEATURE)),
        "asked": _beyond(before),
    }
    set_to(published.ef, published.candidates)
    answer["published_recall"] = recall()
    answer["published"] = f"ef {published.ef}, {published.candidates} candidates of {published.dims or 'all'} dims"
    answer["published_ms"] = asked.ms(lambda i: rec.search(ids[i], k=_K, by=_FEATURE))
    np.max(generation.matrix(_FEATURE), axis=0)  # every page of it
    return answer | {"all": _beyond(before)}


def hnswlib_asked(folder: str) -> dict[str, Any]:
    before = held()
    asked = _Asked(folder)
    graph = hnswlib.Index(space="l2", dim=asked.vectors.shape[1])
    graph.load_index(str(Path(folder) / "hnswlib"))

    def found(i: int) -> NDArray[np.int64]:
        return np.asarray(graph.knn_query(asked.vectors[i], k=_K + 1, num_threads=1)[0][0], np.int64)

    return _asked_of_a_graph(asked, found, graph.set_ef) | {"asked": _beyond(before)}


def faiss_asked(folder: str) -> dict[str, Any]:
    import faiss

    faiss.omp_set_num_threads(1)
    before = held()
    asked = _Asked(folder)
    graph = faiss.read_index(str(Path(folder) / "faiss"))

    def found(i: int) -> NDArray[np.int64]:
        return np.asarray(graph.search(asked.vectors[i : i + 1], _K + 1)[1][0], np.int64)

    return _asked_of_a_graph(asked, found, lambda ef: setattr(graph.hnsw, "efSearch", ef)) | {"asked": _beyond(before)}


def _asked_of_a_graph(asked: "_Asked", found: Found, set_ef: Callable[[int], object]) -> dict[str, Any]:
    for ef in _EFS:
        set_ef(ef)
        recall = asked.recall(found)
        if recall >= _RECALL:
            break
    return {"recall": recall, "how": f"ef {ef}", "ms": asked.ms(found)}


def _beyond(before: dict[str, int]) -> dict[str, int]:
    return {kind: max(count - before[kind], 0) for kind, count in held().items()}


class _Asked:
    """The queries: rows, their vectors in float32, and how far the 10 nearest of each are."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / f"{_FEATURE}.npy"
        self.queries = np.load(Path(folder) / "queries.npy")
        self._limits = np.load(Path(folder) / "limits.npy")
        self.vectors = self._rows(self.queries)

    def _rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors, read: what is mapped for a look at them is no part of what a search holds."""
        with self._path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
            start, found = file.tell(), np.empty((len(rows), shape[1]), np.float32)
            for i, row in enumerate(rows.tolist()):
                file.seek(start + 4 * shape[1] * row)
                found[i] = np.frombuffer(file.read(4 * shape[1]), np.float32)
        return found

    def recall(self, found: Found) -> float:
        """Share of the 10 nearest others that are found, by their distances in float32."""
        shares = []
        for i, (row, limit) in enumerate(zip(self.queries.tolist(), self._limits, strict=True)):
            rows = found(i)
            distances = 2 - 2 * (self._rows(rows[rows != row]) @ self.vectors[i])
            shares.append(min(np.count_nonzero(distances <= limit + 1e-6) / _K, 1))
        return float(np.mean(shares))

    def ms(self, ask: Callable[[int], object]) -> float:
        """Median milliseconds of a query in the best of some rounds."""
        medians = []
        for _ in range(_ROUNDS):
            took = []
            for i in range(len(self.queries)):
                started = perf_counter()
                ask(i)
                took.append(1000 * (perf_counter() - started))
            medians.append(float(np.median(took)))
        return min(medians)
