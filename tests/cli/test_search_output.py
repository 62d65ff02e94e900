"""What `imrec search` and `imrec duplicates` print for programs, and links to hits."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from imrec_core import Lake
from imrec_dagster.cli import links
from tests.support import toy


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Eight photos, one with a newline in its name, one twice with a sidecar. For reading only."""
    root = tmp_path_factory.mktemp("paths")
    toy.write_photos(root / "photos", range(8))
    (root / "photos" / "photo_004.jpg").rename(root / "photos" / "two\nlines.jpg")
    shutil.copy(root / "photos" / "photo_003.jpg", root / "photos" / "z.jpg")
    (root / "photos" / "z.xmp").write_text("<x/>")
    made = toy.new_lake(root / "lake", ("phash",))
    toy.build(made)
    return made


def photo(lake: Lake, name: str = "photo_000.jpg") -> Path:
    return lake.root.parent / "photos" / name


@pytest.fixture
def search(imrec, lake):
    return lambda *options: imrec("search", photo(lake), "--lake", lake.root, *options)


def hits(search, *options) -> list[str]:
    return [hit["path"] for hit in json.loads(search("--json", *options).out)["hits"]]


@pytest.mark.parametrize("option", ["-k", "-n", "--limit"])
def test_number_of_hits_has_three_names(search, option):
    assert len(hits(search, option, 3)) == 3


@pytest.mark.parametrize(("options", "end"), [(["--paths"], "\n"), (["--paths", "-0"], "\0"), (["--null"], "\0")])
def test_paths_are_those_of_the_hits_and_nothing_else(search, options, end):
    found = search("-n", 9, *options)
    assert (found.status, found.err) == (0, "")
    assert found.out == "".join(path + end for path in hits(search, "-n", 9))
    assert "two\nlines.jpg" in found.out


def test_no_hit_is_no_path_and_a_note(search):
    none = ("--where", "width > 100000", "--paths")
    assert (search(*none).out, search(*none).err) == ("", "no image left to compare with\n")
    assert (search(*none, "-q").out, search(*none, "-q").err) == ("", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--json", "--paths"], "give one of --json and --paths"),
        (["--json", "-0"], "give one of --json and --paths"),
        (["-q", "-v"], "give one of --quiet and --verbose"),
        (["--each", "--paths"], "leave out --sheet, --explain, --link, --paths"),
        (["--each", "--link", "x"], "leave out --sheet, --explain, --link, --paths"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_exclude_each_other_are_refused(search, options, said):
    refused = search(*options)
    assert (refused.status, refused.out) == (2, "")
    assert said in " ".join(refused.err.split())


def test_quiet_search_of_each_says_nothing_of_failures(imrec, lake, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no image")
    asked = ("search", "x.jpg", "--each", "--lake", lake.root)
    assert "1 images could not be read" in imrec(*asked).err
    assert imrec(*asked, "--quiet").err == ""
    assert '"error"' in imrec(*asked, "--quiet").out


def test_o_is_the_contact_sheet(search, tmp_path):
    assert search("-o", "sheet.png").status == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


# -- links --------------------------------------------------------------------------------------------------


def linked(folder: Path) -> list[str]:
    """Targets of the links of a folder, in the order of their names."""
    return [os.readlink(path) for path in sorted(folder.iterdir()) if path.name != links._LIST]


def test_links_are_in_the_order_of_the_hits_and_a_later_search_replaces_them(search, tmp_path):
    made = search("-n", 9, "--link", "found/hits")
    assert made.status == 0 and "links to the hits: 8 in found/hits\n" in made.err
    folder = tmp_path / "found" / "hits"
    assert linked(folder) == hits(search, "-n", 9)
    names = sorted(os.listdir(folder))[1:]
    assert [name.partition("_")[0] for name in names] == [f"0{rank}" for rank in range(1, 9)]
    assert all(name.endswith(".jpg") for name in names)
    again = search("-n", 2, "--link", "found/hits", "-q")
    assert again.err == "" and linked(folder) == hits(search, "-n", 2)


def test_folder_with_anything_else_is_refused_and_left_as_it_is(search, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    refused = search("--link", folder)
    assert refused.status == 2 and refused.out == ""
    assert "holds 'letter.txt', which is no link by --link; give a new or an empty folder" in refused.err
    assert [path.read_text() for path in folder.iterdir()] == ["dear"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_was_added_to_the_links_is_not_overwritten(search, tmp_path, kind):
    folder = tmp_path / "hits"
    assert search("--link", folder).status == 0
    first = sorted(folder.iterdir())[1]
    if kind == "file":
        first.unlink()
        first.write_text("mine")
    else:
        (folder / "00_mine.jpg").symlink_to(first)
    before = sorted((path.name, path.is_symlink()) for path in folder.iterdir())
    refused = search("--link", folder)
    assert refused.status == 2 and "which is no link by --link" in refused.err
    assert sorted((path.name, path.is_symlink()) for path in folder.iterdir()) == before


def test_folder_in_a_source_is_refused(search, lake):
    refused = search("--link", photo(lake, "hits"))
    assert refused.status == 2 and "is inside the source 'photos'" in refused.err
    assert not photo(lake, "hits").exists()


def test_interrupted_links_are_replaced(search, tmp_path, monkeypatch):
    made, real = [], os.symlink

    def symlink(target, link):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(link)
        real(target, link)

    with monkeypatch.context() as patch:
        patch.setattr(links.os, "symlink", symlink)
        assert search("--link", "hits").status == 1
    assert len(linked(tmp_path / "hits")) == 2
    assert search("--link", "hits").status == 0
    assert linked(tmp_path / "hits") == hits(search)


def test_hits_without_a_file_get_no_link(imrec, lake, tmp_path):
    moved = toy.copy_lake(lake.root.parent, tmp_path / "copy")
    (tmp_path / "copy" / "photos" / "z.jpg").unlink()
    asked = imrec("search", photo(moved, "photo_003.jpg"), "-n", 9, "--link", "hits", "--lake", moved.root)
    assert "; 1 hits have no local file\n" in asked.err
    assert not any(target.endswith("z.jpg") for target in linked(tmp_path / "hits"))


def test_long_name_keeps_its_suffix(tmp_path):
    name = links._link_name("01", f"/photos/{'ä' * 125}.jpg")
    assert name.startswith("01_ä") and name.endswith("ä.jpg") and len(os.fsencode(name)) in (254, 255)


# -- duplicates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("option", "end"), [("--paths", "\n"), ("-0", "\0")])
def test_paths_of_copies_are_the_files_that_a_plan_would_move(imrec, lake, tmp_path, option, end):
    asked = ("duplicates", "--tier", "identical", "--lake", lake.root)
    found = imrec(*asked, option, "-o", "plan.json", "-q")
    assert (found.status, found.err) == (0, "")
    assert found.out == "".join(f"{photo(lake, name)}{end}" for name in ("z.jpg", "z.xmp"))
    (move,) = json.loads((tmp_path / "plan.json").read_text())["moves"]
    assert [file["path"] for file in (move["file"], *move["companions"])] == found.out.split(end)[:-1]


@pytest.mark.parametrize("options", [["--json"], ["--undo", "plan.json"], ["--always-keep", "x.jpg"]], ids=" ".join)
def test_paths_with_something_else_than_a_search_for_copies_are_refused(imrec, lake, options):
    refused = imrec("duplicates", "--paths", *options, "--lake", lake.root)
    assert (refused.status, refused.out) == (2, "")
    assert "--paths" in refused.err
