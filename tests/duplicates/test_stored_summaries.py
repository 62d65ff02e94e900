"""Stored keypoints: read back equal, merged, and made again where a file is damaged."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imrec_core.duplicates import stored_summaries
from imrec_core.duplicates.screening import Summary
from imrec_core.duplicates.stored_summaries import StoredSummaries
from tests.support import toy
from tests.support.pages import blank_page


def summaries(count):
    pages = [np.asarray(blank_page(seed)) for seed in range(count // 2)]
    photos = [toy.photo(seed, specks=40) for seed in range(count - len(pages))]
    return {f"{i:032x}": Summary.of(pixels, with_keypoints=True) for i, pixels in enumerate(pages + photos)}


def stored(folder, found):
    files = StoredSummaries(folder)
    for content, summary in found.items():
        files.add(content, summary)
    files.save()


def are_equal(a, b):
    return (
        np.array_equal(a.levels, b.levels)
        and (a.marks is None) == (b.marks is None)
        and (a.marks is None or np.array_equal(a.marks, b.marks))
        and a.keypoints.width == b.keypoints.width
        and np.array_equal(a.keypoints.positions, b.keypoints.positions)
        and np.array_equal(a.keypoints.descriptors, b.keypoints.descriptors)
    )


def test_summaries_are_read_back_as_they_were(tmp_path):
    made = summaries(6)
    stored(tmp_path, made)
    found = dict(StoredSummaries(tmp_path).load([*made, "f" * 32]))
    assert found.keys() == made.keys()
    assert all(are_equal(found[content], made[content]) for content in made)
    some = list(made)[2:4]
    assert sorted(dict(StoredSummaries(tmp_path).load(some))) == some


def test_small_files_are_merged_and_full_ones_are_left(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_summaries, "_FULL", 4)
    made = summaries(10)
    for content, summary in made.items():
        stored(tmp_path, {content: summary})
    assert len(list(tmp_path.iterdir())) == 3
    assert dict(StoredSummaries(tmp_path).load(made)).keys() == made.keys()


def test_full_files_are_not_read_again_while_summaries_are_added(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_summaries, "_FULL", 4)
    stored(tmp_path, summaries(8))
    reads = []
    read_table = stored_summaries.parquet.read_table
    monkeypatch.setattr(stored_summaries.parquet, "read_table", lambda path: reads.append(path) or read_table(path))
    stored(tmp_path, {f"{content}-copy": summary for content, summary in summaries(18).items()})
    assert len(reads) == len(set(reads))
    assert sorted(pq.read_metadata(path).num_rows for path in tmp_path.iterdir()) == [2, 4, 4, 4, 4, 4, 4]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-50], lambda data: b"x" * 3000])
def test_damaged_file_is_ignored_with_a_warning_and_removed(tmp_path, caplog, damage):
    made = summaries(4)
    first, second = list(made)[:2], list(made)[2:]
    stored(tmp_path, {content: made[content] for content in first})
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert not list(StoredSummaries(tmp_path).load(made))
    assert "made again" in caplog.text
    stored(tmp_path, {content: made[content] for content in second})
    assert sorted(dict(StoredSummaries(tmp_path).load(made))) == second
    assert not path.exists()


def test_summaries_of_another_version_are_ignored(tmp_path, monkeypatch):
    made = summaries(2)
    stored(tmp_path, made)
    monkeypatch.setattr(stored_summaries, "_MADE_FROM", {"summaries": "another"})
    assert not list(StoredSummaries(tmp_path).load(made))


def test_a_folder_that_is_missing_has_no_summaries(tmp_path):
    assert not list(StoredSummaries(tmp_path / "none").load(["a"]))


def test_summaries_without_keypoints_are_small(tmp_path):
    made = {f"{i:032x}": Summary.of(np.asarray(blank_page(i)), with_keypoints=False) for i in range(100)}
    stored(tmp_path, made)
    found = dict(StoredSummaries(tmp_path).load(made))
    assert all(np.array_equal(found[content].marks, made[content].marks) for content in made)
    assert found["0" * 32].keypoints is None
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 150_000


def test_image_without_keypoints_is_stored(tmp_path):
    plain = Summary.of(np.asarray(Image.new("RGB", (40, 30), "white")), with_keypoints=True)
    stored(tmp_path, {"a": plain})
    assert are_equal(dict(StoredSummaries(tmp_path).load(["a"]))["a"], plain)
