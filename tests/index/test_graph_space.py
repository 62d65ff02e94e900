"""Graphs of reduced dims: what they hold, what searches find by them, and what becomes of them in later generations."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from imrec_core import FEATURES, ImageId, Lake, Recommender
from imrec_core.features.metrics import METRICS
from imrec_core.features.searched import searched
from imrec_core.index import graph_space, hnsw, recall
from imrec_core.index.build import build_generation
from imrec_core.index.graph_space import GraphSpace, reduced_space
from imrec_core.index.opening import open_generation
from imrec_core.index.recall import RECALL_WANTED
from tests.support import toy

NETWORK, HISTOGRAM = "efficientnet_lite0", "hsv_histogram"
CONTENT_GRAPH, HISTOGRAM_GRAPH = f"{NETWORK}:cosine", f"{HISTOGRAM}:hellinger"
AXES = f"{HISTOGRAM}.hellinger.axes"
ROWS = 700


@pytest.fixture(autouse=True)
def small_graphs_are_reduced(monkeypatch):
    monkeypatch.setattr(graph_space, "_LARGE", 0)


def spread(rows: int, dims: int, seed: int) -> np.ndarray:
    """Vectors of which few components have most of the variance."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(seed + 99).normal(size=(dims, dims)))[0]
    return (rng.normal(size=(rows, dims)) / (1 + np.arange(dims)) ** 0.8) @ turn


def vectors_of(rows: int) -> dict[str, np.ndarray]:
    histograms = np.exp(2 * spread(rows, 256, 1))
    return {NETWORK: spread(rows, 1280, 0), HISTOGRAM: histograms / histograms.sum(axis=1, keepdims=True)}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Lake:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_space, "_LARGE", 0)
        patch.setattr(hnsw, "_LARGE", 0)
        lake = toy.two_generations(tmp_path_factory.mktemp("reduced") / "lake", vectors_of(ROWS), shard_size=690)
    return lake


@pytest.fixture
def lake(built, tmp_path) -> Lake:
    shutil.copytree(built.root, tmp_path / "lake")
    return Lake(tmp_path / "lake").open_for_writing()


# -- the space ----------------------------------------------------------------------------------------------


def test_leading_dims_of_content_vectors_are_taken_as_they_are():
    feature = searched(FEATURES[NETWORK])
    matrix = (spread(500, 256, 3) @ np.linalg.qr(np.eye(256))[0]).astype(np.float16)
    ordered = np.sort(np.abs(matrix), axis=1)[:, ::-1]
    space = reduced_space(feature, METRICS["cosine"], ordered)
    assert space.name == "l2" and space.axes is None and space.dims in (64, 96)
    lengths = np.linalg.norm(ordered.astype(np.float32), axis=1, keepdims=True)
    np.testing.assert_allclose(space.points(ordered), ordered[:, : space.dims] / lengths, rtol=1e-4, atol=1e-6)


def test_axes_of_histograms_keep_distances():
    feature, metric = searched(FEATURES[HISTOGRAM]), METRICS["hellinger"]
    matrix = vectors_of(500)[HISTOGRAM].astype(np.float16)
    space = reduced_space(feature, metric, matrix)
    assert space.axes is not None and space.points(matrix).shape == (500, space.dims)
    whole, reduced = metric.lifted(matrix), space.points(matrix)
    exact = np.linalg.norm(whole[:, None] - whole[None], axis=2)
    found = np.linalg.norm(reduced[:, None] - reduced[None], axis=2)
    assert (found <= exact + 1e-5).all() and np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("why", ["few rows", "flat spectrum", "few dims", "no l2"])
def test_other_graphs_hold_all_dims(monkeypatch, why):
    feature, metric = searched(FEATURES[HISTOGRAM]), METRICS["dot" if why == "no l2" else "hellinger"]
    matrix = vectors_of(500)[HISTOGRAM]
    if why == "few rows":
        monkeypatch.setattr(graph_space, "_LARGE", 501)
    elif why == "flat spectrum":
        matrix = np.random.default_rng(0).dirichlet(np.full(256, 1.0), 5000)
    elif why == "few dims":
        matrix = matrix[:, :150]
    space = reduced_space(feature, metric, matrix)
    assert space == GraphSpace(metric)
    np.testing.assert_array_equal(space.points(matrix), metric.lifted(matrix))


# -- generations --------------------------------------------------------------------------------------------


def test_manifest_says_what_graphs_hold(lake):
    graphs = open_generation(lake).graphs
    assert (graphs[CONTENT_GRAPH].dims, graphs[CONTENT_GRAPH].has_axes) in ((64, False), (96, False))
    assert (graphs[HISTOGRAM_GRAPH].dims, graphs[HISTOGRAM_GRAPH].has_axes) in ((64, True), (96, True))
    for name in lake.generations():
        assert (lake.generation_path(name) / AXES).exists()


@pytest.mark.parametrize("by", [NETWORK, HISTOGRAM, f"{NETWORK}:euclidean"])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_searches_find_the_nearest_by_all_dims(lake, by, k):
    rec = Recommender.open(lake)
    found = []
    for i in range(0, ROWS, 70):
        query = ImageId(rec.generation.rows["image_id"][i].as_py())
        found.append(
            np.isin(toy.ids(rec.search(query, k=k, by=by, exact=True)), toy.ids(rec.search(query, k=k, by=by)))
        )
    assert np.mean(found) > 0.97


@pytest.mark.parametrize("name", [CONTENT_GRAPH, HISTOGRAM_GRAPH])
def test_nearest_of_many_rows_are_those_by_all_dims(lake, name):
    generation = open_generation(lake)
    graph, rows = generation.graphs[name], np.arange(0, ROWS, 9)
    found = generation.graph_nearest_each(name, rows, 8)
    assert found is not None and (np.sort(found) == np.sort(found.astype(int))).all()
    feature = generation.feature(graph.feature)
    exact = generation.exact_nearest(feature.name, feature.metric, generation.matrix(feature.name)[rows], 8)
    assert np.mean([np.isin(one, other).mean() for one, other in zip(exact, found, strict=True)]) > 0.97


def test_extension_with_few_rows_shares_the_axes(built):
    first, second = (built.generation_path(name) / AXES for name in ("000001", "000002"))
    assert first.samefile(second)


def test_extension_of_a_graph_writes_its_axes_again(lake, monkeypatch):
    first = lake.generation_path("000001") / AXES
    lake.publish("000001")
    monkeypatch.setattr(hnsw, "_LARGE", 10_000)  # new rows are added to the graph at once
    shutil.rmtree(lake.generation_path("000002"))
    report = build_generation(lake)
    again = lake.generation_path(report.id) / AXES
    assert report.why.startswith("extends") and again.read_bytes() == first.read_bytes() and not again.samefile(first)
    generation = open_generation(lake)
    assert generation.graphs[HISTOGRAM_GRAPH].unindexed_rows == 0
    row = ROWS - 1
    assert generation.graph_nearest(HISTOGRAM_GRAPH, generation.matrix(HISTOGRAM)[row], 5)[0] == row


@pytest.mark.parametrize("how", ["missing", "flip", "short"])
def test_graph_without_its_axes_is_replaced_by_an_exact_scan_until_the_next_build(lake, how):
    query = ImageId(open_generation(lake).rows["image_id"][5].as_py())
    expected = toy.ids(Recommender.open(lake).search(query, by=HISTOGRAM, exact=True))
    path = lake.generation_path("000002") / AXES
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(data[:-1] if how == "short" else data[:500] + bytes([data[500] ^ 64]) + data[501:])
    assert toy.ids(Recommender.open(lake).search(query, by=HISTOGRAM)) == expected
    build_generation(lake)
    assert HISTOGRAM_GRAPH in open_generation(lake).graphs and not open_generation(lake).damaged


def test_generation_of_the_format_before_is_opened_and_extended(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_space, "_LARGE", 10_000)
    lake = toy.vector_lake(tmp_path / "lake", vectors_of(ROWS), shard_size=690)
    last = lake.catalog_path(lake.shards()[-1])
    hidden = last.rename(last.with_suffix(".hidden"))
    build_generation(lake)

    def as_before(facts):
        for graph in facts["graphs"].values():
            del graph["dims"], graph["has_axes"]
        del facts["stages"]
        return facts | {"format": 4, "fingerprint": "another"}

    toy.edit_manifest(lake, "000001", as_before)
    assert not any(graph.dims for graph in open_generation(lake).graphs.values())
    monkeypatch.setattr(graph_space, "_LARGE", 0)
    hidden.rename(last)
    assert build_generation(lake).why == "extends 000001 by 10 rows, 0 removed"
    assert not any(graph.dims for graph in open_generation(lake).graphs.values())


def test_graph_that_finds_too_little_is_built_again_in_all_dims(tmp_path, monkeypatch):
    def few_dims(feature, metric, matrix):
        space = reduced_space(feature, metric, matrix)
        return replace(space, dims=2, axes=None if space.axes is None else space.axes[:2])

    monkeypatch.setattr(hnsw, "reduced_space", few_dims)
    monkeypatch.setattr("imrec_core.index.recall.EFS", (20,))
    monkeypatch.setattr("imrec_core.index.plan.DEFAULT_PARAMS", replace(hnsw.IndexParams(), candidates=20))
    lake = toy.vector_lake(tmp_path / "lake", vectors_of(ROWS), shard_size=700)
    report = build_generation(lake, hnsw.IndexParams(candidates=20))
    generation = open_generation(lake)
    assert not any(graph.dims or graph.has_axes for graph in generation.graphs.values())
    assert not (generation.folder / AXES).exists() and min(report.recall.values()) >= RECALL_WANTED - 0.05


def test_chosen_ef_is_the_number_of_candidates_of_reduced_dims(lake, monkeypatch):
    monkeypatch.setattr(recall, "recall_at_10", lambda *_, ef, candidates: 1.0 if ef >= 192 else 0.9)
    tuned = recall.with_ef_for_recall(open_generation(lake), CONTENT_GRAPH)
    assert (tuned.ef, tuned.candidates) == (192, 192)
    given = recall.with_ef_for_recall(open_generation(lake), CONTENT_GRAPH, 300)
    assert (given.ef, given.candidates) == (300, 150)


def test_reduced_graphs_of_histograms_are_built_with_a_smaller_ef_unless_it_is_set(built, tmp_path):
    graphs = open_generation(built).graphs
    assert (graphs[CONTENT_GRAPH].ef_construction, graphs[HISTOGRAM_GRAPH].ef_construction) == (100, 48)
    lake = toy.vector_lake(tmp_path / "lake", vectors_of(ROWS), shard_size=700)
    toy.set_to(lake, indexes={HISTOGRAM: {"ef_construction": 100}})
    build_generation(lake)
    graph = open_generation(lake).graphs[HISTOGRAM_GRAPH]
    assert graph.dims and graph.ef_construction == 100


def test_neighbours_of_each_row_use_a_copy_with_a_smaller_ef(lake, monkeypatch):
    generation = open_generation(lake)
    wide = {name: replace(graph, ef=400) for name, graph in generation.graphs.items()}
    generation, rows = generation.with_graphs(wide), np.arange(0, ROWS, 9)
    found = generation.graph_nearest_each(CONTENT_GRAPH, rows, 8)
    assert list(generation._hnsw._copies) == [CONTENT_GRAPH] and found is not None and found.shape[1] >= 8
    assert all(row in of_row for row, of_row in zip(rows, found, strict=True))


# -- the stages of a build ----------------------------------------------------------------------------------


def test_report_has_the_seconds_of_each_stage(lake):
    report = build_generation(lake, force=True)
    expected = {"plan", "rows", "vectors", f"graph {CONTENT_GRAPH}", f"graph {HISTOGRAM_GRAPH}"}
    assert set(report.stage_seconds) == expected | {"recall", "calibration", "checksums"}
    assert all(seconds >= 0 for seconds in report.stage_seconds.values())
    assert sum(report.stage_seconds.values()) <= report.seconds + 0.01
    again = build_generation(lake)
    assert not again.built and again.stage_seconds == report.stage_seconds
