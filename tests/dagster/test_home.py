"""The folder of a lake's Dagster instance, and errors of its storage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from imrec_core import Lake
from imrec_core.errors import LakeError, StorageDenied, StorageFull
from imrec_dagster.home import OWNER_FILE, dagster_home, open_instance
from tests.support import toy


@pytest.fixture
def lakes(tmp_path) -> tuple[Lake, Lake]:
    return toy.new_lake(tmp_path / "one"), toy.new_lake(tmp_path / "two")


def test_each_lake_has_its_own_home(lakes):
    one, two = lakes
    assert dagster_home(one) == one.root / "dagster" != dagster_home(two)


def test_home_of_another_lake_is_refused(imrec, lakes, tmp_path, monkeypatch):
    one, two = lakes
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    toy.write_photos(tmp_path / "photos", range(2))
    assert imrec("build", tmp_path / "photos", "--features", "phash", "--lake", one.root).status == 0
    assert (tmp_path / "home" / OWNER_FILE).read_text() == str(one.root)
    for command in ("build", "ui", "failures"):
        options = ("--retry",) if command == "failures" else ()
        line = imrec(command, *options, "--lake", two.root).complaint
        assert f"DAGSTER_HOME {tmp_path / 'home'} belongs to the lake {one.root}, not to {two.root}" in line
    assert dagster_home(one) == tmp_path / "home"


def test_home_of_a_lake_that_has_moved_can_be_used(lakes, tmp_path, monkeypatch):
    one, two = lakes
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_instance(dagster_home(one), one):
        pass
    shutil.move(one.root, tmp_path / "moved")
    with open_instance(dagster_home(two), two):
        assert (tmp_path / "home" / OWNER_FILE).read_text() == str(two.root)


@pytest.mark.parametrize("home", ["/proc/nothing", "/dev/null", "/dev/null/home"])
def test_unusable_home_is_one_line(imrec, lakes, tmp_path, monkeypatch, home):
    toy.write_photos(tmp_path / "photos", range(1))
    monkeypatch.setenv("DAGSTER_HOME", home)
    line = imrec("build", tmp_path / "photos", "--features", "phash", "--lake", lakes[0].root).complaint
    assert f"Dagster's files in {home} cannot be read and written" in line and "set DAGSTER_HOME to another one" in line


@pytest.mark.parametrize(
    ("reason", "kind", "advice"),
    [
        ("database or disk is full", StorageFull, "free some, or set DAGSTER_HOME"),
        ("attempt to write a readonly database", StorageDenied, "make the folder writable"),
        ("unable to open database file", StorageDenied, "make the folder writable"),
        ("disk I/O error\nmore", LakeError, r"\(disk I/O error\)"),
    ],
)
def test_errors_of_the_database_say_what_to_do(tmp_path, reason, kind, advice):
    with pytest.raises(kind, match=advice), open_instance(tmp_path):
        raise OperationalError("INSERT", {}, Exception(reason))


def test_full_disk_of_the_home_is_one_line(tmp_path, monkeypatch):
    def refuse(self: Path, *_: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(StorageFull, match="no space left for Dagster's files"), open_instance(tmp_path / "home"):
        pass
