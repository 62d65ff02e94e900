"""Searches within a distance: every image that is near enough, by an exact search."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from imrec_core import FEATURES, ImageId, Recommender
from imrec_core.errors import QueryError
from imrec_core.search import request
from tests.support.toy import ids


def at(recommender: Recommender, *rows: int) -> list[ImageId]:
    return [ImageId(recommender.generation.rows["image_id"][row].as_py()) for row in rows]


def distances(recommender: Recommender, by: str, row: int) -> np.ndarray:
    name, _, metric = by.partition(":")
    feature, matrix = FEATURES[name], recommender.generation.matrix(name)
    chosen = feature.find_metric(metric) if metric else feature.metric
    return np.asarray(chosen(feature.as_query(np.asarray(matrix[row]), chosen), np.asarray(matrix)))


@pytest.mark.usefixtures("graphs_asked")
@pytest.mark.parametrize("by", ["phash", "rgb_histogram", "rgb_histogram:manhattan"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_hits_are_all_images_within_the_distance(large, by, share):
    of_row = np.delete(distances(large, by, 30), 30)
    limit = float(np.quantile(of_row, share, method="lower"))
    hits = large.search(*at(large, 30), by=by, max_distance=limit)
    assert len(hits) == (of_row <= limit).sum() > 0 and not hits.more
    found = [hit.parts[by].distance for hit in hits]
    assert found == sorted(found) and max(found) == pytest.approx(limit)
    assert hits.plan == f"exact scan of {len(hits) + 1} rows within a distance of {limit:g} by {by}"
    (each,) = large.search_each(at(large, 30), by=by, max_distance=limit)
    assert each.hits == hits.hits
    half = large.search(*at(large, 30), by=by, max_distance=limit / 2)
    assert half.hits == tuple(hit for hit in hits if hit.parts[by].distance <= limit / 2)


def test_k_is_the_largest_number_of_hits(large, monkeypatch):
    (query,) = at(large, 30)
    hits = large.search(query, k=3, by="phash", max_distance=64)
    assert len(hits) == 3 and hits.more and ids(hits) == ids(large.search(query, k=3, by="phash", exact=True))
    monkeypatch.setattr(request, "MOST_WITHIN", 50)
    bounded = large.search(query, by="phash", max_distance=64)
    assert len(bounded) == 50 and bounded.more
    assert len(large.search(query, by="phash")) == 5


def test_filters_likes_and_pools_apply_too(large):
    likes, limit = at(large, 3, 40), 24
    for pool, pooled in (("best", np.minimum), ("all", np.maximum)):
        expected = pooled(distances(large, "phash", 3), distances(large, "phash", 40)) <= limit
        expected[[3, 40]] = False
        hits = large.search(like=likes, by="phash", pool=pool, max_distance=limit, where="row < 500")
        assert {large.generation.row_of(i) for i in ids(hits)} == {int(i) for i in np.flatnonzero(expected) if i < 500}
    assert len(large.search(likes[0], by="phash", max_distance=0)) == 0
    assert ids(large.search(likes[0], by="phash", max_distance=0, with_self=True)) == [likes[0].value]


def test_removed_images_are_no_hits(new_lake):
    from tests.support import toy

    lake = new_lake(20, ("phash",))
    (lake.root.parent / "photos" / "photo_001.jpg").unlink()
    toy.build(lake)
    recommender = Recommender.open(lake)
    query = ImageId(recommender.generation.live_table(["image_id"])["image_id"][0].as_py())
    assert recommender.generation.removed == 1 and len(recommender.search(query, max_distance=64)) == 18


@pytest.mark.parametrize("distance", [-0.1, math.nan, math.inf, "3"])
def test_invalid_distance_is_refused(large, distance):
    with pytest.raises(QueryError, match=r"max_distance is .*; it must be a finite number of 0 or more"):
        large.search(*at(large, 1), max_distance=distance)


def test_several_features_have_no_distance(large):
    for search in (large.search, lambda query, **how: list(large.search_each([query], **how))):
        with pytest.raises(QueryError, match="the search is by phash, rgb_histogram; name one of them"):
            search(*at(large, 1), by=["phash", "rgb_histogram"], max_distance=3)


def test_command_takes_a_distance(imrec, large_lake, large):
    (query,) = at(large, 30)
    asked = ("search", query.value, "--by", "phash", "--lake", large_lake.root, "--max-distance")
    expected = large.search(query, by="phash", max_distance=22)
    assert len(expected) > 5
    assert [hit["image_id"] for hit in json.loads(imrec(*asked, 22, "--json").out)["hits"]] == ids(expected)
    assert imrec(*asked, 0).out == "no image within the distance\n"
    assert len(imrec(*asked, 22, "-k", 2).out.splitlines()) == 3
