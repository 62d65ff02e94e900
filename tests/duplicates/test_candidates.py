"""Candidate pairs: similar hashes and neighbours by embedding."""

import numpy as np
import pytest

from imrec_core.duplicates import candidates
from imrec_core.duplicates.candidates import edited_pairs, near_pairs
from imrec_core.errors import QueryError
from imrec_core.index.opening import open_generation
from tests.support import toy


def test_a_lake_without_hashes_has_an_error_with_advice(large_lake, new_lake):
    lake = new_lake(features=("rgb_histogram", "hsv_histogram"))
    generation = open_generation(lake)
    with pytest.raises(QueryError, match="imrec build --features rgb_histogram,hsv_histogram,phash,dhash"):
        near_pairs(generation, np.arange(len(generation)))
    generation = open_generation(large_lake)
    with pytest.raises(QueryError, match=r"embedding.*efficientnet_lite0"):
        edited_pairs(generation, np.arange(len(generation)))


@pytest.mark.parametrize("features", [("phash",), ("dhash",), ("pdq",)])
def test_one_hash_alone_gives_candidates(new_lake, features):
    generation = open_generation(new_lake(photos=5, features=features))
    assert near_pairs(generation, np.array([0, 0, 1])).pairs.tolist()[0] == [0, 1]


def test_neighbours_by_local_details_are_candidates_too(tmp_path, monkeypatch):
    toy.write_photos(tmp_path / "photos", range(40), specks=40)
    lake = toy.new_lake(tmp_path / "lake", ("phash", "efficientnet_lite0", "sift_vlad"))
    toy.build(lake)
    generation = open_generation(lake)
    rows = np.arange(len(generation))
    monkeypatch.setattr(candidates, "_FAR_BY_CONTENT", -1.0)  # drawn photos are all neighbours by embedding
    both = {tuple(pair) for pair in edited_pairs(generation, rows).tolist()}
    monkeypatch.setattr(candidates, "_DETAILS", "none")
    by_hash = {tuple(pair) for pair in edited_pairs(generation, rows).tolist()}
    assert by_hash < both
    assert all(i < j for i, j in both)
