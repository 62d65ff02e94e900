"""Pairs of similar hashes: all that are close, exactly, but none within a crowd; memory that grows with the images."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imrec_core.duplicates import hash_pairs
from imrec_core.duplicates.hash_pairs import close_hashes, update_close_hashes


def plainly(hashes, limits, others):
    """The definition of close pairs."""
    found = []
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            bits = [int(a ^ b).bit_count() for a, b in zip(hashes[i].tolist(), others[j].tolist())]
            if bits[0] <= limits[0] and sum(bits) <= limits[1]:
                found.append([i, j])
    return found


def similar_hashes(count, words, seed):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 2**64, (4, words), dtype=np.uint64)
    noise = np.uint64(1) << rng.integers(0, 64, (count, words), dtype=np.uint64)
    return kinds[rng.integers(0, 4, count)] ^ noise


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(1, 4),
    st.integers(0, 12),
    st.integers(0, 30),
    st.booleans(),
    st.sampled_from([0, 1, 5, 20, 1000]),
    st.integers(0, 99),
)
def test_close_hashes_are_those_of_the_definition(count, words, first, all_words, is_turned, crowded, seed):
    hashes = similar_hashes(count, words, seed)
    others = hashes ^ np.uint64(0b1011) if is_turned else hashes
    limits = first, all_words
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_pairs, "CROWDED", crowded)
        found = close_hashes(hashes, limits, others if is_turned else None)
    pairs = plainly(hashes, limits, others)
    similar = np.bincount(np.array(pairs, np.int64).ravel(), minlength=count)
    crowd = np.flatnonzero(similar > crowded)
    assert found.crowd.tolist() == crowd.tolist()
    assert found.pairs.tolist() == [pair for pair in pairs if not set(pair) <= set(crowd.tolist())]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 3),
    st.lists(st.integers(0, 59), max_size=8),
    st.lists(st.integers(0, 59), max_size=8),
    st.lists(st.integers(0, 59), max_size=2),
    st.sampled_from([0, 1, 5, 20, 1000]),
    st.integers(0, 99),
)
def test_update_finds_what_a_search_of_all_finds(count, words, gone, new, other, crowded, seed):
    hashes = similar_hashes(count, words, seed)
    before, now = (np.setdiff1d(np.arange(count), np.array(some, np.int64)) for some in (new, gone))
    places = np.where(np.isin(before, now), np.searchsorted(now, before), -1)
    limits = 4, 8
    changed = hashes.copy()
    changed[[row for row in set(other) if row < count]] ^= np.uint64(0xFF00FF)  # the same image, with another hash
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_pairs, "CROWDED", crowded)
        patch.setattr(hash_pairs, "_FEW", 1)  # also for many changes
        known, whole = close_hashes(hashes[before], limits), close_hashes(changed[now], limits)
        found = update_close_hashes(known, places, changed[now])
    for name in ("pairs", "crowd", "similar", "hashes"):
        assert getattr(found, name).tolist() == getattr(whole, name).tolist()


def test_tiles_join_without_a_seam(monkeypatch):
    hashes = similar_hashes(90, 1, 0)
    monkeypatch.setattr(hash_pairs, "CROWDED", 1000)
    whole = close_hashes(hashes, (2, 2)).pairs.tolist()
    monkeypatch.setattr(hash_pairs, "_TILE", (7, 13))
    assert close_hashes(hashes, (2, 2)).pairs.tolist() == whole != []


def test_nearest_have_the_fewest_differing_bits(monkeypatch):
    monkeypatch.setattr(hash_pairs, "CROWDED", 3)
    hashes = np.array([[0b0], [0b111], [0b1], [0b11], [0b1], [2**64 - 1]], np.uint64)
    close = close_hashes(hashes, (3, 3))
    assert close.crowd.tolist() == [0, 1, 2, 3, 4]
    assert close.nearest(0, np.arange(6), 3).tolist() == [2, 4, 3]
    assert close.nearest(0, np.array([5, 1]), 3).tolist() == [1]
    assert close.nearest_in_crowd(1).tolist() == [[0, 2], [1, 3], [2, 4], [3, 4]]


def test_memory_grows_with_the_images_and_not_with_the_pairs():
    hashes = np.zeros((6000, 2), np.uint64)  # 18 million pairs
    hashes[::3, 1] = np.arange(2000) % 7
    tracemalloc.start()
    close = close_hashes(hashes, (12, 24))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(close.crowd), len(close.pairs)) == (6000, 0)
    assert peak < 60e6  # all pairs take 288 MB
