"""Ef sweeps: recall is that of a plain count, and the smallest sufficient ef is saved and used by builds."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imrec_core import ImageId, Recommender
from imrec_core.errors import LakeError
from imrec_core.evaluation import ef_sweep
from imrec_core.evaluation.ef_sweep import sweep_ef, tune_ef
from imrec_core.evaluation.rankers import sample
from imrec_core.features import FEATURES
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.index.recall import recall_at_ef
from imrec_core.search import candidates
from tests.support import toy

GRAPH = "rgb_histogram:hellinger"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A graph with few links and few candidates, so that ef matters."""
    histograms = np.random.default_rng(5).dirichlet(np.full(512, 0.05), size=900)
    lake = toy.vector_lake(tmp_path_factory.mktemp("breadth") / "lake", {"rgb_histogram": histograms})
    toy.set_to(lake, indexes={"rgb_histogram": {"m": 6, "ef_construction": 40, "candidates": 10}})
    build_generation(lake)
    return lake


@pytest.fixture
def restored(lake):
    settings = lake.settings()
    yield lake
    lake.save_settings(settings)


def plain_recall(generation, queries):
    """Share of the ten nearest rows by exact search that are candidates of the graph."""
    feature, matrix = FEATURES["rgb_histogram"], np.asarray(generation.matrix("rgb_histogram"))
    shares = []
    for row in queries:
        nearest = np.argsort(feature.metric(matrix[row], matrix), kind="stable")[:10]
        candidates = generation.graph_nearest(GRAPH, matrix[row], generation.graphs[GRAPH].candidates)
        shares.append(np.isin(nearest, candidates).mean())
    return np.mean(shares)


def test_recall_is_that_of_a_plain_count_and_grows_with_ef(lake):
    generation = open_generation(lake)
    built = dict(generation.graphs)
    found = sweep_ef(generation, lake.settings(), queries=60)
    assert generation.graphs == built
    assert [row.ef for row in found] == sorted({10, built[GRAPH].ef, *ef_sweep.EFS})
    assert [row.ef for row in found if row.in_use] == [built[GRAPH].ef]
    assert found[0].recall < 0.9 < found[-1].recall
    assert [row.recall for row in found] == sorted(row.recall for row in found)
    assert all(row.graph == GRAPH and row.queries_per_second > 0 for row in found)
    for row in (found[0], found[2]):
        published = replace(built[GRAPH], ef=row.ef, candidates=max(10, row.ef // 2))
        same = generation.with_graphs({GRAPH: published})
        assert row.recall == pytest.approx(plain_recall(same, sample(np.arange(900), 60)), abs=0.002)


def _searched(recommender, queries):
    return [recommender.search(query, k=20).hits for query in queries]


def test_measuring_another_ef_does_not_affect_searches_in_other_threads(lake, monkeypatch):
    monkeypatch.setattr(candidates, "_ROWS_PER_FETCHED", 0)
    recommender, settings = Recommender.open(lake), lake.settings()
    generation = recommender.generation
    queries = [ImageId(image_id) for image_id in generation.rows["image_id"].to_pylist()[:30]]
    expected, built = _searched(recommender, queries), dict(generation.graphs)
    narrow = Recommender.open(lake)
    other = narrow.generation.with_graphs({GRAPH: replace(built[GRAPH], ef=10)})
    narrow._context = replace(narrow._context, generation=other)
    assert _searched(narrow, queries) != expected, "ef makes no difference, and nothing is tested"
    alone = [(row.ef, row.recall) for row in sweep_ef(open_generation(lake), settings, queries=60)]
    curve = recall_at_ef(open_generation(lake))
    measured = threading.Event()

    def search_meanwhile() -> int:
        rounds = 0
        while not (rounds and measured.is_set()):
            assert _searched(recommender, queries) == expected
            rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as pool:
        searching = [pool.submit(search_meanwhile) for _ in range(2)]
        sweep = pool.submit(sweep_ef, generation, settings, queries=60)
        curves = pool.submit(recall_at_ef, generation)
        try:
            assert [(row.ef, row.recall) for row in sweep.result()] == alone
            assert curves.result() == curve
        finally:
            measured.set()
        assert min(found.result() for found in searching) >= 1
    assert generation.graphs == built and _searched(recommender, queries) == expected


def test_smallest_ef_is_saved_and_the_next_build_uses_it(restored):
    generation = open_generation(restored)
    measured = sweep_ef(generation, restored.settings())
    (chosen,) = tune_ef(restored, generation, 0.97)
    assert chosen.ef == min(row.ef for row in measured if row.recall >= 0.97) > 10
    (table,) = restored.settings().indexes.values()
    assert table == {"m": 6, "ef_construction": 40, "candidates": 10, "ef": chosen.ef}
    assert build_generation(restored).built
    assert open_generation(restored).graphs[GRAPH].ef == chosen.ef


def test_a_graph_without_a_table_gets_one(large_lake, tmp_path, monkeypatch):
    noted = []
    monkeypatch.setattr(type(large_lake), "save_settings", lambda self, settings: noted.append(settings.indexes))
    tune_ef(large_lake, open_generation(large_lake), 0.95, queries=20)
    assert noted == [{"rgb_histogram": {"ef": 100}}]


def test_unreachable_recall_is_an_error_and_nothing_is_saved(restored, monkeypatch):
    monkeypatch.setattr(ef_sweep, "EFS", (12,))
    generation, before = open_generation(restored), restored.settings_path.read_text()
    generation = generation.with_graphs({GRAPH: replace(generation.graphs[GRAPH], ef=10)})
    with pytest.raises(LakeError, match=r"reaches recall@10 0\.\d+ at most \(at ef 12\), not 1.0; raise m"):
        tune_ef(restored, generation, 1.0)
    assert restored.settings_path.read_text() == before


def test_commands_print_and_save(imrec, restored):
    said = imrec("evaluate", "--index", "--queries", 20, "--lake", restored.root)
    assert said.out.splitlines()[0].split() == ["graph", "ef", "recall@10", "queries/s", "in", "use"]
    assert said.out.count("yes") == 1
    told = json.loads(imrec("evaluate", "--index", "--queries", 20, "--json", "--lake", restored.root).out)
    assert {row["graph"] for row in told} == {GRAPH}
    assert imrec("evaluate", "--index", "--queries", 20, "--plot", "a.svg", "--lake", restored.root).status == 0
    drawn = Path("a.svg").read_text()
    assert "recall@10</text>" in drawn and f"{GRAPH}</text>" in drawn
    tuned = imrec("tune", "--recall", 0.95, "--queries", 20, "--json", "--lake", restored.root)
    assert json.loads(tuned.out)[0]["ef"] == restored.settings().indexes["rgb_histogram"]["ef"]
    assert "saved in lake.toml; run: imrec build" in tuned.err
    assert imrec("tune", "--recall", 0.5, "--lake", restored.root).status == 2
    assert imrec("evaluate", "--index", "--by", "rgb_histogram", "--lake", restored.root).status == 2
    assert imrec("tune", "--lake", restored.root).status == 2
