"""A reader of a lake never sees half a file, and what a killed run left is swept."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imrec_core.errors import (
    BadSettings,
    LakeError,
    MissingTable,
    SchemaMismatch,
    StorageDenied,
    StorageFault,
    StorageFull,
)
from imrec_core.lake.lake import LAKE_VERSION, Lake, source_of
from imrec_core.lake.settings import Settings
from imrec_core.lake.settings_template import NEW_LAKES
from imrec_core.lake.storage import files as storage

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
MADE_FROM = {"shard": "s-0000", "shard_version": "1"}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake").open_for_writing()


def files(lake: Lake) -> set[str]:
    return {path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*") if path.is_file()}


def breaks_off(error: BaseException):
    """A `pq.write_table` that writes half of the file."""

    def write_table(table: pa.Table, where: Path, **_: object) -> None:
        Path(where).write_bytes(b"PAR1 half of a ta")
        raise error

    return write_table


@pytest.fixture(scope="module")
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


# -- tables -------------------------------------------------------------------------------------------------


def test_table_comes_back_with_what_it_was_made_from(lake):
    path = lake.feature_path("phash", "s-0000")
    size = lake.write_table(path, TABLE, MADE_FROM)
    assert size == path.stat().st_size
    assert lake.read_table(path).equals(TABLE)
    assert lake.read_table(path, ["b"]).column_names == ["b"]
    assert lake.made_from(path) == MADE_FROM
    assert lake.row_count(path) == 3
    assert files(lake) == {"lake.toml", "version.json", "features/phash/s-0000.parquet"}


def test_folders_with_an_equals_sign_add_no_column(tmp_path):
    lake = Lake(tmp_path / "year=2024").open_for_writing()
    lake.write_table(lake.catalog_path("s-0000"), TABLE, MADE_FROM)
    assert lake.read_table(lake.catalog_path("s-0000")).column_names == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("bug"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.EROFS, "read only"), StorageDenied),
        (OSError(errno.EIO, "broken disk"), StorageFault),  # which may pass
    ],
)
def test_writing_that_breaks_off_leaves_the_old_file_and_nothing_else(lake, monkeypatch, error, told):
    path = lake.catalog_path("s-0000")
    lake.write_table(path, TABLE, MADE_FROM)
    before, there = path.read_bytes(), files(lake)
    monkeypatch.setattr(pq, "write_table", breaks_off(error))
    with pytest.raises(told):
        lake.write_table(path, TABLE.slice(1), {})
    assert path.read_bytes() == before
    assert files(lake) == there


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_told_as_such_and_the_old_file_stays(lake, monkeypatch, number):
    path = lake.catalog_path("s-0000")
    lake.write_table(path, TABLE, MADE_FROM)
    monkeypatch.setattr(pq, "write_table", breaks_off(OSError(number, os.strerror(number))))
    with pytest.raises(StorageFull, match=rf"no space left on the disk of {path.parent}"):
        lake.write_table(path, TABLE.slice(1), {})
    assert lake.read_table(path).equals(TABLE)
    assert files(lake) == {"lake.toml", "version.json", "catalog/s-0000.parquet"}


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    match kind:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "text":
            path.write_text("no table at all, though long enough to look for a footer in")
        case "footer":
            length = int.from_bytes(content[-8:-4], "little")
            path.write_bytes(content[: -8 - length] + bytes(length) + content[-8:])
        case "page":
            path.write_bytes(content[:4] + bytes(40) + content[44:])
        case "foreign":
            pq.write_table(TABLE, path)


@pytest.mark.parametrize("kind", ["missing", "empty", "half", "text", "footer", "foreign"])
def test_file_that_is_missing_damaged_or_not_ours_was_made_from_nothing(lake, kind):
    path = lake.catalog_path("s-0000")
    lake.write_table(path, TABLE, MADE_FROM)
    damage(path, kind)
    assert lake.made_from(path) is None


@pytest.mark.parametrize("kind", ["empty", "half", "text", "footer", "page"])
def test_reading_a_damaged_table_says_which_and_what_to_do(lake, kind):
    path = lake.catalog_path("s-0000")
    lake.write_table(path, TABLE, MADE_FROM)
    damage(path, kind)
    reads = [lake.read_table] if kind == "page" else [lake.row_count, lake.read_table]
    for read in reads:
        with pytest.raises(SchemaMismatch, match=rf"{path} is damaged .*run: imrec build$"):
            read(path)


def test_missing_table_or_column_is_told(lake):
    path = lake.catalog_path("s-0000")
    assert lake.row_count(path) == 0
    with pytest.raises(MissingTable, match="run: imrec build"):
        lake.read_table(path)
    lake.write_table(path, TABLE, MADE_FROM)
    with pytest.raises(SchemaMismatch):
        lake.read_table(path, ["a", "c"])


def test_live_shards_are_those_of_sources_in_lake_toml(lake):
    for shard in ("b-0000", "a-0001", "a-0000", "a-b-0000"):
        lake.write_table(lake.catalog_path(shard), TABLE, {})
    lake.save_settings(Settings(sources={"a": Path("/a")}))
    assert lake.shards() == ["a-0000", "a-0001", "a-b-0000", "b-0000"]
    assert lake.live_shards() == ["a-0000", "a-0001"]
    assert source_of("a-b-0000") == "a-b"


# -- opening ------------------------------------------------------------------------------------------------


def test_url_of_no_known_kind_is_refused():
    with pytest.raises(LakeError, match=r"nowhere://bucket/lake: .* give a folder or a URL such as s3://bucket/prefix"):
        Lake("nowhere://bucket/lake")


def test_url_of_a_file_is_a_local_lake(tmp_path):
    assert Lake(f"file://{tmp_path}/lake").root == tmp_path / "lake"


def test_folder_that_is_no_lake_is_refused_and_told_how_to_make_one(tmp_path):
    with pytest.raises(MissingTable, match=rf"no lake at {tmp_path}; make one with: imrec build FOLDER"):
        Lake(tmp_path).check_version()
    assert list(tmp_path.iterdir()) == []


def test_lake_of_a_newer_imrec_is_refused_and_left_alone(lake):
    marker = lake.root / "version.json"
    marker.write_text(json.dumps({"lake": LAKE_VERSION + 1}))
    for refused in (lake.check_version, lake.open_for_writing):
        with pytest.raises(LakeError, match=rf"version {LAKE_VERSION + 1}, this imrec reads {LAKE_VERSION}"):
            refused()
    assert json.loads(marker.read_text()) == {"lake": LAKE_VERSION + 1}


def test_lake_of_this_imrec_opens_again(lake):
    lake.write_table(lake.catalog_path("s-0000"), TABLE, MADE_FROM)
    there = files(lake)
    Lake(str(lake.root)).open_for_writing().check_version()
    assert files(lake) == there


def test_file_in_the_place_of_the_lake_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="cannot make the lake"):
        Lake(tmp_path / "file").open_for_writing()
    with pytest.raises(LakeError, match="cannot make the lake"):
        Lake(tmp_path / "file/lake").open_for_writing()


def test_leftovers_of_dead_processes_are_swept_and_those_of_running_ones_stay(lake, dead_pid):
    folder = lake.root / "generations"
    here = storage.THIS_MACHINE
    names = (f"{dead_pid}-{here}-0-g", f"{os.getpid()}-{here}-0-g", f"{dead_pid}-elsewhere-0-g", f"{dead_pid}-old-0-g")
    dead, alive, elsewhere, old = (folder / f"{storage.TEMPORARY}{name}" for name in names)
    for path in (dead, alive, elsewhere, old):
        path.mkdir(parents=True)
        (path / "rows.parquet").write_text("half")
        (path / f"{path.name}.parquet").write_text("half")
    os.utime(old, (0, 0))
    (lake.root / f"{storage.TEMPORARY}{dead_pid}-{here}-0a1b2c3d-lake.toml").write_text("half")
    (folder / f"{storage.TEMPORARY}somebody").write_text("not ours")
    lake.open_for_writing()
    assert files(lake) == {
        "lake.toml",
        "version.json",
        f"generations/{alive.name}/rows.parquet",
        f"generations/{alive.name}/{alive.name}.parquet",
        f"generations/{elsewhere.name}/rows.parquet",
        f"generations/{elsewhere.name}/{elsewhere.name}.parquet",
        f"generations/{storage.TEMPORARY}somebody",
    }
    assert not dead.exists()
    assert not old.exists()


def test_leftovers_carry_the_process_that_writes_them(lake, monkeypatch):
    seen = []
    monkeypatch.setattr(pq, "write_table", lambda table, where, **_: (seen.append(where), Path(where).write_text("")))
    lake.write_table(lake.catalog_path("s-0000"), TABLE, MADE_FROM)
    assert seen[0].parent == lake.catalog_path("s-0000").parent
    assert seen[0].name.startswith(f"{storage.TEMPORARY}{os.getpid()}-")


# -- lake.toml ----------------------------------------------------------------------------------------------


def test_lake_without_lake_toml_has_the_settings_of_a_new_one(lake):
    lake.settings_path.unlink()
    assert lake.settings() == Settings(**NEW_LAKES)


def test_saved_settings_come_back_and_comments_stay(lake):
    lake.settings_path.write_text('# mine\nshard_size = 5\n[sources]\na = "../photos" # beside the lake\n')
    settings = lake.settings()
    assert settings.sources == {"a": lake.root / "../photos"}
    lake.save_settings(settings.with_folders(["/b"]))
    assert lake.settings().sources == {"a": lake.root / "../photos", "b": Path("/b")}
    assert lake.settings().shard_size == 5
    for kept in ("# mine", "# beside the lake", '"../photos"'):
        assert kept in lake.settings_path.read_text()


def test_settings_that_did_not_change_are_not_written(lake, monkeypatch):
    lake.save_settings(Settings(sources={"a": Path("/a")}))
    monkeypatch.setattr(os, "replace", lambda *_: pytest.fail("wrote again"))
    lake.save_settings(lake.settings())


def test_bad_lake_toml_is_told(lake):
    lake.settings_path.write_text("sharrd_size = 5")
    with pytest.raises(BadSettings, match="did you mean 'shard_size'"):
        lake.settings()


# -- fitted -------------------------------------------------------------------------------------------------


def test_fitted_arrays_come_back_and_the_newest_is_in_use(lake):
    assert lake.fitted_version("pca") is None
    lake.save_fitted("pca", "one", {"mean": np.zeros(3)}, {"rows": 3})
    lake.save_fitted("pca", "two", {"mean": np.arange(3.0)}, {"rows": 4})
    assert lake.fitted_version("pca") == "two"
    assert lake.load_fitted("pca", "two")["mean"].tolist() == [0, 1, 2]
    assert lake.load_fitted("pca", "one")["mean"].tolist() == [0, 0, 0]
    assert lake.fitted_facts("pca", "two") == {"rows": 4}


def test_fit_whose_file_is_gone_is_not_in_use(lake):
    lake.save_fitted("pca", "one", {"mean": np.zeros(3)}, {})
    lake.fitted_path("pca", "one").unlink()
    assert lake.fitted_version("pca") is None
    with pytest.raises(MissingTable, match="run: imrec build"):
        lake.load_fitted("pca", "one")


# -- generations --------------------------------------------------------------------------------------------


def make_generation(lake: Lake, name: str) -> None:
    with lake.new_generation(name) as folder:
        (folder / "generation.json").write_text("{}")
        assert name not in lake.generations()


def test_generation_appears_when_it_is_done_and_counts_when_it_is_published(lake):
    make_generation(lake, "000001")
    assert (lake.generations(), lake.current_generation()) == (["000001"], None)
    lake.publish("000001")
    assert lake.current_generation() == "000001"


def test_generation_that_breaks_off_leaves_nothing(lake):
    with pytest.raises(RuntimeError), lake.new_generation("000001") as folder:
        (folder / "rows.parquet").write_text("half")
        raise RuntimeError("bug")
    assert files(lake) == {"lake.toml", "version.json"}
    assert list((lake.root / "generations").iterdir()) == []


def test_publishing_keeps_the_newest_two_and_the_one_in_use(lake):
    for name in ("000001", "000002", "000003"):
        make_generation(lake, name)
    lake.publish("000003")
    assert lake.generations() == ["000002", "000003"]
    for name in ("000004", "000005"):
        make_generation(lake, name)
    lake.publish("000002")  # going back
    assert lake.generations() == ["000002", "000004", "000005"]
    assert lake.current_generation() == "000002"
