"""Ranking: match thresholds, fusion, order, and distinct and diverse hits."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from imrec_core import ImageId, Recommender
from imrec_core.errors import BadFilter, QueryError, UnknownName
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.index.build import IndexParams, build_generation
from imrec_core.search import candidates, match_threshold
from imrec_core.search.match_threshold import JointCalibrations, joint_calibration
from tests.support import toy
from tests.support.toy import ids

FUSIONS = ("score", "rrf", "dbsf")
MIX = {"rgb_histogram": 0.7, "phash": 0.3}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> Recommender:
    """2,500 vectors like those of networks and histograms: in classes, with correlated features."""
    rng = np.random.default_rng(7)
    count, classes = 2500, 40
    of = rng.integers(0, classes, count)
    spectrum = 1 / np.sqrt(np.arange(1, 1281))  # as of real embeddings, a few directions hold most of the variance
    vectors = (rng.normal(size=(classes, 1280))[of] + rng.normal(size=(count, 1280))) * spectrum
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    histograms = rng.dirichlet(np.full(512, 0.1), size=classes)[of] + rng.dirichlet(np.full(512, 0.1), size=count)
    hashes = rng.integers(0, 2**64, (count, 1), dtype=np.uint64)
    lake = toy.vector_lake(
        tmp_path_factory.mktemp("crowd") / "lake",
        {"mobilenet_v2": vectors, "rgb_histogram": histograms / 2, "phash": hashes},
    )
    build_generation(lake)
    return Recommender.open(lake)


def at(recommender: Recommender, row: int) -> ImageId:
    return ImageId(recommender.generation.rows["image_id"][row].as_py())


# -- the cut ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
@pytest.mark.parametrize("by", ["mobilenet_v2", "rgb_histogram:manhattan", ["mobilenet_v2", "rgb_histogram", "phash"]])
def test_match_threshold_passes_its_share_of_held_out_pairs(crowd, rate, by):
    sample = set(np.random.default_rng(20_26).permutation(len(crowd))[:712].tolist())  # rows used by the calibration
    held_out = [row for row in range(len(crowd)) if row not in sample][::40]
    passed = [len(crowd.search(at(crowd, row), by=by, k=2500, max_false_match_rate=rate, exact=True))
              for row in held_out]  # fmt: skip
    share = sum(passed) / len(held_out) / (len(crowd) - 1)
    assert rate / 2 <= share <= rate * 2


def test_joint_calibrations_are_bounded_and_the_same_each_time(crowd):
    generation = crowd.generation
    pairs = [FeatureMetric.of(generation.feature(name)) for name in MIX]

    def mixed(weight: float) -> list[WeightedFeature]:
        return [pair.weighted(str(pair), share) for pair, share in zip(pairs, (weight, 1 - weight), strict=True)]

    joint, weights = JointCalibrations(generation, most=3), [0.1, 0.2, 0.3, 0.4, 0.5]
    expected = [joint_calibration(generation, mixed(weight)) for weight in weights]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(lambda weight: joint.of(mixed(weight)), weights)) == expected
            assert len(joint) <= 3
    kept = joint.of(mixed(0.5))
    assert joint.of(mixed(0.5)) is kept
    for weight in (0.6, 0.7, 0.5, 0.8, 0.9):  # the last used one stays in the cache
        joint.of(mixed(weight))
    assert joint.of(mixed(0.5)) is kept and len(joint) == 3


def test_joint_calibrations_are_cached_while_their_generation_is_in_use(new_lake, monkeypatch):
    made = []
    monkeypatch.setattr(match_threshold, "joint_calibration", lambda g, c: made.append(g.id) or joint_calibration(g, c))
    lake = new_lake(20, tuple(MIX))
    recommender, photo = Recommender.open(lake), lake.root.parent / "photos" / "photo_003.jpg"
    for _ in range(3):
        recommender.search(photo, by=MIX, max_false_match_rate=0.5)
        list(recommender.search_each([photo] * 2, by=MIX, max_false_match_rate=0.5))
    assert made == ["000001"]
    toy.write_photos(photo.parent, [30])
    toy.build(lake)
    for _ in range(2):
        assert recommender.search(photo, by=MIX, max_false_match_rate=0.5).generation == "000002"
    assert made == ["000001", "000002"]


@pytest.mark.parametrize("pool", ["mean", "best", "all"])
def test_several_likes_share_the_false_match_rate(crowd, pool):
    passed = []
    for row in range(0, 2000, 100):
        likes = [at(crowd, row + i) for i in range(4)]
        passed.append(len(crowd.search(like=likes, pool=pool, k=2500, max_false_match_rate=0.05, exact=True)))
    assert sum(passed) / len(passed) / len(crowd) <= 0.1


def test_match_threshold_keeps_the_first_hits_and_counts_them(large):
    query = at(large, 12)
    every = large.search(query, k=700, exact=True)
    some = large.search(query, k=700, exact=True, max_false_match_rate=0.2)
    assert 0 < len(some) < 699 and some.hits == every.hits[: len(some)]
    assert some.cut == 699 - len(some)
    assert some.plan == f"exact scan of 700 rows; {len(some)} of them within a false match rate of 0.2"
    assert every.cut == 0 and every.plan == "exact scan of 700 rows"
    none = large.search(query, max_false_match_rate=1e-12)
    assert len(none) == 0 and none.cut > 0 and "0 of them within" in none.plan


def test_copy_passes_every_match_threshold(recommender, photos):
    hits = recommender.search(photos / "photo_003.jpg", by="phash", max_false_match_rate=1e-12, with_self=True)
    assert hits[0].path == str(photos / "photo_003.jpg")


@pytest.mark.parametrize("rate", [0, -0.1, 1.5, math.nan, math.inf, "0.1"])
def test_invalid_rate_is_refused(recommender, photos, rate):
    with pytest.raises(QueryError, match=r"max_false_match_rate is .*; it must be a number above 0, at most 1"):
        recommender.search(photos / "photo_003.jpg", max_false_match_rate=rate)


# -- fusion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fuse", FUSIONS)
@pytest.mark.parametrize("exact", [True, False])
def test_fusion_of_one_feature_does_not_matter(large, fuse, exact):
    plain = large.search(at(large, 3), by="rgb_histogram", k=30, exact=exact)
    assert large.search(at(large, 3), by="rgb_histogram", k=30, exact=exact, fuse=fuse) == plain
    shown = large.search(at(large, 3), by={"phash": 0, "rgb_histogram": 2}, k=30, exact=True, fuse=fuse)
    exactly = large.search(at(large, 3), by="rgb_histogram", k=30, exact=True)
    assert [(h.image_id, h.score) for h in shown] == [(h.image_id, h.score) for h in exactly]


@pytest.mark.parametrize("fuse", FUSIONS)
def test_scale_of_weights_order_of_features_and_true_conditions_do_not_matter(large, fuse):
    first = large.search(at(large, 8), by=MIX, k=40, fuse=fuse)
    scaled = large.search(at(large, 8), by={name: 8 * weight for name, weight in MIX.items()}, k=40, fuse=fuse)
    turned = large.search(at(large, 8), by=dict(reversed(MIX.items())), k=40, fuse=fuse)
    assert first.hits == scaled.hits == turned.hits
    exact = large.search(at(large, 8), by=MIX, k=40, fuse=fuse, exact=True)
    assert large.search(at(large, 8), by=MIX, k=40, fuse=fuse, exact=True, where="true").hits == exact.hits


@pytest.mark.parametrize("fuse", FUSIONS)
def test_scores_fall_along_the_hits_and_are_monotonic(large, fuse):
    hits = large.search(at(large, 8), by=MIX, k=700, fuse=fuse, exact=True)
    scores = np.array([hit.score for hit in hits])
    assert scores.min() >= 0 and scores.max() <= 1 and (np.diff(scores) <= 1e-12).all()
    far = np.array([[part.distance for part in hit.parts.values()] for hit in hits])
    farther = (far[:, None, :] >= far[None, :, :]).all(axis=2)
    assert (scores[:, None] <= scores[None, :] + 1e-12)[farther].all()


def test_graph_and_exact_agree_on_fused_features(crowd):
    shared = 0
    for row in range(0, 2500, 100):
        by_graph, exact = (crowd.search(at(crowd, row), by=["mobilenet_v2", "rgb_histogram"], k=10, exact=e)
                           for e in (False, True))  # fmt: skip
        assert "candidates from" in by_graph.plan
        shared += len(set(ids(by_graph)) & set(ids(exact)))
    assert shared >= 0.95 * 250


def test_rank_and_distribution_fusions_match_their_definitions(large):
    asked = {"by": MIX, "k": 700, "exact": True}
    every = large.search(at(large, 8), **asked)
    far = {name: np.array([hit.parts[name].distance for hit in every], np.float64) for name in MIX}
    places = {name: np.array([hit.parts[name].rank for hit in every]) for name in MIX}
    for name, of in far.items():
        np.testing.assert_array_equal(places[name], [(of < one).sum() + 1 for one in of])
    rrf = sum(weight * 61 / (60 + places[name]) for name, weight in MIX.items())
    dbsf = sum(
        weight * (far[name].mean() + 3 * far[name].std() - far[name]) / (6 * far[name].std())
        for name, weight in MIX.items()
    )
    for fuse, expected in (("rrf", rrf), ("dbsf", dbsf.clip(0, 1))):
        scores = {hit.image_id: hit.score for hit in large.search(at(large, 8), fuse=fuse, **asked)}
        np.testing.assert_allclose([scores[hit.image_id] for hit in every], expected, atol=1e-6)


def test_rank_by_a_feature_is_that_among_all_ranked_images(large):
    every = large.search(at(large, 8), by=MIX, k=700, exact=True)
    few = large.search(at(large, 8), by=MIX, k=5, exact=True)
    assert few.hits == every.hits[:5] and max(hit.parts["phash"].rank for hit in few) > 5


@pytest.mark.parametrize("fuse", FUSIONS)
def test_unlikes_lower_every_fusion(large, fuse):
    asked = {"by": MIX, "k": 700, "fuse": fuse, "exact": True}
    hits = large.search(at(large, 8), unlike=at(large, 9), **asked)
    near = max(hits, key=lambda hit: sum(MIX[name] * part.unlike for name, part in hit.parts.items()))
    before = next(hit for hit in large.search(at(large, 8), **asked) if hit.image_id == near.image_id)
    assert near.rank > before.rank


@pytest.mark.parametrize(
    ("fuse", "said"), [("rff", "did you mean 'rrf'"), ("mean", "known: score, rrf, dbsf"), (None, "known: ")]
)
def test_unknown_fusion_is_refused(large, fuse, said):
    with pytest.raises(UnknownName, match=f"no fusion named .*{said}"):
        large.search(at(large, 8), fuse=fuse)


def test_content_vectors_propose_candidates_of_full_vectors_among_matching_rows(tmp_path, monkeypatch):
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(900, 30)) @ rng.normal(size=(30, 1280))  # few directions, so that PCA keeps the order
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lake = toy.vector_lake(tmp_path / "lake", {"efficientnet_lite0": vectors})
    toy.set_to(lake, features=("efficientnet_lite0:full",))
    build_generation(lake)
    opened = Recommender.open(lake)
    asked = {"by": "efficientnet_lite0:full", "where": "row % 3 = 0"}
    some = opened.search(at(opened, 7), **asked)
    assert some.plan == "100 candidates from a scan of 300 rows by efficientnet_lite0, ranked exactly"
    exact = opened.search(at(opened, 7), exact=True, **asked)
    assert exact.plan == "exact scan of 300 rows" and some.hits == exact.hits
    monkeypatch.setattr(candidates, "_ROWS_PER_FETCHED", 0)
    by_graph = opened.search(at(opened, 7), **asked)
    assert "candidates from the graph of efficientnet_lite0:" in by_graph.plan
    assert ids(by_graph) == ids(exact)


@pytest.mark.parametrize("by", ["mobilenet_v2", "rgb_histogram:manhattan", ["mobilenet_v2", "rgb_histogram"]], ids=str)
def test_many_hits_are_exact_with_candidates_in_another_order(crowd, monkeypatch, by):
    monkeypatch.setattr(candidates, "_ROWS_PER_FETCHED", 0)
    shared = 0
    for row in range(0, 2500, 250):
        hits, exact = (crowd.search(at(crowd, row), by=by, k=200, exact=e) for e in (False, True))
        if by != "rgb_histogram:manhattan":  # for which more candidates are needed than the lake has
            assert "candidates from the graph" in hits.plan
        shared += len(set(ids(hits)) & set(ids(exact)))
    assert shared >= 0.95 * 2000


@pytest.mark.usefixtures("graphs_asked")
@pytest.mark.parametrize(
    ("by", "plan"),
    [
        ("mobilenet_v2:manhattan", "a scan of 2500 rows by mobilenet_v2:manhattan"),
        ("rgb_histogram:euclidean", "a scan of 2500 rows by rgb_histogram:euclidean"),
        ("rgb_histogram:cosine", "a scan of 2500 rows by rgb_histogram:cosine"),
        ("mobilenet_v2:euclidean", "the graph of mobilenet_v2"),
        ("rgb_histogram:manhattan", "the graph of rgb_histogram:hellinger"),
        ("rgb_histogram:chi_square", "the graph of rgb_histogram:hellinger"),
    ],
)
def test_graph_of_another_metric_is_asked_only_if_it_finds_the_nearest(crowd, by, plan):
    shared = 0
    for row in range(0, 2500, 50):
        hits, exact = (crowd.search(at(crowd, row), by=by, k=10, exact=e) for e in (False, True))
        assert plan in hits.plan
        shared += len(set(ids(hits)) & set(ids(exact)))
    assert shared == 500 if "scan" in plan else shared >= 0.98 * 500  # of random vectors


# -- order, copies, diversity -------------------------------------------------------------------------------


def test_order_by_sorts_the_same_hits_and_keeps_their_ranks(recommender, photos):
    plain = recommender.search(photos / "photo_003.jpg", k=20)
    ordered = recommender.search(photos / "photo_003.jpg", k=20, order_by="height, width DESC")
    table = recommender.generation.rows
    size = {
        i: (h, -w) for i, h, w in zip(*(table[n].to_pylist() for n in ("image_id", "height", "width")), strict=True)
    }
    assert list(ordered) == sorted(plain, key=lambda hit: (*size[hit.image_id], hit.rank))
    assert {hit.rank for hit in ordered} == set(range(1, 21)) and [hit.rank for hit in ordered] != list(range(1, 21))


@pytest.mark.parametrize("order_by", ["widht", "width >", "width; DROP TABLE rows", "", "(SELECT 1 FROM 'x.csv')", 3])
def test_invalid_order_is_refused_also_without_hits(recommender, photos, order_by):
    for where in ("true", "false"):
        with pytest.raises(BadFilter, match="order_by"):
            recommender.search(photos / "photo_003.jpg", order_by=order_by, where=where)


def test_exact_copies_collapse_to_the_best(new_lake):
    lake = new_lake(6, ("rgb_histogram",), built=False)
    folder = lake.root.parent / "photos"
    for name in ("a", "b", "c"):
        (folder / f"{name}.jpg").write_bytes((folder / "photo_001.jpg").read_bytes())
    toy.build(lake)
    opened = Recommender.open(lake)
    asked = {"k": 4, "by": "rgb_histogram", "with_self": True}
    names = [Path(hit.path).stem for hit in opened.search(folder / "photo_001.jpg", **asked)]
    assert names == ["a", "b", "c", "photo_001"]
    hits = opened.search(folder / "photo_001.jpg", distinct="content", **asked)
    assert Path(hits[0].path).stem == "a" and len(hits) == 4
    assert {"b", "c", "photo_001"}.isdisjoint(Path(hit.path).stem for hit in hits)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Recommender:
    """1,200 histograms; the first 400 belong to files with identical bytes."""
    rng = np.random.default_rng(0)
    histograms = rng.dirichlet(np.full(512, 0.05), size=1200)
    histograms[:400] = histograms[0]
    lake = toy.vector_lake(tmp_path_factory.mktemp("copied") / "lake", {"rgb_histogram": histograms})
    for shard in lake.live_shards():
        path = lake.images_path(shard)
        table = lake.read_table(path)
        content = [("same" if i < 400 and shard.endswith("0000") else str(i)) + shard for i in range(len(table))]
        at_column = table.column_names.index("content_hash")
        lake.write_table(path, table.set_column(at_column, table.schema.field("content_hash"), [content]),
                         lake.made_from(path))  # fmt: skip
    build_generation(lake, IndexParams(m=48, ef_construction=400))  # random vectors and many copies are hard
    return Recommender.open(lake)


def test_distinct_hits_are_found_behind_many_copies(copied):
    assert len(copied.search(at(copied, 3), k=10, distinct="content")) == 10


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"where": "row < 80"},
        {"where": "row < 80", "by": MIX, "fuse": "rrf"},
        {"where": "row >= 50 AND row < 130", "diversify": 0.3},
        {"max_false_match_rate": 0.004},
        {"max_false_match_rate": 0.1, "where": "row < 400", "by": MIX, "unlike": 5},
    ],
)
def test_more_tells_whether_a_larger_k_finds_more(crowd, asked):
    if "unlike" in asked:
        asked = {**asked, "unlike": at(crowd, asked["unlike"])}
    asked = {"by": "rgb_histogram", **asked}
    every = len(crowd.search(at(crowd, 3), k=1000, **asked))
    assert every > 2
    for k in {1, 2, every - 1, every, every + 1} if every < 1000 else {1, 2, 999, 1000}:
        hits = crowd.search(at(crowd, 3), k=k, **asked)
        assert (len(hits), hits.more) == (min(k, every), k < every or every == 1000)


def test_more_with_many_copies(copied):
    query = at(copied, 3)
    for k in (1, 49, 50, 51, 52):
        assert copied.search(query, k=k, distinct="content", where="row < 450").more == (k < 51)
    assert not copied.search(query, k=1, distinct="content", where="row < 400").more
    hits = copied.search(query, k=1, distinct="content")
    assert hits.more and hits.plan.startswith("256 candidates")  # all of them copies; more candidates follow
    assert not copied.search(query, k=801, distinct="content").more


def test_diversity_follows_maximal_marginal_relevance(large):
    query, k, diversity = at(large, 20), 8, 0.6
    plain = large.search(query, k=5 * k, exact=True)
    hits = large.search(query, k=k, exact=True, diversify=diversity)
    matrix = large.generation.matrix("rgb_histogram")
    rows = [large.generation.row_of(hit.image_id) for hit in plain]
    overlap = np.sqrt(matrix[rows]) @ np.sqrt(matrix[rows]).T
    calibration = large.generation.calibration("rgb_histogram", "hellinger")
    alike = calibration.score(np.sqrt(np.clip(1 - overlap, 0, None)).astype(np.float32))
    taken: list[int] = []
    while len(taken) < k:
        rest = [i for i in range(len(rows)) if i not in taken]
        worth = [(1 - diversity) * plain[i].score - diversity * max([alike[i, j] for j in taken], default=0)
                 for i in rest]  # fmt: skip
        taken.append(rest[int(np.argmax(worth))])
    assert ids(hits) == [plain[i].image_id for i in taken]
    assert [hit.rank for hit in hits] == list(range(1, k + 1))
    assert large.search(query, k=k, diversify=0).hits == large.search(query, k=k).hits


@pytest.mark.parametrize("diversify", [-0.1, 1.1, math.nan, "much", None])
def test_invalid_diversity_is_refused(large, diversify):
    with pytest.raises(QueryError, match=r"diversify is .*; it must be a number from 0 \(off\) to 1"):
        large.search(at(large, 3), diversify=diversify)
    with pytest.raises(QueryError, match="with diversify it must be at most 1000"):
        large.search(at(large, 3), diversify=0.5, k=1001)


def test_unknown_distinct_is_refused(large):
    with pytest.raises(UnknownName, match="no distinct named 'contents'; did you mean 'content'"):
        large.search(at(large, 3), distinct="contents")
