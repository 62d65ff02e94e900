"""`imrec sources` and `imrec gc`: what they print, what they ask, and what a build does afterwards."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from imrec_core import Lake
from imrec_core.catalog.ids import image_id
from tests.support import toy

pytestmark = pytest.mark.usefixtures("blank_plots")


@pytest.fixture
def built(imrec, tmp_path) -> Lake:
    """Twelve photos of `a` and four of `b` in `data_lake`, the default lake."""
    toy.write_photos(tmp_path / "a", range(12))
    toy.write_photos(tmp_path / "b", range(20, 24))
    assert imrec("build", "a", "b", "--features", "rgb_histogram").status == 0
    return Lake(tmp_path / "data_lake")


def test_list_prints_a_line_for_each_source(imrec, built):
    found = imrec("sources")
    assert found.status == 0
    heading, *lines = found.out.splitlines()
    assert heading.split() == ["name", "images", "size", "last", "scan", "place"]
    assert [line.split()[:2] for line in lines] == [["a", "12"], ["b", "4"]]
    assert all(line.endswith(str(place)) for line, place in zip(lines, built.settings().sources.values(), strict=True))
    shutil.rmtree("b")
    assert [" away " in line for line in imrec("sources", "list").out.splitlines()[1:]] == [False, True]
    parsed = json.loads(imrec("sources", "list", "--json").out)
    assert [(one["name"], one["images"], one["is_there"]) for one in parsed] == [("a", 12, True), ("b", 4, False)]


def test_options_without_a_command_are_those_of_list(imrec, built, tmp_path, monkeypatch):
    listed = imrec("sources", "list", "--json").out
    assert listed == imrec("sources", "--json").out == imrec("sources", "--json", "--lake", "data_lake").out
    assert "no lake at" in imrec("sources", "--lake", "elsewhere").complaint
    assert "rename" in imrec("sources", "--help").out
    monkeypatch.setenv("IMREC_LAKE", str(tmp_path / "elsewhere"))
    assert "no lake at" in imrec("sources").complaint


def test_add_reads_nothing_and_the_next_build_does(imrec, built, tmp_path):
    toy.write_photos(tmp_path / "c", range(30, 33))
    assert imrec("sources", "add", "c", "a").out == "added c; to read the images, run: imrec build\n"
    assert imrec("sources", "add", "c").out == "nothing to add\n"
    assert "3 new" in imrec("build").out
    assert json.loads(imrec("sources", "add", "c", "--json").out) == {"added": []}


def test_rename_leaves_nothing_to_do_for_the_next_build(imrec, built):
    renamed = imrec("sources", "rename", "a", "trips")
    assert renamed.out == "a is trips now; published generation 000002\n"
    again = imrec("build").out
    assert "0 new, 0 changed, 0 removed, 16 unchanged images" in again
    assert "decoded" not in again
    assert "nothing to do: generation 000002 is up to date" in again
    old = image_id("a", "photo_003.jpg")
    assert imrec("search", old, "-k", 20).out.count("  a/photo_") == 11
    assert json.loads(imrec("sources", "rename", "trips", "a", "--json").out)["generation"] == "000003"


def test_move_says_how_much_it_found_and_refuses_another_collection(imrec, built, tmp_path):
    shutil.move("a", "moved")
    toy.write_photos(tmp_path / "other", range(50, 53))
    refused = imrec("sources", "move", "a", "other")
    assert (refused.status, refused.complaint) == (
        1,
        "imrec: other has 0 of the 12 known images of 'a', by path and size; if that is meant, run again with --yes",
    )
    moved = imrec("sources", "move", "a", "moved")
    assert moved.out == "moved has 12 of the 12 known images of 'a'; to finish, run: imrec build\n"
    built_again = imrec("build").out
    assert "16 unchanged images" in built_again and "decoded" not in built_again
    assert imrec("sources", "move", "a", "other", "--yes").status == 0
    assert built.settings().sources["a"] == tmp_path / "other"


def test_drop_says_what_goes_and_asks(imrec, built, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = imrec("sources", "drop", "a")
    assert refused.status == 1
    assert (
        "source 'a' (" in refused.err and "12 images and their 12 vectors go" in refused.err and "[y/N]" in refused.err
    )
    assert set(built.settings().sources) == {"a", "b"}
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    dropped = imrec("sources", "drop", "a")
    assert (dropped.status, dropped.out.splitlines()[-1]) == (0, "dropped a; published generation 000002")
    last = imrec("sources", "drop", "b", "--yes", "--json")
    assert json.loads(last.out) == {"name": "b", "images": 4, "generation": None, "needs_build": False}
    assert imrec("sources").out == "no image folder yet: imrec build FOLDER\n"
    assert Path("a").is_dir()


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("build", ""), "'' is no folder: expected a path or a URL, or '.' for the current folder"),
        (("sources", "add", ""), "'' is no folder: expected a path or a URL, or '.' for the current folder"),
        (("build", "a/sub"), "is inside source 'a'"),
        (("sources", "add", "x=a/sub"), "is inside source 'a'"),
        (("build", "again=link"), "is source 'a' already"),
        (("sources", "move", "b", "a/sub"), "is inside source 'a'"),
        (("sources", "rename", "a", "b"), "source 'b' is"),
        (("sources", "drop", "c"), "no source named 'c'; known: a, b"),
    ],
)
def test_folders_and_names_that_do_not_fit_are_one_line_and_change_nothing(imrec, built, tmp_path, command, complaint):
    toy.write_photos(tmp_path / "a" / "sub", [70])
    (tmp_path / "link").symlink_to(tmp_path / "a")
    before = built.settings_path.read_bytes()
    refused = imrec(*command)
    assert refused.status == 1
    assert complaint in refused.complaint
    assert built.settings_path.read_bytes() == before


def test_folder_that_is_a_source_by_a_link_is_merged_in_words(imrec, built, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    found = imrec("sources", "add", "link")
    assert (found.status, found.out) == (0, "nothing to add\n")
    assert list(built.settings().sources) == ["a", "b"]


def test_build_of_a_lake_toml_with_overlapping_sources_names_both(imrec, built, tmp_path):
    toy.write_photos(tmp_path / "a" / "sub", [70])
    text = built.settings_path.read_text()
    built.settings_path.write_text(f'{text}sub = "{tmp_path / "a" / "sub"}"\n')
    refused = imrec("build")
    assert refused.status == 1
    assert "source 'sub' (" in refused.err and "is inside 'a' (" in refused.err and "Traceback" not in refused.err
    assert imrec("search", image_id("b", "photo_020.jpg")).status == 0
    assert imrec("sources", "drop", "sub", "--yes").status == 0
    assert "1 new" in imrec("build").out


def test_build_says_in_one_line_that_many_images_are_gone_and_decodes_none_on_return(imrec, built, tmp_path):
    toy.write_photos(tmp_path / "a" / "disk", range(40, 70))
    assert "30 new" in imrec("build").out
    shutil.move("a/disk", "aside")
    Path("a/disk").mkdir()
    lost = imrec("build")
    (line,) = (line for line in lost.err.splitlines() if "gone at once" in line)
    assert line.startswith("imrec: source 'a': 30 of 42 images are gone at once, all below disk")
    assert "0 new, 0 changed, 30 removed" in lost.out
    found = json.loads(imrec("search", image_id("b", "photo_020.jpg"), "-k", 100, "--json").out)["hits"]
    assert len(found) == 15
    Path("a/disk").rmdir()
    shutil.move("aside", "a/disk")
    returned = imrec("build").out
    assert "30 new" in returned and "0 decoded" in returned


def test_gc_lists_what_is_unused_and_removes_it(imrec, built):
    assert imrec("gc").out == "nothing is unused\n"
    assert imrec("build", "--features", "phash").status == 0
    dry = imrec("gc", "--dry-run")
    assert dry.out.startswith("tables of features that lake.toml does not list: 2, ")
    assert "imrec gc would remove" in dry.out
    listed = json.loads(imrec("gc", "--dry-run", "--json").out)
    assert listed["dry_run"] is True
    assert {Path(file["path"]).parts[-2:] for file in listed["files"]} == {
        ("rgb_histogram", "a-0000.parquet"),
        ("rgb_histogram", "b-0000.parquet"),
    }
    assert listed["byte_size"] == sum(file["byte_size"] for file in listed["files"]) > 0
    assert all(Path(file["path"]).exists() for file in listed["files"])
    assert "removed" in imrec("gc").out
    assert not any(Path(file["path"]).exists() for file in listed["files"])
    assert json.loads(imrec("gc", "--json").out) == {"dry_run": False, "byte_size": 0, "files": []}
    assert "nothing to do" in imrec("build").out


def test_status_prints_the_size_by_kind(imrec, built):
    (line,) = (line for line in imrec("status").out.splitlines() if line.startswith("size "))
    assert "runs" in line and "images table" in line
    assert set(json.loads(imrec("status", "--json").out)["sizes"]) >= {"features", "generations", "thumbnails", "other"}
