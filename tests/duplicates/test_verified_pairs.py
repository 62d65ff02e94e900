"""Stored results of comparisons: what a later search reuses, and what it ignores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from imrec_core.duplicates import verified_pairs
from imrec_core.duplicates.comparison import DIFFERENT, SAME_PIXELS, Comparison
from imrec_core.duplicates.verified_pairs import VERSION, VerifiedPairs
from imrec_core.lake import parquet

NAMES = pa.array([f"{i:032x}" for i in range(6)])
NEAR, EDITED = Comparison("near", 0.97, "the same image"), Comparison("edited", 0.96, "cropped")
VARIANT = Comparison("variant", 0.97, "the same image except for one region")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "duplicates" / "pairs.parquet"


def stored(path, tier, results):
    pairs = VerifiedPairs(path, NAMES, tier)
    for pair, found in results.items():
        pairs.add(pair, found)
    pairs.save()


def test_results_survive_other_positions_of_the_contents(path):
    stored(path, "near", {(1, 4): NEAR, (2, 3): DIFFERENT, (0, 5): SAME_PIXELS})
    later = VerifiedPairs(path, NAMES[1:5], "near")
    assert (later.get((0, 3)), later.get((1, 2)), later.get((0, 1))) == (NEAR, DIFFERENT, None)
    assert later.members == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("tested", "found", "wanted", "is_reused"),
    [
        ("near", NEAR, "near", True),
        ("near", NEAR, "same_pixels", True),
        ("same_pixels", NEAR, "near", True),
        ("edited", EDITED, "near", True),
        ("edited", DIFFERENT, "near", True),
        ("near", DIFFERENT, "edited", False),
        ("near", NEAR, "edited", True),
        ("edited", DIFFERENT, "edited", True),
        ("near", DIFFERENT, "variant", False),
        ("near", VARIANT, "variant", True),
        ("variant", DIFFERENT, "near", True),
        ("variant", DIFFERENT, "edited", False),
        ("edited", DIFFERENT, "variant", True),
    ],
)
def test_result_answers_the_tiers_that_were_tested(path, tested, found, wanted, is_reused):
    stored(path, tested, {(0, 1): found})
    assert VerifiedPairs(path, NAMES, wanted).get((0, 1)) == (found if is_reused else None)


def test_wider_search_replaces_a_result(path):
    stored(path, "near", {(0, 1): DIFFERENT})
    stored(path, "edited", {(0, 1): EDITED})
    assert VerifiedPairs(path, NAMES, "edited").get((0, 1)) == EDITED


def test_two_searches_at_once_keep_the_results_of_both(path):
    one, other = (VerifiedPairs(path, NAMES, "near") for _ in range(2))
    one.add((0, 1), NEAR)
    other.add((2, 3), NEAR)
    one.save()
    other.save()
    later = VerifiedPairs(path, NAMES, "near")
    assert later.get((0, 1)) == later.get((2, 3)) == NEAR


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 5000])
def test_damaged_file_is_ignored_with_a_warning_and_replaced(path, caplog, content):
    stored(path, "near", {(0, 1): NEAR})
    path.write_bytes(content)
    pairs = VerifiedPairs(path, NAMES, "near")
    assert "made again" in caplog.text
    assert pairs.members == set()
    stored(path, "near", {(2, 3): NEAR})
    assert VerifiedPairs(path, NAMES, "near").get((2, 3)) == NEAR


def test_cut_file_is_ignored(path, caplog):
    stored(path, "near", {(0, 1): NEAR})
    path.write_bytes(path.read_bytes()[:-20])
    assert VerifiedPairs(path, NAMES, "near").get((0, 1)) is None
    assert "made again" in caplog.text


@pytest.mark.parametrize("made_from", [{"comparison": f"{VERSION}0"}, {}])
def test_results_of_another_version_are_ignored(path, made_from, caplog):
    stored(path, "near", {(0, 1): NEAR})
    parquet.write_table(path, parquet.read_table(path).replace_schema_metadata(None), made_from)
    assert VerifiedPairs(path, NAMES, "near").get((0, 1)) is None
    assert "another version" in caplog.text


def test_file_with_other_columns_is_ignored(path):
    path.parent.mkdir()
    parquet.write_table(path, pa.table({"first": ["a"]}), {"comparison": VERSION})
    assert VerifiedPairs(path, NAMES, "near").members == set()


def test_too_many_results_drop_contents_that_are_gone(path, monkeypatch):
    stored(path, "near", {(0, 1): NEAR, (4, 5): NEAR})
    monkeypatch.setattr(verified_pairs, "_MAX_ROWS", 2)
    pairs = VerifiedPairs(path, NAMES[:4], "near")
    pairs.add((2, 3), NEAR)
    pairs.save()
    assert parquet.row_count(path) == 2


def test_read_only_folder_costs_the_results_only(path, monkeypatch, caplog):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(parquet, "write_table", fail)
    stored(path, "near", {(0, 1): NEAR})
    assert "cannot be stored" in caplog.text


def test_results_are_saved_after_some_time(path, monkeypatch):
    pairs = VerifiedPairs(path, NAMES, "near")
    pairs.add((0, 1), NEAR)
    pairs.save_sometimes()
    assert not path.exists()
    monkeypatch.setattr(verified_pairs, "_SAVE_AFTER", -1)
    pairs.save_sometimes()
    assert VerifiedPairs(path, NAMES, "near").get((0, 1)) == NEAR


def test_a_pair_takes_few_bytes(path):
    names = pa.array(sorted(f"{i * 2654435761 % 2**128:032x}" for i in range(300)))
    pairs = VerifiedPairs(path, names, "edited")
    rng = np.random.default_rng(0)
    for i, j in rng.integers(0, 300, (5000, 2)).tolist():
        if i < j:
            pairs.add((i, j), DIFFERENT)
    pairs.save()
    assert path.stat().st_size < 12 * parquet.row_count(path)
