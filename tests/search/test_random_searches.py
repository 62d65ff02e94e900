"""Random combinations of arguments give consistent hits or an `ImrecError`."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imrec_core import ImageId, ImrecError, Recommender, Text
from tests.support.pictures import BROKEN, PICTURES, noise

NAMES = ("rgb_histogram", "rgb_histogram:manhattan", "hsv_histogram", "phash", "phash:hamming_dihedral",
         "pdq", "colour_moments", "rgb_histogramm", "phash:cosine", "")  # fmt: skip
SQL = (
    "true",
    "width >= 100",
    "row % 3 = 0",
    "source = 'photos' AND sharpness > 1",
    "false",
    "widht",
    "1; DROP",
    "",
    None,
)
ORDERS = ("path DESC", "width, height", "random()", "widht", "", "1", 'path"', None)

weights = st.sampled_from([1, 1.0, 0.5, 0, 3, 1e-9, 1e9]) | st.sampled_from([-1, math.nan, math.inf, 1e-320, 1e308])
numbers = st.sampled_from([0, 0.0, 0.3, 1, 1.0, 1e-3, 1e-12, 2, -1, math.nan, math.inf, "x"])


def queries(recommender: Recommender) -> st.SearchStrategy[Any]:
    """Ids, files, images, vectors and texts, some of them invalid."""
    generation = recommender.generation
    gallery = [ImageId(i) for i in generation.rows["image_id"].to_pylist()]
    folder = recommender.lake.root.parent / "photos"
    files = sorted(folder.glob("photo_*.jpg"))[:12] if folder.is_dir() else ["gone.jpg"]
    stored = [name for name in ("rgb_histogram", "phash", "pdq") if name in generation.features]
    vectors = [np.array(generation.matrix(name)[i]) for name in stored for i in range(4)]
    odd = [
        *(ImageId(value) for value in ("0" * 16, "x", "")),
        *(BROKEN[name]() for name in sorted(BROKEN)[:3]),
        *(folder / "gone.jpg", "", ".", b"", 3, None, [], {}, "a\0b"),
        *(np.full(512, math.nan), np.zeros(512), np.zeros((4, 4)), np.zeros(0), np.array(3.0), -np.ones(9)),
        *(Text("a red car"), PICTURES["noise.jpg"](), noise(30, 20, seed=1)),
    ]
    return (
        st.sampled_from(gallery) | st.sampled_from(gallery) | st.sampled_from([*files, *vectors]) | st.sampled_from(odd)
    )


def searches(recommender: Recommender) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of a search; most are omitted."""
    one = queries(recommender)
    several = st.lists(one | st.tuples(one, weights), min_size=1, max_size=4)
    sound = st.lists(st.sampled_from(NAMES[:7]), min_size=1, max_size=3)
    any_by = st.lists(st.sampled_from(NAMES), max_size=4) | st.dictionaries(st.sampled_from(NAMES), weights, max_size=3)
    return st.fixed_dictionaries(
        {"like": several | one},
        optional={
            "unlike": several,
            "by": sound | any_by,
            "k": st.sampled_from([1, 3, 5, 20, 60, 10_000]) | st.sampled_from([0, -1, 2.5, "5", None]),
            "pool": st.sampled_from(["mean", "best", "all", "all", "bets"]),
            "fuse": st.sampled_from(["score", "rrf", "dbsf", "dbsf", "rff"]),
            "max_false_match_rate": numbers,
            "where": st.sampled_from(SQL),
            "order_by": st.sampled_from(ORDERS),
            "distinct": st.sampled_from(["content", None, "contents"]),
            "diversify": numbers,
            "exact": st.booleans(),
        },
    )


def check_many(recommender: Recommender, large: Recommender, count: int) -> None:
    """Run half of the searches on a lake of images, half on one that uses graphs."""
    answered = 0

    @settings(max_examples=count // 2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(asked=searches(recommender))
    def ask_pictures(asked: dict[str, Any]) -> None:
        nonlocal answered
        answered += _answers(recommender, asked)

    @settings(max_examples=count - count // 2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(asked=searches(large))
    def ask_graphs(asked: dict[str, Any]) -> None:
        nonlocal answered
        answered += _answers(large, asked)

    ask_pictures()
    ask_graphs()
    assert answered > count / 20


def _answers(recommender: Recommender, asked: dict[str, Any]) -> bool:
    try:
        hits = recommender.search(**asked)
    except ImrecError as error:
        assert str(error)
        return False
    ranks = [hit.rank for hit in hits]
    assert sorted(ranks) == list(range(1, len(hits) + 1)) and len(hits) <= (asked.get("k") or 5)
    assert "order_by" in asked or ranks == sorted(ranks)
    assert len({hit.image_id for hit in hits}) == len(hits)
    assert all(0 <= hit.score <= 1 for hit in hits)
    told = json.loads(hits.to_json())
    assert told["hits"] == hits.to_dicts() and set(told) == {"generation", "plan", "cut", "notes", "hits"}
    assert len(hits.to_polars()) == len(hits)
    return True


def test_random_searches_raise_nothing_but_imrec_errors(recommender, large_lake):
    check_many(recommender, Recommender.open(large_lake), 300)


@pytest.mark.long
def test_ten_thousand_random_searches_raise_nothing_but_imrec_errors(recommender, large_lake):
    check_many(recommender, Recommender.open(large_lake), 10_000)
