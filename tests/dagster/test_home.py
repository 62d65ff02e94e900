"""The folder of a lake's Dagster instance, and errors of its storage."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from imrec_core import Lake
from imrec_core.errors import LakeError, StorageDenied, StorageFull
from imrec_dagster.home import OWNER_FILE, dagster_home, open_instance
from imrec_dagster.partitions import SHARDS
from tests.support import toy
from tests.support.running import ROOT, environment


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


# -- another lake -------------------------------------------------------------------------------------------


def records(home: Path) -> tuple[int, list[str]]:
    with open_instance(home) as instance:
        return instance.get_runs_count(), sorted(instance.get_dynamic_partitions(str(SHARDS.name)))


@pytest.fixture
def built(imrec, lakes, tmp_path, monkeypatch) -> Path:
    """The home of the first lake, with its records."""
    toy.write_photos(tmp_path / "photos", range(2))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert imrec("build", tmp_path / "photos", "--features", "phash", "--lake", lakes[0].root).status == 0
    return tmp_path / "home"


def test_neither_lake_gets_records_of_the_other(imrec, built, lakes, tmp_path):
    before, files = records(built), sorted(path.name for path in lakes[1].root.iterdir())
    assert before[0] > 0 and before[1] == ["photos-0000"]
    toy.write_photos(tmp_path / "others", range(2, 4))
    assert imrec("build", tmp_path / "others", "--lake", lakes[1].root).status == 1
    assert records(built) == before
    assert lakes[1].shards() == []
    assert sorted(path.name for path in lakes[1].root.iterdir()) == files


def test_folder_of_another_lake_itself_is_refused(imrec, lakes, monkeypatch):
    one, two = lakes
    with open_instance(dagster_home(one)):
        pass
    monkeypatch.setenv("DAGSTER_HOME", str(one.dagster_home))
    assert f"belongs to the lake {one.root}" in imrec("build", "--lake", two.root).complaint
    assert dagster_home(one) == one.dagster_home


def test_home_with_the_partitions_of_another_lake_is_refused_if_none_is_noted(imrec, built, lakes, tmp_path):
    (built / OWNER_FILE).unlink()
    toy.write_photos(tmp_path / "others", range(2, 4))
    toy.set_to(lakes[1], sources={"others": tmp_path / "others"})
    line = imrec("build", "--lake", lakes[1].root).complaint
    assert f"DAGSTER_HOME {built} has partitions, none of the lake {lakes[1].root}" in line
    assert line.endswith(f"run: echo '{lakes[1].root}' > '{built / OWNER_FILE}'")
    assert imrec("build", "--lake", lakes[0].root).status == 0
    assert (built / OWNER_FILE).read_text() == str(lakes[0].root)


def test_lake_that_has_moved_keeps_its_home(built, lakes, tmp_path):
    moved = tmp_path / "moved"
    shutil.move(lakes[0].root, moved)
    with open_instance(dagster_home(Lake(moved)), Lake(moved)):
        assert (built / OWNER_FILE).read_text() == str(moved)
    lakes[0].root.symlink_to(moved)  # both paths lead to the lake
    assert dagster_home(lakes[0]) == dagster_home(Lake(moved)) == built


def test_lake_that_was_copied_with_its_home_uses_the_copy(lakes, tmp_path):
    with open_instance(dagster_home(lakes[0]), lakes[0]):
        pass
    copy = Lake(shutil.copytree(lakes[0].root, tmp_path / "copy"))
    with open_instance(dagster_home(copy), copy):
        assert (copy.root / "dagster" / OWNER_FILE).read_text() == str(copy.root)


def test_code_location_notes_its_lake_and_refuses_another(lakes, tmp_path):
    home = tmp_path / "home"
    home.mkdir()

    def validated(lake: Lake) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")]
        return subprocess.run(command, cwd=ROOT, env=environment(lake, home), capture_output=True, text=True)

    assert validated(lakes[0]).returncode == 0
    assert (home / OWNER_FILE).read_text() == str(lakes[0].root)
    refused = validated(lakes[1])
    assert refused.returncode == 1
    assert f"LakeError: DAGSTER_HOME {home} belongs to the lake {lakes[0].root}" in refused.stdout + refused.stderr


def test_extraction_has_its_limit_before_the_first_run(lakes):
    for _ in range(2):
        with open_instance(lakes[0].dagster_home, lakes[0]) as instance:
            (limit,) = instance.event_log_storage.get_pool_limits()
    assert (limit.name, limit.limit, limit.from_default) == ("decode", 1, True)
