"""Searching many rows, beside raw hnswlib and a plain scan in the same run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature_metric import full_name
from imrec_core.index.build import build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import DEFAULT_FEATURES
from imrec_core.search.query import ImageId
from imrec_core.search.recommender import Recommender
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed
from tests.support import toy

SHARD_SIZE = 4096

_QUERIES, _K = 200, 10
_FEATURE = "efficientnet_lite0"
WITH_FULL = (*DEFAULT_FEATURES, f"{_FEATURE}:full")
"""Features of a lake of photos whose embeddings are moved."""

_NAMES = (_FEATURE, "hsv_histogram", "phash")
_STRAY, _FLIPPED = 0.35, 0.08  # of the difference of two photos; of the bits of a hash
_KEPT = {"50 %": 2, "10 %": 10, "1 %": 100, "0.1 %": 1000}
_KEPT_MS = {"50 %": 10, "10 %": 10, "1 %": 5, "0.1 %": 5}
_EFS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_RECALL = 0.98
_SCANS = 20  # queries that look at everything


def measure(work: Testbed) -> list[Row]:
    """Medians over the same queries, in turns; recall@10 beside each that does not look at everything."""
    lake = large_lake(work)
    rec = Recommender.open(lake)
    rec.generation.load_graphs(_NAMES)
    queries = np.random.default_rng(1).permutation(work.rows)[:_QUERIES]
    vectors = np.asarray(rec.generation.matrix(_FEATURE), np.float32)
    ids = [ImageId(rec.generation.rows["image_id"][int(row)].as_py()) for row in queries]
    raw, ef = _raw(vectors, queries)
    ways: dict[str, Callable[[int], object]] = {
        "raw hnswlib": lambda i: raw.knn_query(vectors[queries[i]], k=_K + 1, num_threads=1),
        "one feature": lambda i: rec.search(ids[i], k=_K),
        "three features": lambda i: rec.search(ids[i], k=_K, by=_NAMES),
        **{
            f"where keeps {share}": lambda i, every=every: rec.search(ids[i], k=_K, where=f"row % {every} = 0")
            for share, every in _KEPT.items()
        },
    }
    took = _timed(ways, _QUERIES)
    scans = _timed(
        {
            "one numpy matmul": lambda i: vectors @ vectors[queries[i]],
            "exact": lambda i: rec.search(ids[i], k=_K, exact=True),
            "k = 10,000": lambda i: rec.search(ids[i], k=10_000),
        },
        _SCANS,
    )
    started = perf_counter()
    each = len(list(rec.search_each(ids, k=_K, exact=True)))
    scans["exact, in a batch"] = 1000 * (perf_counter() - started) / each
    return [
        Row("rows", len(rec), "", f"{_QUERIES} queries each, k = {_K}"),
        Row("raw hnswlib", took["raw hnswlib"], "ms", f"ef {ef}, the least with recall@10 of {_RECALL}"),
        Row("one feature", took["one feature"], "ms", at_most=1),
        Row("one feature, of raw hnswlib", took["one feature"] / took["raw hnswlib"], "×", at_most=1.3),
        Row("recall@10, one feature", _recall(rec, ids, {}), at_least=_RECALL),
        Row("three features", took["three features"], "ms", at_most=5),
        *(Row(f"where keeps {share}", took[f"where keeps {share}"], "ms", at_most=_KEPT_MS[share]) for share in _KEPT),
        *(
            Row(f"recall@10, {share}", _recall(rec, ids, {"where": f"row % {every} = 0"}), at_least=_RECALL)
            for share, every in _KEPT.items()
        ),
        Row("one numpy matmul", scans["one numpy matmul"], "ms", "float32, all rows in memory"),
        Row("exact", scans["exact"], "ms"),
        Row("exact, of a matmul", scans["exact"] / scans["one numpy matmul"], "×", at_most=1.3),
        Row("exact, in a batch", scans["exact, in a batch"], "ms", "each of them"),
        Row("k = 10,000", scans["k = 10,000"], "ms"),
    ]


def large_lake(work: Testbed) -> Lake:
    """A lake of `rows` vectors without pictures; a shard of them is in memory at a time."""
    root = work.folder / "large"
    if root.exists():  # an earlier subject built it
        return Lake(root)
    generation, photos = _photos(work, work.rows)
    vectors: Mapping[str, Any] = {name: _MovedVectors(generation, name, photos) for name in _NAMES}
    lake = toy.vector_lake(root, vectors, shard_size=SHARD_SIZE)
    build_generation(lake)
    return lake


def large_vectors(work: Testbed, rows: int) -> dict[str, NDArray[Any]]:
    """By feature; those of photos, each moved a little as photos differ from one another."""
    generation, photos = _photos(work, rows)
    return {name: moved(generation, name, *photos) for name in _NAMES}


def _photos(work: Testbed, rows: int) -> tuple[Generation, NDArray[np.int64]]:
    """A generation of photos, and three of them for each row `(3, rows)`: one to move, by the difference of two."""
    generation = open_generation(work.built_lake("photos", work.photos, WITH_FULL))
    return generation, np.random.default_rng(0).integers(0, len(generation), (3, rows))


@dataclass(frozen=True)
class _MovedVectors:
    """The vectors of a feature, made when a slice of them is read."""

    generation: Generation
    name: str
    photos: NDArray[np.int64]

    def __len__(self) -> int:
        return self.photos.shape[1]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return moved(self.generation, self.name, *self.photos[:, rows], seed=(2, rows.start))


def moved(generation: Generation, name: str, *rows: NDArray[np.int64], seed: int | tuple[int, ...] = 2) -> NDArray[Any]:
    full = full_name(name)
    matrix = np.asarray(generation.matrix(full if full in generation.features else name))
    if matrix.dtype == np.uint64:
        flips = np.random.default_rng(seed).random((len(rows[0]), 64 * matrix.shape[1])) < _FLIPPED
        return np.asarray(matrix[rows[0]] ^ np.packbits(flips, axis=1).view(np.uint64))
    matrix = matrix.astype(np.float32)
    origin, a, b = rows
    moved = np.clip(matrix[origin] + _STRAY * (matrix[a] - matrix[b]), 0, None)
    scale = np.linalg.norm(moved, axis=1) if generation.feature(name).unit_norm else moved.sum(axis=1)
    return np.asarray(moved / scale[:, None], np.float32)


def _raw(vectors: NDArray[np.float32], queries: NDArray[np.int64]) -> tuple[Any, int]:
    """A graph by hnswlib over the whole vectors, as it comes, with the least breadth that is good enough."""
    graph = hnswlib.Index(space="cosine", dim=vectors.shape[1])
    graph.init_index(len(vectors), M=16, ef_construction=100, random_seed=1)
    graph.add_items(vectors)
    exact = [np.argsort(-(vectors @ vectors[row]))[: _K + 1] for row in queries]
    for ef in _EFS:
        graph.set_ef(ef)
        found, _ = graph.knn_query(vectors[queries], k=_K + 1)
        if np.mean([len(np.intersect1d(*pair)) / (_K + 1) for pair in zip(found, exact, strict=True)]) >= _RECALL:
            break
    return graph, ef


def _timed(ways: Mapping[str, Callable[[int], object]], count: int) -> dict[str, float]:
    """Median milliseconds of each way, asked in turns after one round that opens what is opened once."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for i in (0, *range(count)):
        for name, way in ways.items():
            started = perf_counter()
            way(i)
            spent[name].append(1000 * (perf_counter() - started))
    return {name: float(np.median(times[1:])) for name, times in spent.items()}


def _recall(rec: Recommender, ids: list[ImageId], options: dict[str, str]) -> float:
    """Share of the exactly nearest that are found; equal distances count as found."""
    found = []
    for query in ids:
        limit = rec.search(query, k=_K, exact=True, **options)[-1].parts[_FEATURE].distance
        hits = rec.search(query, k=_K, **options)
        found.append(np.mean([hit.parts[_FEATURE].distance <= limit * (1 + 1e-6) + 1e-6 for hit in hits]))
    return float(np.mean(found))
