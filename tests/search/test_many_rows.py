"""Searches of a lake with many rows: search methods, memory, and large k."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from imrec_core import ImageId, Recommender
from imrec_core.index import exact_search, graph_search
from imrec_core.index.build import IndexParams, build_generation
from imrec_core.search import batches as search_module
from imrec_core.sql.policy import SqlPolicy
from tests.support import toy
from tests.support.toy import ids

ROWS = 30_000
ALL = ["hsv_histogram", "phash", "dhash"]
SMALLER = 8  # factor by which blocks are smaller, so that a matrix of this lake has many


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Recommender:
    rng = np.random.default_rng(0)
    few = rng.dirichlet(
        np.full(256, 0.05), size=10
    )  # all vectors are mixtures of these, so that a small graph has a high recall
    histograms = rng.dirichlet(np.full(10, 0.5), size=ROWS) @ few
    hashes = {name: rng.integers(0, 2**64, (ROWS, 1), dtype=np.uint64) for name in ("phash", "dhash")}
    lake = toy.vector_lake(
        tmp_path_factory.mktemp("many") / "lake", {"hsv_histogram": histograms, **hashes}, shard_size=10_000
    )
    build_generation(lake, IndexParams(m=6, ef_construction=30))
    return Recommender.open(lake)


def at(recommender: Recommender, *rows: int) -> list[ImageId]:
    return [ImageId(recommender.generation.rows["image_id"][row].as_py()) for row in rows]


# -- memory -------------------------------------------------------------------------------------------------


def most_held(work: Callable[[], object]) -> int:
    """Measure the peak memory of a call in bytes, above that before it."""
    work()  # fills the caches
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def drain(answers: Iterable[object]) -> None:
    for _ in answers:
        pass


SEARCHES = {
    "exact": lambda rec, query: rec.search(query, by=ALL, exact=True),
    "where": lambda rec, query: rec.search(query, by=ALL, exact=True, where="row % 3 <> 0"),
    "where by a graph": lambda rec, query: rec.search(query, by=ALL, where="row % 3 <> 0"),
    "k 1000": lambda rec, query: rec.search(query, by=ALL, k=1000),
    "k 1000 where": lambda rec, query: rec.search(query, by=ALL, k=1000, where="row % 3 <> 0"),
    "k 1000 exact": lambda rec, query: rec.search(query, by=ALL, k=1000, exact=True),
    "manhattan": lambda rec, query: rec.search(query, by=["hsv_histogram:manhattan", *ALL[1:]], exact=True),
    "each": lambda rec, query: drain(rec.search_each([query] * 20, by=ALL, exact=True)),
    "each where": lambda rec, query: drain(rec.search_each([query] * 20, by=ALL, exact=True, where="row % 3 <> 0")),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_search_memory_is_a_few_blocks_and_100_bytes_per_row_and_feature(many, monkeypatch, search):
    """docs/explanation/figures.md says 96 MB, with blocks of full size."""
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", exact_search.BLOCK_BYTES // SMALLER)
    monkeypatch.setattr(search_module, "_BATCH_BYTES", search_module._BATCH_BYTES // SMALLER)
    (query,) = at(many, 7)
    assert most_held(lambda: search(many, query)) <= 96e6 / SMALLER + 100 * ROWS * len(ALL)


def test_distances_of_a_batch_are_freed_before_the_next(many, monkeypatch):
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", exact_search.BLOCK_BYTES // SMALLER)
    (query,) = at(many, 7)
    monkeypatch.setattr(search_module, "_BATCH", 16)
    one, three = (most_held(lambda n=n: drain(many.search_each([query] * n, by=ALL, exact=True))) for n in (16, 48))
    assert three <= 1.2 * one


def test_full_blocks_and_batches_fit_into_the_memory_in_the_readme():
    widest = 4 * exact_search.BLOCK_BYTES  # the metric with the largest temporary arrays
    assert widest <= 96e6 and search_module._BATCH_BYTES + 2 * exact_search.BLOCK_BYTES <= 96e6


# -- a great many hits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["hsv_histogram", "phash", "hsv_histogram:manhattan", ALL], ids=str)
def test_10_000_hits_are_those_of_an_exact_search(many, by):
    (query,) = at(many, 12)
    hits, exact = (many.search(query, by=by, k=10_000, exact=exact) for exact in (False, True))
    assert len(hits) == len(exact) == 10_000
    assert [hit.rank for hit in hits] == list(range(1, 10_001))
    assert len(set(ids(hits)) & set(ids(exact))) >= 9_800
    assert len(set(ids(hits))) == 10_000 and query.value not in ids(hits)
    scores = np.array([hit.score for hit in hits])
    assert (np.diff(scores) <= 1e-12).all()


# -- the plan -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "plan"),
    [
        (None, "candidates from the graph of hsv_histogram:hellinger, ranked exactly"),
        ("row % 2 = 0", "candidates from the graph of hsv_histogram:hellinger, ranked exactly"),
        ("row % 10 = 0", "candidates from a scan of 3000 rows by hsv_histogram, ranked exactly"),
        ("row % 150 = 0", "exact scan of 200 rows"),
        ("row < 0", "exact scan of 0 rows"),
    ],
)
@pytest.mark.parametrize("by", ["hsv_histogram", "hsv_histogram:manhattan"])
def test_fastest_search_method_is_chosen(many, where, plan, by):
    (query,) = at(many, 7)
    hits, exact = (many.search(query, by=by, where=where, exact=exact) for exact in (False, True))
    assert plan.replace("hsv_histogram,", f"{by},") in hits.plan
    kept = ROWS if where is None else len(many.generation.filter.rows(where, SqlPolicy.TRUSTED))
    assert exact.plan == f"exact scan of {kept} rows"
    assert len(hits) == len(exact) == min(5, kept)
    if where is not None:
        allowed = set(many.generation.filter.rows(where, SqlPolicy.TRUSTED).tolist())
        assert {many.generation.row_of(hit.image_id) for hit in hits} <= allowed
    if "graph" not in plan and ":" not in by:
        assert hits.hits == exact.hits


def test_graph_returns_more_candidates_for_a_selective_condition(many, monkeypatch):
    asked = []
    graph_nearest = type(many.generation).graph_nearest
    monkeypatch.setattr(
        type(many.generation),
        "graph_nearest",
        lambda self, name, vector, count, **how: asked.append(count) or graph_nearest(self, name, vector, count, **how),
    )
    (query,) = at(many, 7)
    many.search(query, by="hsv_histogram")
    hits = many.search(query, by="hsv_histogram", where="row % 2 = 0")
    assert asked[1] == 3 * asked[0]  # twice as many, as half match; 1.5 times, as similarity correlates
    assert int(hits.plan.split()[0]) >= asked[0]


def test_each_feature_has_its_own_search_method(many):
    hits = many.search(at(many, 7)[0], by=["hsv_histogram", "phash"])
    assert hits.plan.endswith(
        "candidates from the graph of hsv_histogram:hellinger, a scan of 30000 rows by phash, ranked exactly"
    )


def test_first_searches_scan_while_a_large_graph_loads(many, monkeypatch):
    monkeypatch.setattr(graph_search, "_LARGE", ROWS)
    monkeypatch.setattr(graph_search, "_LOADED_AFTER", 0.0)
    opened = Recommender.open(many.lake)
    (query,) = at(opened, 17)
    with opened.generation._hnsw._loading:  # the thread waits
        first = [opened.search(query, by="hsv_histogram", k=20) for _ in range(2)]
    for thread in threading.enumerate():
        if thread.name == graph_search.LOADING:
            thread.join()
    then = opened.search(query, by="hsv_histogram", k=20)
    exact = opened.search(query, by="hsv_histogram", k=20, exact=True)
    assert ["a scan of 30000 rows by hsv_histogram" in hits.plan for hits in first] == [True, True]
    assert "the graph of hsv_histogram:hellinger" in then.plan
    assert all(ids(hits) == ids(exact) for hits in (*first, then))
    assert [hit.score for hit in first[0]] == [hit.score for hit in exact]


def test_command_that_ends_at_once_does_not_load_a_large_graph(many, monkeypatch):
    monkeypatch.setattr(graph_search, "_LARGE", ROWS)
    monkeypatch.setattr(graph_search, "load_graph", lambda *_, **__: pytest.fail("loaded a graph"))
    opened = Recommender.open(many.lake)
    assert len(opened.search(at(opened, 17)[0], by="hsv_histogram", k=20)) == 20
    (waiting,) = [thread for thread in threading.enumerate() if thread.name == graph_search.LOADING]
    assert waiting.daemon
    waiting.cancel()


def test_loaded_graphs_are_used_at_once(many, monkeypatch):
    monkeypatch.setattr(graph_search, "_LARGE", ROWS)
    opened = Recommender.open(many.lake)
    opened.generation.load_graphs({"hsv_histogram"})
    assert "the graph of hsv_histogram:hellinger" in opened.search(at(opened, 17)[0], by="hsv_histogram", k=20).plan
    assert not any(thread.name == graph_search.LOADING for thread in threading.enumerate())
