"""Publishing a generation after 1 % of new images, again and again, and after none, beside building it whole."""

import shutil
from statistics import median
from time import perf_counter, process_time

import numpy as np

from imrec_core.index.build import GenerationReport, build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.index.recall import graph_users, recall_at_10
from imrec_core.lake.lake import Lake
from imrec_core.search.query import ImageId
from imrec_core.search.recommender import Recommender
from imrec_dagster.builder import build_lake
from tests.benchmarks.large import SHARD_SIZE, large_vectors
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed
from tests.support import toy

_NEW = 0.01
_ROUNDS = 6
_QUERIES, _CHANGED = 200, 1000


def measure(work: Testbed) -> list[Row]:
    """The tables are there before any clock starts; what was learnt of the first rows holds for the few more."""
    new = round(_NEW * work.rows)
    vectors = large_vectors(work, work.rows + _ROUNDS * new)
    root = work.folder / "extended" / "lake"  # beside it are no photos
    lake = _with_rows(root, vectors, work.rows)
    whole, _ = _built(lake)
    took, tails, searched, recall = [], [], [], []
    for round_ in range(1, _ROUNDS + 1):
        lake = _with_rows(root, vectors, work.rows + round_ * new)
        seconds, report = _built(lake)
        assert report.why == f"extends {round_:06d} by {new} rows, 0 removed", report.why
        generation = open_generation(lake)
        took.append(seconds)
        tails.append(max(graph.unindexed_rows for graph in generation.graphs.values()))
        searched.append(_search_ms(lake))
        recall.append(_recall(generation))
    before = toy.times(lake, "generations")
    nothing, _ = _built(lake)
    written = toy.rewritten(before, toy.times(lake, "generations"))
    beside, taken_up = ([s for s, tail in zip(took, tails, strict=True) if bool(tail) == is_] for is_ in (True, False))
    rows = [
        Row("rows", work.rows, "", f"extended {_ROUNDS} times by {new} new ones"),
        Row("built whole", whole, "s"),
        Row("extended by 1 %", median(took), "s", ", ".join(f"{seconds:.2f}" for seconds in took)),
        Row("extended / whole", median(took) / whole, "", at_most=0.05),
        *(
            Row(f"  {what}", median(some) / whole, "", f"{len(some)} times")
            for what, some in (("rows beside the graphs", beside), ("rows taken up into the graphs", taken_up))
            if some
        ),
        Row("all of them / whole", sum(took) / whole, "", f"{_ROUNDS} % of new rows", at_most=0.05 * _ROUNDS),
        Row("recall@10 of the extended graphs", min(recall), at_least=0.95),
        Row("search, most rows beside the graph", searched[int(np.argmax(tails))], "ms", f"{max(tails)} rows"),
        Row("search, fewest rows beside it", searched[int(np.argmin(tails))], "ms", f"{min(tails)} rows"),
        Row("nothing new", nothing, "s"),
        Row("files written then", len(written), "", at_most=0),
    ]
    return rows + _changed(work, lake)


def _changed(work: Testbed, lake: Lake) -> list[Row]:
    """What `imrec build` takes after the tables are made: of nothing new, 1,000 new images and 1,000 removed ones.

    The images are on no disk, so scans find no folder; `catalog` measures those. The first build records all tables in
    Dagster.
    """
    _by_dagster(lake)
    nothing = _by_dagster(lake)
    vectors = large_vectors(work, _CHANGED)
    number = len(lake.live_shards())
    toy.write_shard(lake, f"photos-{number:04d}", [f"new{i:04d}.jpg" for i in range(_CHANGED)], vectors)
    added = _by_dagster(lake)
    toy.write_shard(lake, f"photos-{number:04d}", ["new0000.jpg"], {n: matrix[:1] for n, matrix in vectors.items()})
    removed = _by_dagster(lake)
    shutil.rmtree(lake.root)
    return [
        Row("build of nothing new", nothing[0], "s", f"{nothing[1]:.1f} core-s", at_most=6),
        Row(f"build of {_CHANGED} new rows", added[0], "s", f"{added[1]:.1f} core-s", at_most=8),
        Row(f"build after {_CHANGED - 1} are removed", removed[0], "s", f"{removed[1]:.1f} core-s", at_most=10),
    ]


def _by_dagster(lake: Lake) -> tuple[float, float]:
    """Seconds of a build, and those of the cores."""
    started, cores_started = perf_counter(), process_time()
    build_lake(lake, home=str(lake.dagster_home))
    return perf_counter() - started, process_time() - cores_started


def _with_rows(root, vectors, rows: int) -> Lake:
    return toy.vector_lake(root, {n: matrix[:rows] for n, matrix in vectors.items()}, shard_size=SHARD_SIZE)


def _built(lake: Lake) -> tuple[float, GenerationReport]:
    started = perf_counter()
    report = build_generation(lake)
    return perf_counter() - started, report


def _search_ms(lake: Lake) -> float:
    """Median over searches by one feature, of images that are there already."""
    rec = Recommender.open(lake)
    ids = rec.generation.rows["image_id"].slice(0, _QUERIES).to_pylist()
    rec.search(ImageId(ids[0]))
    took = []
    for image_id in ids:
        started = perf_counter()
        rec.search(ImageId(image_id), k=10)
        took.append(1000 * (perf_counter() - started))
    return median(took)


def _recall(generation: Generation) -> float:
    """The least of all that use a graph, half of the queries being new rows."""
    rng, total = np.random.default_rng(1), len(generation)
    queries = np.concatenate([rng.permutation(total)[: _QUERIES // 2], total - 1 - np.arange(_QUERIES // 2)])
    found = []
    for graph in generation.graphs:
        for feature, metric in graph_users(generation, graph).values():
            exact = generation.exact_nearest(feature.name, metric, generation.matrix(feature.name)[queries], 10)
            found.append(recall_at_10(generation, feature, metric, queries, exact))
    return min(found)
