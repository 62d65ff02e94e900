"""Patterns of gitignore leave out files and folders; thumbnails of network disks and recycle bins by default."""

import os
from pathlib import Path

import pytest

from imrec_core.catalog.exclude import DEFAULT_EXCLUDE, Exclusions
from imrec_core.catalog.manifests import update
from imrec_core.catalog.scan import scan_source
from imrec_core.catalog.scan_report import not_read
from imrec_core.errors import BadSettings, BadSource
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings, Source
from tests.catalog.test_file_kinds import touch

JUNK = [
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "year/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "#recycle/a.jpg",
    "year/#recycle/deep/a.jpg",
    "@Recycle/a.jpg",
    "$RECYCLE.BIN/S-1-5/a.jpg",
    "$Recycle.Bin/a.jpg",
    ".Trash-1000/files/a.jpg",
    ".Trashes/501/a.jpg",
    ".trashed-1700000000-a.jpg",
    "year/.trashed-1-a.jpg",
    "._a.jpg",
    "year/._b.png",
    "__MACOSX/a.jpg",
    ".@__thumb/a.jpg",
    "Thumbs.db",
    "year/.DS_Store",
    "desktop.ini",
]
PHOTOS = [
    "a.jpg", "year/b.jpg", "eaDir/c.jpg", "recycle/d.jpg", "Thumbs/e.jpg", "_f.jpg", "@home/g.jpg", "#1.jpg",
    "Trash/h.jpg", "$5.jpg", ".i.jpg", "x._y.jpg", "lost+found/j.jpg",
]  # fmt: skip


def scanned(folder: Path, **settings: object) -> set[str]:
    return set(scan_source(Source("s", folder), Settings(scan_hidden=True, **settings))["path"].to_list())


def test_thumbnails_recycle_bins_and_metadata_are_left_out(tmp_path):
    touch(tmp_path, *JUNK, *PHOTOS)
    assert scanned(tmp_path, extensions=("*",)) == set(PHOTOS)


@pytest.mark.parametrize("pattern", DEFAULT_EXCLUDE)
def test_each_default_can_be_switched_off(tmp_path, pattern):
    name = pattern.replace("*", "x").rstrip("/")
    path = f"{name}/a.jpg" if pattern.endswith("/") else name
    touch(tmp_path, path, f"year/{path}")
    assert scanned(tmp_path, extensions=("*",)) == set()
    off = "!" + (f"\\{pattern}" if pattern[0] == "#" else pattern)
    assert scanned(tmp_path, extensions=("*",), exclude=(off,)) == {path, f"year/{path}"}
    assert scanned(tmp_path, extensions=("*",), exclude=(f"!{pattern}",)) == {path, f"year/{path}"}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["private/"], {"a.jpg", "b.png", "year/c.jpg", "year/d.jpg"}),
        (["/private/"], {"a.jpg", "b.png", "year/c.jpg", "year/d.jpg", "year/private/f.jpg"}),
        (["*.png"], {"a.jpg", "year/c.jpg", "year/d.jpg", "private/e.jpg", "year/private/f.jpg"}),
        (["year/*", "!year/c.jpg"], {"a.jpg", "b.png", "year/c.jpg", "private/e.jpg"}),
        (["year/**/f.jpg"], {"a.jpg", "b.png", "year/c.jpg", "year/d.jpg", "private/e.jpg"}),
        (["[ab].*"], {"year/c.jpg", "year/d.jpg", "private/e.jpg", "year/private/f.jpg"}),
        (["year/", "!year/c.jpg"], {"a.jpg", "b.png", "private/e.jpg"}),  # below a folder nothing comes back
        (["# a comment", ""], {"a.jpg", "b.png", "year/c.jpg", "year/d.jpg", "private/e.jpg", "year/private/f.jpg"}),
    ],
)
def test_patterns_are_those_of_gitignore(tmp_path, patterns, left):
    touch(tmp_path, "a.jpg", "b.png", "year/c.jpg", "year/d.jpg", "private/e.jpg", "year/private/f.jpg", "._x.jpg")
    assert scanned(tmp_path, exclude=tuple(patterns)) == left


def test_lone_exclamation_mark_is_refused():
    with pytest.raises(BadSettings, match="'!' is not a pattern of gitignore"):
        Exclusions(["!"])


@pytest.mark.parametrize("path", [*JUNK, "year/private/f.jpg"])
def test_cover_looks_at_the_folders_above_too(path):
    assert Exclusions(["private/"]).cover(path)


@pytest.mark.parametrize("path", PHOTOS)
def test_photo_is_not_covered(path):
    assert not Exclusions(["private/"]).cover(path)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    touch(tmp_path / "photos", "a.jpg", "b.jpg", "private/c.jpg", "private/d.jpg")
    lake = Lake(tmp_path / "lake").open_for_writing()
    lake.save_settings(Settings(sources={"s": tmp_path / "photos"}))
    update(lake)
    return lake


def test_images_that_become_excluded_are_removed_and_counted(lake, tmp_path):
    (tmp_path / "photos/a.jpg").unlink()
    lake.save_settings(Settings(sources={"s": tmp_path / "photos"}, exclude=("private/",)))
    found = update(lake)
    assert (found.removed, found.excluded, found.unchanged) == (3, 2, 1)
    assert update(lake).excluded == 0


def test_source_may_become_empty_by_patterns_but_not_by_a_disk_that_is_away(lake, tmp_path):
    lake.save_settings(Settings(sources={"s": tmp_path / "photos"}, exclude=("*.jpg",)))
    found = update(lake)
    assert (found.removed, found.excluded, found.unavailable) == (4, 4, ())


def test_folder_that_is_excluded_is_not_listed(lake, tmp_path, monkeypatch):
    lake.save_settings(Settings(sources={"s": tmp_path / "photos"}, exclude=("private/",)))
    listed = []
    real = os.scandir
    monkeypatch.setattr("os.scandir", lambda folder: listed.append(Path(folder).name) or real(folder))
    update(lake)
    assert listed == ["photos"]


def test_files_that_are_left_out_are_not_counted_as_not_read(tmp_path):
    touch(tmp_path / "photos", "a.jpg", "Thumbs.db", "._b.mp4", "c.mp4")
    lake = Lake(tmp_path / "lake").open_for_writing()
    lake.save_settings(Settings(sources={"s": tmp_path / "photos"}))
    update(lake)
    assert [(kind.kind, kind.files) for kind in not_read(lake)] == [("mp4", 1)]


def test_wrong_pattern_stops_a_scan_with_one_line(lake, tmp_path):
    lake.save_settings(Settings(sources={"s": tmp_path / "photos"}, exclude=("!",)))
    with pytest.raises(BadSettings, match=r"^lake.toml: exclude: '!' is not") as caught:
        update(lake)
    assert not isinstance(caught.value, BadSource)
    assert "\n" not in str(caught.value)


def test_documentation_names_every_default():
    said = (Path(__file__).parents[2] / "docs/reference/scan.md").read_text("utf-8")
    assert [pattern for pattern in DEFAULT_EXCLUDE if f"`{pattern}`" not in said] == []
