"""Candidate pairs: all that are close by hash, exactly; neighbours by embedding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imrec_core.duplicates import candidates
from imrec_core.duplicates.candidates import close_hashes, edited_pairs, near_pairs
from imrec_core.errors import QueryError
from imrec_core.index.generation import open_generation


def plainly(hashes, limits, others):
    """The definition."""
    found = []
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            bits = [int(a ^ b).bit_count() for a, b in zip(hashes[i].tolist(), others[j].tolist())]
            if bits[0] <= limits[0] and sum(bits) <= limits[1]:
                found.append([i, j])
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 4), st.integers(0, 12), st.integers(0, 30), st.booleans(), st.integers(0, 99))
def test_close_hashes_are_those_of_the_definition(count, words, first, all_words, is_turned, seed):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 2**64, (4, words), dtype=np.uint64)
    noise = np.uint64(1) << rng.integers(0, 64, (count, words), dtype=np.uint64)
    hashes = kinds[rng.integers(0, 4, count)] ^ noise
    others = hashes ^ np.uint64(0b1011) if is_turned else hashes
    found = close_hashes(hashes, (first, all_words), others if is_turned else None)
    assert found.tolist() == plainly(hashes, (first, all_words), others)


def test_tiles_join_without_a_seam(monkeypatch):
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, (1, 1), dtype=np.uint64) ^ (
        np.uint64(1) << rng.integers(0, 64, (90, 1), dtype=np.uint64)
    )
    whole = close_hashes(hashes, (1, 1)).tolist()
    monkeypatch.setattr(candidates, "_TILE", (7, 13))
    assert close_hashes(hashes, (1, 1)).tolist() == whole != []


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
    assert near_pairs(generation, np.array([0, 0, 1])).tolist()[0] == [0, 1]
