"""Sources that are the same folder, or one inside the other, are refused or merged, by whatever path."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from imrec_core.catalog import manifests
from imrec_core.errors import BadSettings
from imrec_core.lake import overlaps
from imrec_core.lake.lake import Lake
from imrec_core.lake.overlaps import Overlap, find_overlap, require_disjoint
from imrec_core.lake.settings import Settings
from imrec_core.lake.settings_file import parse
from imrec_core.lake.storage.files import place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `photos` with `photos/2024`, links to both, and another folder."""
    for name in ("photos/2024", "photos2", "links"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "links" / "all").symlink_to(tmp_path / "photos")
    (tmp_path / "links" / "year").symlink_to(tmp_path / "photos" / "2024")
    return tmp_path


SAME = ["photos", "photos/", "photos/.", "photos/2024/..", "links/all", "links/../photos", "links/year/.."]
INSIDE = ["photos/2024", "links/year", "links/all/2024", "photos2/../photos/2024"]


@pytest.mark.parametrize("path", SAME)
def test_one_folder_by_two_paths_is_the_same(folder, path):
    sources = {"a": folder / "photos", "b": Path(os.path.join(folder, path))}
    assert find_overlap(sources) == Overlap("a", "b", True)
    with pytest.raises(
        BadSettings, match=r"sources 'a' \(.*\) and 'b' \(.*\) are the same folder.*imrec sources drop b"
    ):
        require_disjoint(sources)


@pytest.mark.parametrize("path", INSIDE)
@pytest.mark.parametrize("turned", [False, True])
def test_folder_inside_another_is_found_in_any_order(folder, path, turned):
    sources = {"a": folder / "photos", "b": Path(os.path.join(folder, path))}
    sources = dict(reversed(sources.items())) if turned else sources
    assert find_overlap(sources) == Overlap("a", "b", False)
    with pytest.raises(BadSettings, match=r"source 'b' \(.*\) is inside 'a' \(.*imrec sources drop b"):
        require_disjoint(sources)


@pytest.mark.parametrize("path", ["photos2", "links", "photos-away"])
def test_other_folders_do_not_overlap_even_if_their_names_begin_alike(folder, path):
    assert find_overlap({"a": folder / "photos", "b": folder / path}) is None


def test_folders_that_are_away_are_compared_by_their_paths(tmp_path):
    gone = tmp_path / "gone"
    assert find_overlap({"a": gone, "b": gone / "x"}) == Overlap("a", "b", False)
    assert find_overlap({"a": gone, "b": gone / "x" / ".."}) == Overlap("a", "b", True)
    assert find_overlap({"a": gone, "b": tmp_path / "gone2"}) is None


def test_one_folder_by_two_mounts_is_the_same_by_its_inode(folder, monkeypatch):
    """As a bind mount is, or a name in another case on a disk that does not tell them apart."""
    stat = os.stat
    mounted = {str(folder / "photos2"): folder / "photos", str(folder / "links"): folder / "photos" / "2024"}
    monkeypatch.setattr(overlaps.os, "stat", lambda path: stat(mounted.get(str(path), path)))
    assert find_overlap({"a": folder / "photos", "b": folder / "photos2"}) == Overlap("a", "b", True)
    assert find_overlap({"a": folder / "photos2", "b": folder / "photos" / "2024"}) == Overlap("a", "b", False)


def test_file_system_without_inodes_is_no_reason_to_find_an_overlap(folder, monkeypatch):
    monkeypatch.setattr(overlaps.os, "stat", lambda path: os.stat_result((0o40755, 0, 5, *[0] * 7)))
    assert find_overlap({"a": folder / "photos", "b": folder / "photos2"}) is None


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("s3://x/photos", "s3://x/photos/", Overlap("a", "b", True)),
        ("s3://x/photos", "s3://x/photos/2024", Overlap("a", "b", False)),
        ("s3://x", "s3://x/photos", Overlap("a", "b", False)),
        ("s3://x/photos", "s3://x/photos2", None),
        ("s3://x/photos", "s3://y/photos", None),
        ("s3://x/photos", "/x/photos", None),
    ],
)
def test_places_in_object_stores_are_compared_by_their_urls(a, b, expected):
    assert find_overlap({"a": place(a), "b": place(b)}) == expected


# -- where folders are added --------------------------------------------------------------------------------


@pytest.fixture
def settings(folder) -> Settings:
    return Settings(sources={"all": folder / "photos"})


@pytest.mark.parametrize("path", SAME)
def test_known_folder_by_another_path_is_merged_and_a_second_name_refused(folder, settings, path, caplog):
    added = os.path.join(folder, path)
    with caplog.at_level(logging.WARNING):
        assert settings.with_folders([added, f"all={added}"]).sources == settings.sources
    is_other = Path(added) != folder / "photos"
    assert ("is source 'all' already" in caplog.text) == is_other
    with pytest.raises(BadSettings, match="is source 'all' already; its images would be there twice"):
        settings.with_folders([f"again={added}"])


@pytest.mark.parametrize("path", INSIDE)
def test_folder_inside_a_source_is_refused(folder, settings, path):
    for added in (path, f"year={path}"):
        name, equals, rest = added.rpartition("=")
        with pytest.raises(BadSettings, match=r"is inside source 'all' \(.*; its images are in the lake already"):
            settings.with_folders([f"{name}{equals}{os.path.join(folder, rest)}"])


def test_folder_that_contains_a_source_is_refused_and_says_what_to_do(folder):
    settings = Settings(sources={"year": folder / "photos" / "2024"})
    with pytest.raises(BadSettings, match=r"contains source 'year' .*; first run: imrec sources drop year"):
        settings.with_folders([str(folder / "links" / "all")])


def test_folders_that_are_added_together_are_compared_too(folder):
    with pytest.raises(BadSettings, match="is inside source 'photos'"):
        Settings().with_folders([str(folder / "photos"), str(folder / "photos" / "2024")])


@pytest.mark.parametrize("text", ["", " ", "\t", "holiday=", "holiday= "])
def test_empty_text_is_no_folder_and_never_the_current_one(text):
    with pytest.raises(BadSettings, match=r"is no folder: expected a path or a URL, or '\.' for the current folder"):
        Settings().with_folders([text])


def test_current_folder_is_added_by_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(Settings().with_folders(["."]).sources.values()) == [tmp_path]


# -- where lake.toml was edited -----------------------------------------------------------------------------


def test_source_without_a_folder_in_lake_toml_is_refused(tmp_path):
    with pytest.raises(BadSettings, match=r"lake\.toml: source 'a' is ''; expected a folder or a URL"):
        parse('[sources]\na = ""', tmp_path)


@pytest.mark.parametrize("path", ["photos", "links/all", "photos/2024", "links/year"])
def test_scan_of_overlapping_sources_names_both_and_changes_nothing(folder, path):
    lake = Lake(folder / "lake").open_for_writing()
    lake.save_settings(Settings(sources={"a": folder / "photos"}))
    (folder / "photos" / "x.jpg").write_bytes(b"x")
    manifests.update(lake)
    text = lake.settings_path.read_text()
    lake.settings_path.write_text(f'{text}b = "{folder / path}"\n')
    assert list(lake.settings().sources) == ["a", "b"]  # it can be searched, and put right by: imrec sources
    with pytest.raises(BadSettings, match=r"'a' \(.*'b' \(|'b' \(.*'a' \("):
        manifests.update(lake)
    assert lake.shards() == ["a-0000"]
