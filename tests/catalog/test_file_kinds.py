"""Files that are not read are counted by kind, and a library that is missing removes no image."""

import dataclasses
import importlib.util
from pathlib import Path

import pyarrow as pa
import pytest

from imrec_core.catalog import file_kinds
from imrec_core.catalog.file_kinds import PLUGINS, Plugin, describe, kind_of, suffix_of, summarize
from imrec_core.catalog.manifests import update
from imrec_core.catalog.scan import SourceScan, require_image
from imrec_core.catalog.scan_report import not_read
from imrec_core.errors import BadSource
from imrec_core.extraction.failures import list_failures
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings, Source
from imrec_core.status import lake_status
from tests.support import toy
from tests.support.pictures import encode, write_pictures

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


def counts(folder: Path, **settings: object) -> dict[str, int]:
    return dict(SourceScan.of(Source("s", folder), Settings(**settings)).report.not_read)


@pytest.fixture
def without_plugin(monkeypatch) -> None:
    """A library for PNG, which is not installed."""
    monkeypatch.setattr(file_kinds, "PLUGINS", {"png": Plugin("no_such_library", "heic")})


@pytest.fixture
def without_libraries(monkeypatch) -> None:
    """No optional library is installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)


def test_files_are_counted_by_kind(tmp_path, without_libraries):
    touch(tmp_path, "a.jpg", "b.CR2", "c.cr2", "year/d.psd", "e.svg", "f.mp4", "none", "year/.hidden", "g.jxl", "h.123")
    assert counts(tmp_path) == {
        "cr2": 2, "without suffix": 2, "psd": 1, "svg": 1, "mp4": 1, "jxl": 1, "other": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.HEIC", "heic"),
        ("a.tar.gz", "gz"),
        ("noext", "without suffix"),
        (".bashrc", "without suffix"),
        ("ends.", "without suffix"),
        ("a.2019", "other"),
        ("a.averylongsuffix", "other"),
        ("a.j pg", "other"),
        ("a.\u00fc", "other"),
        ("a.c++", "c++"),
        ("a.b~", "other"),
    ],
)
def test_kind_is_the_suffix_if_it_is_a_usual_one(name, kind):
    assert kind_of(suffix_of(name)) == kind


def test_images_that_the_settings_leave_out_are_counted_too(tmp_path):
    touch(tmp_path, "a.jpg", "b.png")
    assert counts(tmp_path, extensions=("jpg",)) == {"png": 1}
    assert counts(tmp_path, extensions=("*",)) == {}
    (named,) = describe({"png": 1})
    assert named.summary() == "1 png (not among the extensions in lake.toml)"


def test_folders_links_and_hidden_folders_are_not_counted(tmp_path):
    touch(tmp_path, ".cache/a.mp4", "folder.d/a.jpg", "far.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "far.mp4")
    assert counts(tmp_path) == {"mp4": 2}


@pytest.mark.parametrize("suffix", PLUGINS)
def test_missing_library_is_named(monkeypatch, suffix):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (named,) = describe({suffix: 12})
    assert named.summary() == f"12 {suffix} (pip install 'imrec[{PLUGINS[suffix].extra}]')"


def test_summary_names_what_can_be_helped_first_and_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = {"mp4": 50, "txt": 20, "heic": 12, "cr2": 3, **{f"x{letter}": 1 for letter in "abcdefgh"}}
    said = summarize(describe(found))
    assert said.startswith("93 files of 12 kinds not read: 12 heic (pip install 'imrec[heic]'), 3 cr2 (")
    assert said.endswith(", 4 of 4 more kinds")
    assert "\n" not in said
    assert summarize([]) == ""
    assert summarize(describe({"mp4": 1})) == "1 file of 1 kind not read: 1 mp4"


def test_folder_without_an_image_says_what_it_holds(tmp_path, without_plugin):
    touch(tmp_path, "a.png", "b.mp4")
    with pytest.raises(BadSource, match=r"2 files of 2 kinds not read: 1 png \(pip install 'imrec\[heic\]'\), 1 mp4"):
        require_image(Source("s", tmp_path), Settings())


def test_status_sums_the_sources_and_forgets_none(tmp_path):
    touch(tmp_path, "one/a.jpg", "one/b.psd", "two/a.jpg", "two/b.psd", "two/c.mov")
    lake = Lake(tmp_path / "lake").open_for_writing()
    lake.save_settings(Settings(sources={"one": tmp_path / "one", "two": tmp_path / "two"}))
    update(lake)
    assert [(kind.kind, kind.files) for kind in not_read(lake)] == [("psd", 2), ("mov", 1)]
    status = lake_status(lake)
    assert "3 files of 2 kinds not read: 2 psd (export it as PNG or JPEG), 1 mov" in status.summary()
    assert status.to_dict()["not_read"][1] == {"kind": "mov", "files": 1, "hint": ""}


# -- a library that is missing ------------------------------------------------------------------------------


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three JPEG files and two PNG files, all extracted."""
    toy.write_photos(tmp_path / "photos", range(3))
    for seed in (3, 4):
        (tmp_path / f"photos/drawn_{seed}.png").write_bytes(encode(toy.photo(seed), "PNG"))
    lake = toy.new_lake(tmp_path / "lake", ["ahash"])
    toy.build(lake)
    return lake


def test_missing_library_removes_no_image(lake, tmp_path, monkeypatch):
    with monkeypatch.context() as missing:
        missing.setattr(file_kinds, "PLUGINS", {"png": Plugin("no_such_library", "heic")})
        toy.write_photos(tmp_path / "photos", [7])
        touch(tmp_path / "photos", "new.png")
        found = update(lake)
        assert (found.new, found.changed, found.removed, found.unchanged) == (1, 0, 0, 5)
        assert [(kind.kind, kind.files) for kind in not_read(lake)] == [("png", 3)]
        (report,) = toy.extract(lake)
        assert (report.decoded, report.rows, report.failed) == (1, 6, 0)
    found = update(lake)
    assert (found.new, found.unchanged) == (1, 6)


def test_file_that_is_gone_is_removed_although_its_library_is_missing(lake, tmp_path, without_plugin):
    (tmp_path / "photos/drawn_3.png").unlink()
    assert update(lake).removed == 1


def test_changed_file_stays_as_it_was_until_its_library_is_back(lake, tmp_path, monkeypatch):
    with monkeypatch.context() as missing:
        missing.setattr(file_kinds, "PLUGINS", {"png": Plugin("no_such_library", "heic")})
        (tmp_path / "photos/drawn_3.png").write_bytes(encode(toy.photo(9), "PNG"))
        assert update(lake).unchanged == 5
    assert update(lake).changed == 1


def test_new_feature_does_not_remove_images_whose_library_is_missing(lake, tmp_path):
    """The library is needed, whatever the suffix of the file is."""
    path = tmp_path / "photos/photo_000.jpg"
    path.write_bytes(HEIC)
    update(lake)
    toy.extract(lake)
    (failure,) = list_failures(lake)
    assert failure["error"] == "MissingPlugin: HEIC and HEIF need a library; pip install 'imrec[heic]'"
    images = lake.images_path("photos-0000")
    rows = [row | {"status": "ok", "error": None} for row in lake.read_table(images).to_pylist()]  # as if once read
    lake.write_table(images, pa.Table.from_pylist(rows, schema=schemas.IMAGES), lake.made_from(images))
    toy.set_to(lake, features=("ahash", "dhash"))
    with pytest.raises(BadSource, match="1 images of photos-0000 were read before, and cannot be now: HEIC"):
        toy.extract(lake)
    assert lake.read_table(images)["status"].to_pylist() == ["ok"] * 5


def test_drawn_pictures_need_no_library(tmp_path):
    write_pictures(tmp_path)
    assert not set(counts(tmp_path)) - {"without suffix", "txt"}


def test_report_is_plain_data():
    assert dataclasses.asdict(describe({"mp4": 1})[0]) == {"kind": "mp4", "files": 1, "hint": ""}
