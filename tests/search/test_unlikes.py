"""Less like this: an unlike takes what it has beyond the likes, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imrec_core import ImageId, Recommender

BY = (["rgb_histogram"], ["phash"], ["rgb_histogram", "phash"])
POOLS = ("mean", "best", "all")


def at(recommender: Recommender, *rows: int) -> list[ImageId]:
    return [ImageId(recommender.generation.rows["image_id"][row].as_py()) for row in rows]


def found(recommender: Recommender, likes: list[int], unlikes: list[tuple[int, float]], **how) -> dict:
    """Search all rows; return the hits by id, in their order."""
    queries = [
        (query, weight) for query, (_, weight) in zip(at(recommender, *(u for u, _ in unlikes)), unlikes, strict=True)
    ]
    hits = recommender.search(like=at(recommender, *likes), unlike=queries, k=1000, exact=True, **how)
    return {hit.image_id: hit for hit in hits}


rows = st.integers(0, 699)
pairs = st.tuples(st.lists(rows, min_size=1, max_size=3, unique=True), rows).filter(lambda pair: pair[1] not in pair[0])


@settings(max_examples=25, deadline=None)
@given(pair=pairs, weight=st.sampled_from([0.3, 1.0, 4.0]), by=st.sampled_from(BY), pool=st.sampled_from(POOLS))
def test_unlike_never_lifts_what_is_nearer_to_it_than_to_the_likes(large, pair, weight, by, pool):
    likes, unlike = pair
    plain = found(large, [*likes], [], by=by, pool=pool)
    less = found(large, likes, [(unlike, weight)], by=by, pool=pool)
    for name, hit in less.items():
        assert hit.score <= plain[name].score + 1e-9
        taken = [part.unlike for part in hit.parts.values()]
        assert min(taken) >= 0 and (hit.score == pytest.approx(plain[name].score) or max(taken) > 0)
    # What loses nothing keeps its order, and what loses falls behind it.
    kept = [name for name, hit in less.items() if not any(part.unlike for part in hit.parts.values())]
    assert kept == [name for name in plain if name in set(kept)]


@settings(max_examples=10, deadline=None)
@given(pair=pairs, by=st.sampled_from(BY))
def test_weight_0_changes_nothing(large, pair, by):
    likes, unlike = pair
    plain = found(large, likes, [], by=by)
    plain.pop(at(large, unlike)[0].value)
    less = found(large, likes, [(unlike, 0.0)], by=by)
    assert [(n, hit.score) for n, hit in less.items()] == [(n, hit.score) for n, hit in plain.items()]


@settings(max_examples=15, deadline=None)
@given(pair=pairs, weight=st.sampled_from([1.0, 5.0]), by=st.sampled_from(BY))
def test_like_is_never_lost_to_an_unlike_of_equal_distance(large, pair, weight, by):
    likes, unlike = pair
    less = found(large, likes[:1], [(unlike, weight)], by=by)
    generation = large.generation
    for name in by:
        feature = generation.feature(name)
        matrix = generation.matrix(name)
        to_like, to_unlike = (feature.metric(np.asarray(matrix[row]), matrix) for row in (likes[0], unlike))
        for identity, hit in less.items():
            row = generation.row_of(identity)
            if to_like[row] <= to_unlike[row]:
                assert hit.parts[name].unlike == 0


def test_copy_of_a_like_stays_first_beside_any_unlike(recommender, photos):
    like, near = photos / "photo_003.jpg", photos / "photo_007.jpg"  # drawn alike
    for unlike in (near, photos / "photo_011.jpg"):
        by = ["efficientnet_lite0", "rgb_histogram"]
        hits = recommender.search(like, unlike=(unlike, 3), by=by, where="true", with_self=True)
        assert hits[0].score == max(hit.score for hit in hits) and not any(p.unlike for p in hits[0].parts.values())
