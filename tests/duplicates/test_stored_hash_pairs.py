"""Stored pairs of similar hashes: what a later search compares again, and which files it ignores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from imrec_core.duplicates import hash_pairs, stored_hash_pairs
from imrec_core.duplicates.hash_pairs import close_hashes
from imrec_core.duplicates.stored_hash_pairs import StoredHashPairs

NAMES = pa.array([f"{i:032x}" for i in range(200)])
LIMITS = 12, 24


@pytest.fixture
def path(tmp_path):
    return tmp_path / "duplicates" / "hashes.parquet"


@pytest.fixture
def hashes():
    rng = np.random.default_rng(0)
    noise = np.uint64(1) << rng.integers(0, 64, (200, 2), dtype=np.uint64)
    return rng.integers(0, 2**64, (40, 2), dtype=np.uint64)[rng.integers(0, 40, 200)] ^ noise


def searched(path, names, hashes, kind="dhash,phash", limits=LIMITS):
    found = StoredHashPairs(path, names).close_hashes(hashes, limits, kind)
    assert found.pairs.tolist() == close_hashes(hashes, limits).pairs.tolist() != []
    return found


@pytest.fixture
def compared(monkeypatch):
    """Numbers of hashes that searches compare with all others."""
    counts, search = [], hash_pairs._search

    def counted(hashes, against, limits, rows, keep, *, is_later):
        counts.append(len(rows))
        return search(hashes, against, limits, rows, keep, is_later=is_later)

    monkeypatch.setattr(hash_pairs, "_search", counted)
    return counts


def test_the_same_images_are_not_compared_again(path, hashes, compared):
    searched(path, NAMES, hashes)
    compared.clear()
    found = StoredHashPairs(path, NAMES).close_hashes(hashes, LIMITS, "dhash,phash")
    assert compared == []
    assert found.similar.tolist() == close_hashes(hashes, LIMITS).similar.tolist()


def test_only_new_images_are_compared(path, hashes, compared):
    searched(path, NAMES.take(pa.array(range(195))), hashes[:195])
    compared.clear()
    StoredHashPairs(path, NAMES).close_hashes(hashes, LIMITS, "dhash,phash")
    assert 5 <= sum(compared) < 30
    compared.clear()
    StoredHashPairs(path, NAMES).close_hashes(hashes, LIMITS, "dhash,phash")
    assert compared == []


def test_images_that_are_gone_or_have_another_hash_are_no_longer_similar(path, hashes):
    searched(path, NAMES, hashes)
    kept = np.setdiff1d(np.arange(200), [3, 50, 51])
    searched(path, NAMES.take(pa.array(kept)), hashes[kept])
    changed = hashes.copy()
    changed[7] ^= np.uint64(2**40 - 1)
    searched(path, NAMES, changed)
    searched(path, NAMES, changed)


def test_pairs_of_other_hashes_or_limits_are_not_used(path, hashes):
    searched(path, NAMES, hashes)
    searched(path, NAMES, hashes[::-1], kind="pdq")
    searched(path, NAMES, hashes, limits=(20, 30))
    searched(path, NAMES, hashes[:, :1], kind="dhash")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 5000])
def test_damaged_file_is_ignored_with_a_warning_and_replaced(path, hashes, caplog, content, compared):
    searched(path, NAMES, hashes)
    path.write_bytes(content)
    searched(path, NAMES, hashes)
    assert "made again" in caplog.text
    compared.clear()
    StoredHashPairs(path, NAMES).close_hashes(hashes, LIMITS, "dhash,phash")
    assert compared == []


def test_pairs_that_cannot_be_stored_are_returned(path, hashes, caplog, monkeypatch):
    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(stored_hash_pairs.parquet, "write_table", fail)
    searched(path, NAMES, hashes)
    assert "no space left on device" in caplog.text
