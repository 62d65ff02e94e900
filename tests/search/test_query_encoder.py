"""Several likes and unlikes: pooling, weights, and invalid queries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from imrec_core import FEATURES, ImageId, Recommender, Text
from imrec_core.catalog.ids import image_id
from imrec_core.errors import BadWeights, EmptyQuery, QueryError, UnknownName
from tests.support.pictures import noise
from tests.support.toy import ids

SEVERAL = ["efficientnet_lite0", "rgb_histogram", "phash"]
POOLS = ("mean", "best", "all")


def at(recommender: Recommender, *rows: int) -> list[ImageId]:
    return [ImageId(recommender.generation.rows["image_id"][row].as_py()) for row in rows]


def rows_of(recommender: Recommender, hits) -> list[int]:
    return [recommender.generation.row_of(hit.image_id) for hit in hits]


def distances(recommender: Recommender, name: str, row: int) -> np.ndarray:
    matrix = recommender.generation.matrix(name)
    return FEATURES[name].metric(np.asarray(matrix[row]), matrix).astype(np.float64)


# -- pooling ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_list_of_one_query_is_that_query(recommender, photos, pool):
    path = photos / "photo_007.jpg"
    one = recommender.search(path, by=SEVERAL)
    assert recommender.search(like=[path], by=SEVERAL, pool=pool) == one
    assert recommender.search(like=(path, 3), by=SEVERAL, pool=pool) == one
    assert recommender.search(like=[(path, 0.5)], by=SEVERAL, pool=pool) == one


@pytest.mark.parametrize(("pool", "plain"), [("mean", np.mean), ("best", np.min), ("all", np.max)])
@pytest.mark.parametrize("exact", [True, False])
def test_distances_of_hashes_are_pooled(large, pool, plain, exact):
    hits = large.search(like=at(large, 3, 40, 99), by="phash", pool=pool, k=20, exact=exact)
    expected = plain([distances(large, "phash", row) for row in (3, 40, 99)], axis=0)
    expected[[3, 40, 99]] = np.inf
    found = rows_of(large, hits)
    np.testing.assert_allclose([hit.parts["phash"].distance for hit in hits], expected[found], rtol=1e-6)
    np.testing.assert_allclose(expected[found], np.sort(expected)[:20], rtol=1e-6)


def test_mean_vector_is_the_query(large):
    matrix = np.asarray(large.generation.matrix("rgb_histogram"), np.float64)
    mean = np.average(matrix[[5, 9]], axis=0, weights=[1, 3]).astype(np.float32)
    (a, b) = at(large, 5, 9)
    pooled = large.search(like=[(a, 1), (b, 3)], k=10, exact=True)
    given = [i for i in ids(large.search(mean, by="rgb_histogram", k=12, exact=True)) if i not in (a.value, b.value)]
    assert ids(pooled) == given[:10]
    assert ids(large.search(like=[(a, 1), (b, 3)], k=10)) == ids(pooled)


def test_mean_of_unit_vectors_has_length_1(recommender):
    likes = at(recommender, 20, 21)
    (hit, *_) = recommender.search(like=likes, by="efficientnet_lite0", k=1)
    matrix = np.asarray(recommender.generation.matrix("efficientnet_lite0"), np.float64)
    mean = matrix[20] / np.linalg.norm(matrix[20]) + matrix[21] / np.linalg.norm(matrix[21])
    row = recommender.generation.row_of(hit.image_id)
    cosine = mean @ matrix[row] / np.linalg.norm(mean) / np.linalg.norm(matrix[row])
    assert hit.parts["efficientnet_lite0"].distance == pytest.approx(1 - cosine, abs=1e-3)


@pytest.mark.parametrize(("pool", "plain"), [("best", np.min), ("all", np.max)])
def test_best_and_all_are_the_least_and_the_largest_distance(large, pool, plain):
    hits = large.search(like=at(large, 5, 9), pool=pool, k=690, exact=True)
    expected = plain([distances(large, "rgb_histogram", row) for row in (5, 9)], axis=0)
    shown = [hit.parts["rgb_histogram"].distance for hit in hits]
    np.testing.assert_allclose(shown, expected[rows_of(large, hits)], atol=1e-5)


def test_lighter_query_is_farther_for_best_and_nearer_for_all(large):
    a, b = at(large, 5, 9)
    near_b = distances(large, "phash", 9)
    for pool, factor in (("best", 2), ("all", 0.5)):
        hits = large.search(like=[(a, 1), (b, 0.5)], pool=pool, by="phash", k=690, exact=True)
        plain = np.min if pool == "best" else np.max
        expected = plain([distances(large, "phash", 5), factor * near_b], axis=0)
        shown = [hit.parts["phash"].distance for hit in hits]
        np.testing.assert_allclose(shown, expected[rows_of(large, hits)], rtol=1e-6)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("exact", [True, False])
def test_order_of_likes_and_unlikes_does_not_matter(large, pool, exact):
    likes = [(query, weight) for query, weight in zip(at(large, 1, 2, 3, 4), (1, 0.3, 0.7, 1), strict=True)]
    unlikes = at(large, 30, 31, 32)
    asked = {"by": {"rgb_histogram": 0.3, "phash": 0.7}, "pool": pool, "k": 30, "exact": exact}
    first = large.search(like=likes, unlike=unlikes, **asked)
    again = large.search(like=likes[::-1], unlike=[unlikes[1], unlikes[2], unlikes[0]], **asked)
    assert again.hits == first.hits


@pytest.mark.parametrize("pool", POOLS)
def test_scale_of_query_weights_does_not_matter(large, pool):
    a, b, c = at(large, 1, 2, 3)
    answers = [
        large.search(like=[(a, s), (b, 0.5 * s)], unlike=(c, 0.25 * s), pool=pool, by=["rgb_histogram", "phash"])
        for s in (1, 4, 1024)
    ]
    assert answers[0].hits == answers[1].hits == answers[2].hits


@pytest.mark.parametrize("pool", POOLS)
def test_query_of_weight_0_is_ignored_and_not_a_hit(large, pool):
    a, b = at(large, 1, 2)
    hits = large.search(like=[a, (b, 0)], pool=pool, k=700, exact=True)
    alone = large.search(a, k=700, exact=True)
    assert b.value not in ids(hits) and ids(hits) == [i for i in ids(alone) if i != b.value]


@pytest.mark.usefixtures("graphs_asked")
@pytest.mark.parametrize("pool", POOLS)
def test_graph_finds_for_several_what_the_exact_scan_finds(large, pool):
    shared = 0
    for row in range(0, 600, 30):
        likes = at(large, row, row + 1)
        by_graph, exact = (large.search(like=likes, pool=pool, k=10, exact=exact) for exact in (False, True))
        assert "candidates from the graph" in by_graph.plan
        shared += len(set(ids(by_graph)) & set(ids(exact)))
    assert shared >= 0.95 * 200


def test_query_images_are_not_hits(large):
    likes, unlikes = at(large, 1, 2, 3), at(large, 4, 5)
    hits = large.search(like=likes, unlike=unlikes, k=1000)
    assert len(hits) == 695 and not {query.value for query in (*likes, *unlikes)} & set(ids(hits))


def test_types_of_queries_can_be_mixed(recommender, photos):
    path = photos / "photo_001.jpg"
    mixed = [path, (photos / "photo_002.jpg").read_bytes(), noise(90, 60, seed=5), (*at(recommender, 30), 0.5)]
    hits = recommender.search(like=mixed, unlike=[photos / "photo_009.jpg"], by=SEVERAL, k=9)
    assert len(hits) == 9 and len(hits.likes) == 4 and len(hits.unlikes) == 1
    assert len(hits.cells()) == 14
    vector = np.array(recommender.generation.matrix("phash")[0])
    assert len(recommender.search(like=[path, vector], by="phash")) == 5


# -- mixes --------------------------------------------------------------------------------------------------


def test_mix_equals_its_features(new_lake):
    lake = new_lake(8, ("rgb_histogram", "phash"), mixes={"look": {"rgb_histogram:manhattan": 3, "phash": 1}})
    opened = Recommender.open(lake)
    (query, *_) = at(opened, 2)
    parts = {"rgb_histogram:manhattan": 0.75, "phash": 0.25}
    assert opened.search(query, by="mix:look") == opened.search(query, by=parts)
    both = opened.search(query, by={"mix:look": 1, "phash": 1})
    assert both == opened.search(query, by={"rgb_histogram:manhattan": 0.75, "phash": 1.25})
    with pytest.raises(UnknownName, match="no mix named 'lok'; did you mean 'look'"):
        opened.search(query, by="mix:lok")


# -- unlikes ------------------------------------------------------------------------------------------------


def test_row_nearer_to_an_unlike_than_to_the_likes_loses_the_difference(large):
    like, unlike = at(large, 10, 11)
    by = "rgb_histogram"
    calibration = large.generation.calibration(by, "hellinger")
    to_like, to_unlike = (calibration.score(distances(large, by, row)) for row in (10, 11))
    alone = {hit.image_id: hit.score for hit in large.search(like, k=700, exact=True)}
    hits = large.search(like, unlike=(unlike, 0.5), k=700, exact=True)
    for hit, row in zip(hits, rows_of(large, hits), strict=True):
        taken = 0.5 * max(0.0, to_unlike[row] - to_like[row])
        assert hit.parts[by].unlike == pytest.approx(taken, abs=1e-3)
        assert hit.score == pytest.approx(max(0, alone[hit.image_id] - taken), abs=1e-3)


def test_copy_of_an_unlike_comes_last(new_lake):
    from tests.support import toy

    lake = new_lake(12, ("rgb_histogram",), built=False)
    folder = lake.root.parent / "photos"
    (folder / "copy.jpg").write_bytes((folder / "photo_003.jpg").read_bytes())
    toy.build(lake)
    opened = Recommender.open(lake)
    hits = opened.search(folder / "photo_007.jpg", unlike=folder / "photo_003.jpg", k=20, with_self=True)
    assert {Path(hit.path).name for hit in hits[-2:]} == {"copy.jpg", "photo_003.jpg"} and hits[-1].score == 0


def test_heavier_unlike_lowers_scores_more(large):
    like, unlike = at(large, 10, 11)
    scores = []
    for weight in (0, 0.25, 0.5, 1, 2):
        hits = large.search(like, unlike=(unlike, weight), k=700, exact=True)
        scores.append([hit.score for hit in sorted(hits, key=lambda hit: hit.image_id) if hit.image_id != unlike.value])
    assert (np.diff(scores, axis=0) <= 1e-12).all() and np.sum(scores[0]) > np.sum(scores[-1])


# -- what is refused ----------------------------------------------------------------------------------------


def test_repeated_image_is_refused_in_every_form(recommender, photos):
    path = photos / "photo_003.jpg"
    identity = ImageId(image_id("photos", "photo_003.jpg"))
    array = noise(40, 30, seed=1)
    for first, second in ((path, str(path)), (identity, path), (array, array.copy()), (b"x", b"x"), (Text("a"),) * 2):
        with pytest.raises(QueryError, match="given twice; give it once"):
            recommender.search(like=[first, second], by="phash")
        with pytest.raises(QueryError, match="both a like and an unlike"):
            recommender.search(first, unlike=second, by="phash")


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, -math.inf, 10**400])
def test_invalid_query_weights_are_refused(recommender, photos, weight):
    for asked in ({"like": (photos / "photo_003.jpg", weight)}, {"like": "x", "unlike": [("y", weight)]}):
        with pytest.raises(BadWeights, match="0 or more, and finite"):
            recommender.search(**asked)


def test_likes_of_weight_0_only_are_refused(recommender, photos):
    with pytest.raises(BadWeights, match="all likes weigh 0"):
        recommender.search(like=[(photos / "photo_003.jpg", 0), (photos / "photo_004.jpg", 0)])


@pytest.mark.parametrize("asked", [{}, {"like": []}, {"unlike": "a.jpg"}, {"like": (), "unlike": "a.jpg"}])
def test_search_without_a_like_is_refused(recommender, asked):
    with pytest.raises(EmptyQuery, match="give an image to search for"):
        recommender.search(**asked)


def test_invalid_vector_and_unknown_id_among_queries_are_refused(recommender):
    with pytest.raises(QueryError, match="has finite numbers"):
        recommender.search(like=[*at(recommender, 3), np.full(512, np.nan)], by="rgb_histogram")
    with pytest.raises(QueryError, match="no image '0000000000000000'"):
        recommender.search(like=[*at(recommender, 3), ImageId("0" * 16)])
    with pytest.raises(QueryError, match="invalid image_id"):
        recommender.search(ImageId(7))


def test_text_with_a_feature_without_text_support_is_refused(recommender):
    with pytest.raises(QueryError, match="phash does not support text"):
        recommender.search(like=[*at(recommender, 3), Text("a red car")], by="phash")


@pytest.mark.parametrize("pool", ["bets", "", None, 3, ["best"]])
def test_unknown_pool_is_refused(recommender, pool):
    with pytest.raises(UnknownName, match=r"no pool named .*(did you mean 'best'|known: mean, best, all)"):
        recommender.search(*at(recommender, 3), pool=pool)


@pytest.mark.parametrize("by", [3, [3], [["phash"]], {None: 1}])
def test_invalid_by_is_refused(recommender, by):
    with pytest.raises(QueryError, match="expected names of features"):
        recommender.search(*at(recommender, 3), by=by)


def test_match_threshold_with_text_is_refused(recommender):
    with pytest.raises(QueryError, match="text queries have no calibrated false match rate"):
        recommender.search(Text("a red car"), by="phash", max_false_match_rate=0.1)
