"""Building a generation: rows are aligned, nothing is computed twice, nothing incomplete is published."""

from __future__ import annotations

from dataclasses import replace

import hnswlib
import numpy as np
import pyarrow.parquet as pq
import pytest

from imrec_core import FEATURES, ImageId, Lake, Recommender
from imrec_core.catalog import manifests
from imrec_core.errors import LakeError, StaleIndex, StorageFull
from imrec_core.features import generation_features
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index import build as index_module
from imrec_core.index import recall
from imrec_core.index.build import IndexParams, build_generation
from imrec_core.index.generation import Generation
from imrec_core.index.hnsw import EF_CONSTRUCTION
from imrec_core.index.opening import open_generation
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_core.lake.schemas import ROWS, to_matrix
from tests.support import toy
from tests.support.pictures import PICTURES
from tests.support.toy import build, set_to, times

TWO = ("rgb_histogram", "phash")
RGB, NETWORK = "rgb_histogram:hellinger", "efficientnet_lite0:cosine"


# -- what is in it ------------------------------------------------------------------------------------------


def test_every_row_of_every_matrix_is_the_vector_of_its_image(toy_lake):
    generation = open_generation(toy_lake)
    ids = generation.rows["image_id"].to_pylist()
    assert list(generation.features) == [feature.name for feature in generation_features(toy_lake)]
    for name in generation.features:
        feature, stored = generation.feature(name), {}
        if feature.is_variable:
            continue  # its tables have lists
        for shard in toy_lake.shards():
            table = toy_lake.read_table(toy_lake.feature_path(feature.stored_as, shard))
            stored |= dict(zip(table["image_id"].to_pylist(), to_matrix(table["vector"]), strict=True))
        assert set(stored) == set(ids)
        expected = np.array([stored[image_id] for image_id in ids]).astype(feature.dtype)
        np.testing.assert_array_equal(generation.matrix(name), expected)


def test_rows_are_the_readable_images_with_their_properties(toy_lake):
    rows = open_generation(toy_lake).rows
    assert rows.schema.equals(ROWS)
    assert rows["row"].to_pylist() == list(range(len(rows)))
    assert not any(rows["removed"].to_pylist())
    known = {}
    for shard in toy_lake.shards():
        places = toy_lake.read_table(toy_lake.catalog_path(shard)).to_pylist()
        images = toy_lake.read_table(toy_lake.images_path(shard)).to_pylist()
        known |= {i["image_id"]: p | i | {"shard": shard} for p, i in zip(places, images, strict=True)}
    assert len(rows) == sum(one["status"] == "ok" for one in known.values())
    for row in rows.to_pylist():
        one = known[row["image_id"]]
        assert all(row[name] == one[name] for name in row if name not in ("row", "removed"))


def test_report_matches_the_written_files(large_lake):
    generation = open_generation(large_lake)
    report = build_generation(large_lake)
    sizes = {path.name: path.stat().st_size for path in generation.folder.iterdir() if path.suffix != ".json"}
    assert generation.facts["files"] == sizes
    assert (report.rows, report.features, report.byte_size) == (700, TWO, sum(sizes.values()))
    assert set(report.recall) == {"rgb_histogram"}


def test_graph_reaches_the_recall_it_was_tuned_for(large_lake):
    generation = open_generation(large_lake)
    feature = FEATURES["rgb_histogram"]
    queries = np.arange(0, 700, 7)
    exact = generation.exact_nearest(feature.name, feature.metric, generation.matrix(feature.name)[queries], 10)
    assert recall.recall_at_10(generation, feature, feature.metric, queries, exact) > 0.97
    assert generation.graphs[RGB].recall["rgb_histogram"] >= recall.RECALL_WANTED


def test_recall_counts_missed_rows(large_lake, monkeypatch):
    generation = open_generation(large_lake)
    feature = FEATURES["rgb_histogram"]
    queries = np.arange(20)
    exact = generation.exact_nearest(feature.name, feature.metric, generation.matrix(feature.name)[queries], 10)
    monkeypatch.setattr(generation, "graph_nearest", lambda name, vector, count, ef: np.arange(500, 600))
    assert recall.recall_at_10(generation, feature, feature.metric, queries, exact) < 0.3


def test_hashes_have_no_graph(large_lake):
    generation = open_generation(large_lake)
    phash = FEATURES["phash"]
    assert set(generation.graphs) == {RGB}
    assert [generation.graph_of(phash, metric) for metric in phash.metrics] == [None] * len(phash.metrics)
    assert not list(generation.folder.glob("phash.*.hnsw"))


def test_full_vectors_take_candidates_from_the_graph_of_the_content_vectors(toy_lake, new_lake):
    assert NETWORK in open_generation(toy_lake).graphs
    generation = open_generation(new_lake(12, ("efficientnet_lite0:full",)))
    assert set(generation.graphs) == {NETWORK}
    for name in ("efficientnet_lite0", "efficientnet_lite0:full"):
        pair = FeatureMetric.parse(name, generation.feature)
        assert {generation.graph_of(pair.feature, metric) for metric in pair.feature.metrics} == {NETWORK}
    assert set(generation.graphs[NETWORK].recall) == {"efficientnet_lite0", "efficientnet_lite0_full"}


def test_lake_of_copies_and_lake_of_one_image_can_be_indexed(new_lake):
    lake = new_lake(0, TWO, built=False)
    folder = lake.root.parent / "photos"
    (folder / "one.jpg").write_bytes(PICTURES["noise.jpg"]())
    assert build(lake).rows == 1
    for number in range(30):
        (folder / f"copy_{number}.jpg").write_bytes(PICTURES["noise.jpg"]())
    assert build(lake).rows == 31
    hits = Recommender.open(lake).search(folder / "one.jpg", k=50, by=list(TWO), with_self=True)
    assert [hit.score for hit in hits] == [1] * 31
    far = Recommender.open(lake).search(PICTURES["stripes.png"](), k=1, by="phash")
    assert far[0].score < 0.5


# -- graphs of one's own ------------------------------------------------------------------------------------


def histograms(root, count: int = 700, **settings) -> Lake:
    """A lake of vectors alone, of one feature, with a projection at hand."""
    vectors = np.random.default_rng(1).dirichlet(np.full(512, 0.05), size=count)
    lake = toy.vector_lake(root / "lake", {"rgb_histogram": vectors})
    set_to(lake, **settings)
    return lake


EUCLIDEAN = "rgb_histogram:euclidean"
GIVEN = {"m": 11, "ef_construction": 37, "ef": 200, "candidates": 45}


def test_configured_graph_is_built_in_addition_to_the_default_one(tmp_path):
    lake = histograms(tmp_path, indexes={EUCLIDEAN: GIVEN})
    report = build_generation(lake)
    noted = open_generation(lake).facts["graphs"]
    assert set(noted) == {RGB, EUCLIDEAN} and set(report.recall) == {"rgb_histogram", EUCLIDEAN}
    graph = noted[EUCLIDEAN]
    # Half of ef is more than the configured candidates.
    assert {name: graph[name] for name in GIVEN} == {**GIVEN, "candidates": 100}
    assert noted[RGB]["m"] == IndexParams().m and noted[RGB]["ef"] != GIVEN["ef"]
    built = hnswlib.Index(space="l2", dim=512)
    built.load_index(str(open_generation(lake).folder / "rgb_histogram.euclidean.hnsw"))
    assert (built.M, built.ef_construction, built.element_count) == (11, 37, 700)


@pytest.mark.usefixtures("graphs_asked")
def test_additional_graph_serves_its_metric_and_the_default_graph_all_others(tmp_path):
    lake = histograms(tmp_path, indexes={EUCLIDEAN: {"m": 24}})
    build_generation(lake)
    recommender = Recommender.open(lake)
    query = ImageId(recommender.generation.rows["image_id"][3].as_py())
    plans = {
        by: recommender.search(query, k=5, by=f"rgb_histogram:{by}").plan
        for by in ("euclidean", "hellinger", "manhattan")
    }
    assert "candidates from the graph of rgb_histogram:euclidean," in plans["euclidean"]
    assert "candidates from the graph of rgb_histogram:hellinger," in plans["hellinger"]
    assert "candidates from the graph of rgb_histogram:hellinger," in plans["manhattan"]
    shared = 0
    for row in range(0, 700, 25):
        query = ImageId(recommender.generation.rows["image_id"][row].as_py())
        hits, exact = (recommender.search(query, k=10, by=EUCLIDEAN, exact=exact) for exact in (False, True))
        shared += len({hit.image_id for hit in hits} & {hit.image_id for hit in exact})
    assert shared >= 0.97 * 280


def test_feature_alone_means_the_graph_of_its_default_metric(tmp_path):
    lake = histograms(tmp_path, indexes={"rgb_histogram": {"m": 7}})
    build_generation(lake)
    graphs = open_generation(lake).graphs
    assert set(graphs) == {RGB} and graphs[RGB].m == 7 and graphs[RGB].ef_construction == EF_CONSTRUCTION


@pytest.mark.parametrize("changed", [{"m": 12}, {"ef_construction": 50}, {"ef": 128}, {"candidates": 120}], ids=str)
def test_changed_parameter_makes_another_generation_and_computes_no_feature(new_lake, changed):
    lake = new_lake(20, TWO, indexes={EUCLIDEAN: GIVEN})
    before = times(lake, "features", "images", "catalog")
    set_to(lake, indexes={EUCLIDEAN: GIVEN | changed})
    assert not is_up_to_date(lake, plan_generation(lake))
    report = build(lake)
    assert report.built and report.id == "000002"
    assert times(lake, "features", "images", "catalog") == before
    ((name, value),) = changed.items()
    assert getattr(open_generation(lake).graphs[EUCLIDEAN], name) == value
    assert not build(lake).built


def test_graph_of_a_feature_that_is_not_configured_is_not_built(new_lake):
    assert set(open_generation(new_lake(5, TWO, indexes={"lab_histogram": {"m": 8}})).graphs) == {RGB}


@pytest.mark.usefixtures("graphs_asked")
def test_own_graph_of_full_vectors_is_preferred_to_that_of_the_content_vectors(tmp_path):
    vectors = np.random.default_rng(3).normal(size=(400, 1280)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lake = toy.vector_lake(tmp_path / "lake", {"efficientnet_lite0": vectors})
    full = {"m": 32, "ef_construction": 200}
    set_to(lake, features=("efficientnet_lite0:full",), indexes={"efficientnet_lite0:full": full})
    build_generation(lake)
    recommender = Recommender.open(lake)
    generation = recommender.generation
    assert set(generation.graphs) == {"efficientnet_lite0_full:cosine", NETWORK}
    assert set(generation.graphs["efficientnet_lite0_full:cosine"].recall) == {"efficientnet_lite0_full"}
    assert set(generation.graphs[NETWORK].recall) == {"efficientnet_lite0"}
    query = ImageId(generation.rows["image_id"][3].as_py())
    by_full = recommender.search(query, k=5, by="efficientnet_lite0:full")
    assert "the graph of efficientnet_lite0_full:cosine" in by_full.plan
    assert f"the graph of {NETWORK}" in recommender.search(query, k=5, by="efficientnet_lite0").plan


# -- when it is made ----------------------------------------------------------------------------------------


def test_unchanged_lake_is_not_indexed_again(new_lake):
    lake = new_lake(5, TWO)
    before = times(lake, "generations")
    report = build(lake)
    assert (report.id, report.built, report.rows) == ("000001", False, 5)
    assert times(lake, "generations") == before
    assert is_up_to_date(lake, plan_generation(lake))


def test_new_image_params_and_version_each_cause_a_new_generation(new_lake, monkeypatch):
    lake = new_lake(5, TWO)
    toy.write_photos(lake.root.parent / "photos", [77])
    manifests.update(lake)
    toy.extract(lake)
    assert not is_up_to_date(lake, plan_generation(lake))
    assert build_generation(lake).id == "000002"
    assert build_generation(lake, IndexParams(m=8)).id == "000003"
    monkeypatch.setitem(FEATURES, "phash", replace(FEATURES["phash"], version=2))
    assert build(lake, IndexParams(m=8)).id == "000004"


def test_removed_image_is_not_in_the_next_generation(new_lake):
    lake = new_lake(20, TWO)
    (lake.root.parent / "photos" / "photo_003.jpg").unlink()
    assert build(lake).rows == 19
    generation = open_generation(lake)
    assert "photo_003.jpg" not in generation.live_table(["path"])["path"].to_pylist()
    assert len(Recommender.open(lake)) == 19 and generation.removed == 1


def test_removed_source_is_not_in_the_next_generation(new_lake, tmp_path):
    toy.write_photos(tmp_path / "more", [50, 51])
    lake = new_lake(5, TWO, sources={"photos": tmp_path / "photos", "more": tmp_path / "more"})
    assert len(open_generation(lake)) == 7
    set_to(lake, sources={"photos": tmp_path / "photos"})
    assert build(lake).rows == 5
    assert set(open_generation(lake).rows["source"].to_pylist()) == {"photos"}


def test_two_newest_generations_are_kept(new_lake):
    lake = new_lake(3, TWO)
    for m in (5, 6, 7):
        build_generation(lake, IndexParams(m=m))
    assert lake.generations() == ["000003", "000004"]
    assert lake.current_generation() == "000004"


# -- what is not up to date ---------------------------------------------------------------------------------


def test_new_feature_that_one_shard_lacks_is_left_out_and_named(new_lake):
    lake = new_lake(20, ("rgb_histogram",))
    set_to(lake, features=TWO)
    toy.extract(lake, ["photos-0000"])
    report = build_generation(lake, IndexParams(m=9))
    assert (report.features, report.missing, report.rows) == (("rgb_histogram",), ("phash",), 20)
    with pytest.raises(StaleIndex, match="feature 'phash' is not in the generation yet; run: imrec build"):
        Recommender.open(lake).search(PICTURES["noise.jpg"](), by="phash")


def test_lake_in_which_nothing_was_read_has_nothing_to_publish(new_lake):
    lake = new_lake(5, TWO, built=False)
    manifests.update(lake)
    with pytest.raises(StaleIndex, match=r"no image can be published yet: 5 images wait \(5 to be read\).*imrec build"):
        build_generation(lake)
    assert lake.generations() == []


def test_lake_without_images_is_an_error(new_lake):
    lake = new_lake(0, TWO, built=False)
    with pytest.raises(LakeError, match="no image has been read yet"):
        build_generation(lake)
    assert lake.generations() == [] and lake.current_generation() is None


# -- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["assign_rows", "write_vectors", "build_graphs", "calibrate"])
def test_nothing_is_published_when_a_step_fails(new_lake, monkeypatch, step):
    lake = new_lake(5, TWO)
    before = times(lake, "generations")

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(index_module, step, fail)
    with pytest.raises(KeyboardInterrupt):
        build_generation(lake, IndexParams(m=9))
    assert times(lake, "generations") == before
    assert not list(lake.root.rglob(".writing-*"))
    monkeypatch.undo()
    assert build_generation(lake, IndexParams(m=9)).built


def test_full_disk_leaves_the_current_generation_unchanged(new_lake, monkeypatch):
    import errno

    lake = new_lake(5, TWO)

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StorageFull, match="no space left"):
        build_generation(lake, IndexParams(m=9))
    assert lake.current_generation() == "000001" and len(open_generation(lake)) == 5


def test_configured_ef_below_the_recall_floor_is_an_error(large_lake, monkeypatch):
    monkeypatch.setattr(recall, "recall_at_10", lambda *args, **how: 0.5)
    with pytest.raises(
        LakeError, match=r'rgb_histogram:hellinger: HNSW recall@10 is 0\.5 at ef 70.*\[indexes."rgb_histogram'
    ):
        build_generation(large_lake, IndexParams(m=9, ef=70))
    assert large_lake.generations() == ["000001"]


def test_graph_with_low_recall_is_built_with_a_larger_m(new_lake, monkeypatch):
    lake = new_lake(30, TWO)

    def by_links(generation, *args, **how):
        return 0.96 if generation.graphs[RGB].m >= 12 else 0.9

    monkeypatch.setattr(recall, "recall_at_10", by_links)
    report = build_generation(lake, IndexParams(m=6))
    graph = open_generation(lake).graphs[RGB]
    assert (graph.m, graph.ef_construction, graph.recall) == (12, 200, {"rgb_histogram": 0.96})
    assert report.scanned == () and report.recall == {"rgb_histogram": 0.96}


def test_graph_with_low_recall_at_any_m_is_left_out(new_lake, monkeypatch, caplog):
    lake = new_lake(250, TWO)
    before = Recommender.open(lake).search(lake.root.parent / "photos" / "photo_007.jpg", k=20, exact=True)
    with monkeypatch.context() as patch:
        patch.setattr(recall, "recall_at_10", lambda *args, **how: 0.5)
        report = build_generation(lake, IndexParams(m=6))
    assert (
        report.scanned == (RGB,)
        and report.recall == {}
        and f"{RGB}: HNSW recall@10 is below 0.95 even at 4 times the M" in caplog.text
    )
    generation = open_generation(lake)
    assert generation.graphs == {} and not list(generation.folder.glob("*.hnsw"))
    hits = Recommender.open(lake).search(lake.root.parent / "photos" / "photo_007.jpg", k=20)
    assert "from a scan of 250 rows by rgb_histogram" in hits.plan and hits.hits == before.hits


def test_ef_grows_until_the_recall_is_reached(large_lake, monkeypatch):
    measured = []

    def by_ef(*args, ef, candidates):
        measured.append(ef)
        return 1.0 if ef >= 256 else 0.9

    monkeypatch.setattr(recall, "recall_at_10", by_ef)
    tuned = recall.with_ef_for_recall(Generation(open_generation(large_lake).folder), RGB)
    assert measured == [64, 96, 128, 192, 256]
    assert tuned.ef == 256 and tuned.candidates == 128


def test_shard_never_read_is_left_out_while_its_source_is_away(new_lake, tmp_path):
    lake = new_lake(photos=6)
    toy.write_photos(tmp_path / "disk", range(20, 24))
    lake.save_settings(lake.settings().with_folders([f"disk={tmp_path / 'disk'}"]))
    manifests.update(lake)
    assert "disk-0000" not in plan_generation(lake).shards
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    assert "disk-0000" not in plan_generation(lake).shards
    assert is_up_to_date(lake, plan_generation(lake)) and plan_generation(lake).waiting.reasons == {"images": 4}
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    toy.build(lake)
    assert "disk-0000" in plan_generation(lake).shards


def test_recall_curve_rises_with_ef_and_leaves_graphs_unchanged(large_lake):
    generation = open_generation(large_lake)
    before = dict(generation.graphs)
    (curve,) = recall.recall_at_ef(generation).values()
    assert len(curve) == len(recall.CURVE_EFS)
    assert curve[0] < 1 and curve[-1] > 0.99 and curve[0] == min(curve)
    assert generation.graphs == before
