"""Marks on images that failed, which the next build tries again."""

from __future__ import annotations

from typing import Any

import pytest

from imrec_core.catalog import manifests, retry_marks
from imrec_core.catalog.ids import image_id
from imrec_core.errors import MissingPlugin, SchemaMismatch
from imrec_core.extraction import read_ahead
from imrec_core.extraction.failures import list_failed_files
from imrec_core.status import lake_status
from tests.support import toy
from tests.support.pictures import BROKEN

BAD, TEXT = image_id("photos", "bad.jpg"), image_id("photos", "text.jpg")


@pytest.fixture
def lake(new_lake):
    """A lake of four photos, and of two files that could not be read."""
    made = new_lake(4, ("rgb_histogram",), built=False)
    for name in ("bad.jpg", "text.jpg"):
        (made.root.parent / "photos" / name).write_bytes(BROKEN["text.jpg"]())
    toy.build(made)
    return made


def test_marks_are_counted_stored_and_removed(lake):
    assert retry_marks.load(lake) == frozenset()
    assert retry_marks.change(lake, [BAD, TEXT]) == 2
    assert retry_marks.change(lake, [BAD]) == 0
    assert retry_marks.load(lake) == {BAD, TEXT}
    assert lake_status(lake).retried == 2
    assert "failed images that the next imrec build tries again: 2" in lake_status(lake).summary()
    assert retry_marks.change(lake, [BAD, TEXT], remove=True) == 2
    assert retry_marks.load(lake) == frozenset()
    assert not lake.layout.retry_path.exists()


def test_next_build_reads_only_marked_files_again_and_forgets_the_marks(lake, decoded):
    retry_marks.change(lake, [BAD])
    found = manifests.update(lake)
    assert (found.reread, found.changed, found.retried) == (1, 0, {BAD})
    assert retry_marks.load(lake) == frozenset()
    decoded.clear()
    toy.build(lake)
    assert len(decoded) == 1
    toy.build(lake)
    assert len(decoded) == 1


def test_unchanged_file_that_can_be_decoded_now_is_searchable_after_the_build(new_lake, monkeypatch):
    lake = new_lake(3, ("rgb_histogram",), built=False)
    data = (lake.root.parent / "photos" / "photo_000.jpg").read_bytes()
    decode = read_ahead.decode

    def lacks_library(given: bytes, **options: Any) -> Any:
        if given == data:
            raise MissingPlugin("it needs a library")
        return decode(given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(read_ahead, "decode", lacks_library)
        assert toy.build(lake).rows == 2
    (failed,) = list_failed_files(lake)
    assert (failed.kind, failed.path) == ("needs_library", "photo_000.jpg")
    retry_marks.change(lake, [failed.image_id])
    assert toy.build(lake).rows == 3
    assert list_failed_files(lake) == []


def test_marks_of_a_source_that_is_away_stay(lake):
    retry_marks.change(lake, [BAD])
    photos = lake.root.parent / "photos"
    photos.rename(photos.with_name("away"))
    assert manifests.update(lake).unavailable
    assert retry_marks.load(lake) == {BAD}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2, "images": []}', '{"format": 1}', '{"format": 1, "images": 3}']
)
def test_damaged_file_of_marks_is_named(lake, text):
    lake.layout.retry_path.parent.mkdir(exist_ok=True)
    lake.layout.retry_path.write_text(text)
    with pytest.raises(SchemaMismatch, match=r"retry\.json cannot be read"):
        retry_marks.load(lake)
