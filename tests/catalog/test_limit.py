"""The setting `limit`: of each source the first images by path, whatever the order in which a disk lists them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from imrec_core.catalog import file_kinds, user_columns
from imrec_core.catalog.file_kinds import Plugin
from imrec_core.catalog.manifests import CatalogDiff, update
from imrec_core.catalog.scan_report import not_read
from imrec_core.errors import BadColumns
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings

FILES = ("a/2.jpg", "a/1.jpg", "b.png", "c/1.jpg", "c/2.jpg")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two sources of the same five files, without a limit."""
    for path in (tmp_path / source / file for source in ("one", "two") for file in FILES):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    lake = Lake(tmp_path / "lake").open_for_writing()
    lake.save_settings(Settings(sources={name: tmp_path / name for name in ("one", "two")}))
    return lake


def scan(lake: Lake, limit: int) -> CatalogDiff:
    lake.save_settings(replace(lake.settings(), limit=limit))
    return update(lake)


def paths(lake: Lake, source: str = "one") -> list[str]:
    places = [lake.catalog_path(shard) for shard in lake.shards() if shard.startswith(source)]
    return [path for place in places for path in lake.read_table(place, ["path"])["path"].to_pylist()]


def counts(lake: Lake) -> dict[str, int]:
    return {kind.kind: kind.files for kind in not_read(lake)}


@pytest.mark.parametrize("is_reversed", [False, True])
def test_first_of_each_source_by_path_are_taken(lake, monkeypatch, is_reversed):
    real = os.scandir

    class Listing(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(
        "os.scandir", lambda at: Listing(sorted(real(at), key=lambda entry: entry.name, reverse=is_reversed))
    )
    assert scan(lake, 3).new == 6
    assert paths(lake, "one") == paths(lake, "two") == ["a/1.jpg", "a/2.jpg", "b.png"]
    assert counts(lake) == {"images beyond the limit": 4}


def test_limit_of_all_images_or_more_leaves_out_none(lake):
    for limit in (0, 5, 6):
        scan(lake, limit)
        assert (len(paths(lake)), counts(lake)) == (5, {})


def test_lower_limit_removes_what_is_beyond_and_a_lifted_one_returns_it(lake):
    scan(lake, 0)
    found = scan(lake, 1)
    assert (found.removed, found.excluded, found.unchanged, found.unavailable) == (8, 8, 2, ())
    again = update(lake)
    assert (again.removed, again.excluded, again.manifests) == (0, 0, ())
    assert counts(lake) == {"images beyond the limit": 8}
    assert (scan(lake, 0).new, counts(lake)) == (8, {})


def test_removed_file_is_not_counted_as_beyond_the_limit(lake, tmp_path):
    scan(lake, 0)
    (tmp_path / "one/a/1.jpg").unlink()
    found = scan(lake, 4)
    assert (found.removed, found.excluded) == (2, 1)


def test_new_file_before_the_last_takes_its_place(lake, tmp_path):
    scan(lake, 3)
    (tmp_path / "one/a/0.jpg").write_bytes(b"x")
    found = update(lake)
    assert (found.new, found.removed, found.excluded) == (1, 1, 1)
    assert sorted(paths(lake)) == ["a/0.jpg", "a/1.jpg", "a/2.jpg"]


def test_image_that_cannot_be_looked_at_keeps_its_place(lake, monkeypatch):
    scan(lake, 3)
    monkeypatch.setattr(file_kinds, "PLUGINS", {"png": Plugin("no_such_library", "heic")})
    found = update(lake)
    assert (found.new, found.removed, found.unchanged) == (0, 0, 6)


def test_columns_of_images_beyond_the_limit_match_none(lake, tmp_path):
    (tmp_path / "own.csv").write_text("path,mood\none/c/1.jpg,calm\n")
    settings = replace(lake.settings(), columns=(str(tmp_path / "own.csv"),))
    user_columns.check(lake, settings)
    with pytest.raises(BadColumns, match="none of its 1 rows matches an image of the lake"):
        user_columns.check(lake, replace(settings, limit=3))
