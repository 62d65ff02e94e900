"""A file that is replaced with its size and time kept is noticed; a lake of before decodes nothing."""

import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from imrec_core.catalog.manifests import diff, update
from imrec_core.images import decode
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from tests.support import toy
from tests.support.listings import change_status
from tests.support.pictures import encode


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Six images in two shards, extracted."""
    for seed in range(6):
        path = tmp_path / f"photos/photo_{seed:03d}.bmp"  # all have one size
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(toy.photo(seed), "BMP"))
    lake = toy.new_lake(tmp_path / "lake", ["ahash"], shard_size=3)
    toy.build(lake)
    return lake


def photo(lake: Lake, number: int) -> Path:
    return lake.root.parent / f"photos/photo_{number:03d}.bmp"


def overwrite(path: Path, data: bytes) -> None:
    """Change the content in place, and set the time back."""
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def move_over(path: Path, data: bytes) -> None:
    """Move another file of the same size and time over it."""
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(data)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, path)


def vectors(lake: Lake, number: int) -> object:
    table = lake.read_table(lake.feature_path("ahash", f"photos-000{number // 3}"))
    return table["vector"][number % 3].as_py()


def extract(lake: Lake) -> int:
    """Extract, and return how many images were decoded."""
    return sum(report.decoded for report in toy.extract(lake))


@pytest.mark.parametrize("replace", [overwrite, move_over])
def test_replaced_file_is_noticed_and_extracted_alone(lake, replace):
    before = [vectors(lake, number) for number in range(6)]
    replace(photo(lake, 1), encode(toy.photo(30), "BMP"))
    found = update(lake)
    assert (found.new, found.changed, found.removed, found.unchanged) == (0, 1, 0, 5)
    assert found.changed_shards == ["photos-0000"]
    assert extract(lake) == 1
    after = [vectors(lake, number) for number in range(6)]
    assert after[1] != before[1]
    assert after[:1] + after[2:] == before[:1] + before[2:]
    assert diff(lake).unchanged == 6
    assert diff(lake).manifests == ()


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: path.chmod(0o600),
        lambda path: os.link(path, path.with_suffix(".link")),
        lambda path: move_over(path, path.read_bytes()),
        lambda path: overwrite(path, path.read_bytes()),
    ],
    ids=["mode", "hard link", "moved over by a copy", "written again"],
)
def test_file_with_the_same_content_is_read_but_not_decoded(lake, touch):
    before = vectors(lake, 4)
    touch(photo(lake, 4))
    assert update(lake).changed == 1
    assert extract(lake) == 0
    assert vectors(lake, 4) == before
    assert diff(lake).manifests == ()


def test_verification_reads_all_and_decodes_what_has_changed(lake, monkeypatch):
    """As on a disk without change times, where nothing else shows the change."""
    set_states(monkeypatch, st_ctime_ns=0, st_ino=0)
    update(lake)
    overwrite(photo(lake, 1), encode(toy.photo(30), "BMP"))
    assert (diff(lake).changed, diff(lake).unchanged) == (0, 6)
    before = vectors(lake, 1)
    found = update(lake, verify=True)
    assert (found.changed, found.unchanged, found.reread) == (0, 6, 6)
    assert extract(lake) == 1
    assert vectors(lake, 1) != before
    assert (diff(lake).reread, diff(lake).manifests) == (0, ())


def test_verification_goes_on_where_it_was_stopped(lake):
    update(lake, verify=True)
    decoded = []
    for report in toy.extract(lake, ["photos-0000"]):
        decoded.append(report.decoded)
    assert decoded == [0]
    assert diff(lake).reread == 0
    overwrite(photo(lake, 5), encode(toy.photo(30), "BMP"))
    assert extract(lake) == 1


def test_verification_records_a_file_that_cannot_be_read_any_more(lake):
    status = photo(lake, 2).stat()
    photo(lake, 2).write_bytes(bytes(status.st_size))
    os.utime(photo(lake, 2), ns=(0, status.st_mtime_ns))
    update(lake, verify=True)
    toy.extract(lake)
    assert lake.read_table(lake.images_path("photos-0000"))["status"].to_pylist() == ["ok", "ok", "failed"]


# -- lakes of before, and sources that are copied -----------------------------------------------------------


def strip(lake: Lake) -> None:
    """Write the manifests as a version before did."""
    for shard in lake.shards():
        path = lake.catalog_path(shard)
        table = lake.read_table(path).select(schemas.CATALOG.names)
        lake.write_table(path, table, lake.made_from(path))
    lake.layout.scan_path("photos").unlink()


def test_lake_of_before_decodes_nothing_and_records_inodes_from_now_on(lake, monkeypatch):
    strip(lake)
    found = update(lake)
    assert (found.changed, found.unchanged, found.changed_shards) == (0, 6, [])
    assert [manifest.shard for manifest in found.manifests] == ["photos-0000", "photos-0001"]
    monkeypatch.setattr(decode, "decode", lambda *_, **__: pytest.fail("decoded a file"))
    assert extract(lake) == 0
    assert diff(lake).manifests == ()
    overwrite(photo(lake, 1), encode(toy.photo(30), "BMP"))
    assert update(lake).changed == 1


def test_lake_of_before_whose_files_change_decodes_these_alone(lake):
    strip(lake)
    photo(lake, 0).write_bytes(encode(toy.photo(30), "BMP"))
    photo(lake, 9).write_bytes(encode(toy.photo(31), "BMP"))
    found = update(lake)
    assert (found.new, found.changed, found.unchanged) == (1, 1, 5)
    assert extract(lake) == 2


def test_source_that_is_copied_to_another_place_is_not_read_again(lake, tmp_path):
    shutil.copytree(tmp_path / "photos", tmp_path / "elsewhere")
    toy.set_to(lake, sources={"photos": tmp_path / "elsewhere"})
    found = update(lake)
    assert (found.changed, found.reread, found.unchanged, found.changed_shards) == (0, 0, 6, [])
    assert diff(lake).manifests == ()
    overwrite(tmp_path / "elsewhere/photo_003.bmp", encode(toy.photo(30), "BMP"))
    assert update(lake).changed == 1


def test_disk_that_numbers_its_files_anew_is_not_read_again(lake, monkeypatch):
    """FAT has no inodes; a driver makes numbers up at each mount."""
    set_states(monkeypatch, offset=1000)
    found = update(lake)
    assert (found.changed, found.unchanged, found.changed_shards) == (0, 6, [])


def test_single_new_inode_is_noticed_where_change_times_are_missing(lake, monkeypatch):
    set_states(monkeypatch, st_ctime_ns=0)
    update(lake)
    move_over(photo(lake, 1), encode(toy.photo(30), "BMP"))
    assert update(lake).changed == 1


def set_states(monkeypatch: pytest.MonkeyPatch, *, offset: int = 0, **fields: int) -> None:
    """Let files have a status with other fields, and add to their inodes."""
    change_status(monkeypatch, lambda _, found: {"st_ino": found.st_ino + offset, **fields})


@pytest.mark.parametrize("change", [2**63, -(2**63) - 1, 0])
def test_change_time_that_no_table_holds_is_left_out(lake, monkeypatch, change):
    set_states(monkeypatch, st_ctime_ns=change)
    update(lake)
    table = lake.read_table(lake.catalog_path("photos-0000"))
    assert table.schema.remove_metadata() == schemas.MANIFEST
    assert (table["ctime_ns"].null_count, table["inode"].null_count) == (3, 0)


def test_manifests_of_both_kinds_are_one_view(lake):
    from imrec_core.sql.views import query

    path = lake.catalog_path("photos-0000")
    lake.write_table(path, lake.read_table(path).select(schemas.CATALOG.names), lake.made_from(path))
    found = query(lake, "SELECT count(*), count(inode) FROM catalog").fetchall()
    assert found == [(6, 3)]


def test_images_below_a_folder_that_cannot_be_listed_are_not_verified(lake, tmp_path, monkeypatch):
    (tmp_path / "photos/year").mkdir()
    photo(lake, 5).rename(tmp_path / "photos/year/photo_005.bmp")
    toy.build(lake)
    real = os.scandir

    def scandir(folder):
        if str(folder).endswith("year"):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    found = update(lake, verify=True)
    assert (found.reread, found.unchanged, found.removed) == (5, 6, 0)
    ids = pl.concat([pl.DataFrame(lake.read_table(lake.catalog_path(shard))) for shard in lake.shards()])
    assert ids.filter(pl.col("reread_ns").is_null())["path"].to_list() == ["year/photo_005.bmp"]
