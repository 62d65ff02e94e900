"""Publishing a generation after 1 % of new images, and after none, beside building it whole."""

import shutil
from statistics import median
from time import perf_counter

import numpy as np

from imrec_core.generation import Generation, open_generation
from imrec_core.graphs import graph_users, recall_at_10
from imrec_core.index import GenerationReport, build_generation
from imrec_core.lake import Lake
from tests import toy
from tests.benchmarks.large import SHARD_SIZE, large_vectors
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_NEW = 0.01
_ROUNDS = 3
_QUERIES = 200


def measure(work: Testbed) -> list[Row]:
    """The tables are there before any clock starts; from the second round on the extension is made once more."""
    new = round(_NEW * work.rows)
    vectors = large_vectors(work, work.rows + new)
    root = work.folder / "extended"
    lake = toy.vector_lake(root, {n: matrix[: work.rows] for n, matrix in vectors.items()}, shard_size=SHARD_SIZE)
    whole, _ = _built(lake)
    toy.vector_lake(root, vectors, shard_size=SHARD_SIZE)  # what was learnt of the first rows holds for the few more
    took = []
    for _ in range(_ROUNDS):
        lake.publish("000001")
        for name in lake.generations()[1:]:
            shutil.rmtree(lake.generation_path(name))
        seconds, report = _built(lake)
        assert report.why == f"extends 000001 by {new} rows, 0 removed", report.why
        took.append(seconds)
    before = toy.times(lake, "generations")
    nothing, _ = _built(lake)
    written = toy.rewritten(before, toy.times(lake, "generations"))
    extended = median(took)
    rows = [
        Row("rows", work.rows, "", f"{new} of them new; extended {_ROUNDS} times"),
        Row("built whole", whole, "s"),
        Row("extended by 1 %", extended, "s", ", ".join(f"{seconds:.2f}" for seconds in took)),
        Row("extended / whole", extended / whole, "", at_most=0.05),
        Row("recall@10 of the extended graphs", _recall(open_generation(lake)), at_least=0.95),
        Row("nothing new", nothing, "s"),
        Row("files written then", len(written), "", at_most=0),
    ]
    shutil.rmtree(root)
    return rows


def _built(lake: Lake) -> tuple[float, GenerationReport]:
    started = perf_counter()
    report = build_generation(lake)
    return perf_counter() - started, report


def _recall(generation: Generation) -> float:
    """The least of all that use a graph, half of the queries being new rows."""
    rng, total = np.random.default_rng(1), len(generation)
    queries = np.concatenate([rng.permutation(total)[: _QUERIES // 2], total - 1 - np.arange(_QUERIES // 2)])
    found = []
    for graph in generation.graphs:
        for feature, metric in graph_users(generation, graph).values():
            exact = generation.scan(feature.name, metric, generation.matrix(feature.name)[queries], 10)
            found.append(recall_at_10(generation, feature, metric, queries, exact))
    return min(found)
