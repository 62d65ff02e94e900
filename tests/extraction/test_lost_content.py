"""Images that are gone at once: the scan says so, what is known of them is kept, and nothing is decoded on return."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imrec_core import Lake
from imrec_core.catalog import manifests
from imrec_core.errors import BadSettings
from imrec_core.extraction import lost_content
from imrec_core.extraction.kept_shards import kept_shards
from imrec_core.extraction.lost_content import Loss, expired_shards, find_losses, keep, remove_expired
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.settings import Settings
from imrec_core.upkeep.sources import drop_source
from tests.support import toy

FEATURES = ("rgb_histogram", "phash", "small")
SMALL = {"small": {"base": "rgb_histogram", "dims": 4}}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Sixty photos: thirty in `disk/a`, ten in `disk/b`, twenty beside them, in shards of 16."""
    folder = tmp_path_factory.mktemp("built")
    toy.write_photos(folder / "photos" / "disk" / "a", range(30))
    toy.write_photos(folder / "photos" / "disk" / "b", range(30, 40))
    toy.write_photos(folder / "photos", range(40, 60))
    toy.build(toy.new_lake(folder / "lake", FEATURES, projections=SMALL))
    return folder


@pytest.fixture
def lake(built, tmp_path) -> Lake:
    """A copy that a test may change; it was built where it is now."""
    return toy.copy_lake(built, tmp_path / "copy")


@pytest.fixture
def photos(lake) -> Path:
    return lake.settings().sources["photos"]


def scan(lake: Lake) -> list[Loss]:
    """Scan as the asset `catalog` does."""
    found = manifests.diff(lake)
    losses = find_losses(lake, found)
    keep(lake, losses)
    remove_expired(lake)
    found.apply(lake)
    return losses


def publish(lake: Lake) -> None:
    toy.extract(lake)
    toy.derive(lake)
    build_generation(lake)


def away(folder: Path, aside: Path, *, leave: bool = True) -> None:
    """Move the content of a folder aside, as when its disk is not mounted; the mount point stays."""
    shutil.move(folder, aside)
    if leave:
        folder.mkdir()


def back(folder: Path, aside: Path) -> None:
    if folder.exists():
        folder.rmdir()
    shutil.move(aside, folder)


def test_disk_that_goes_and_returns_is_named_and_nothing_is_decoded_again(lake, photos, tmp_path, decoded):
    away(photos / "disk", tmp_path / "aside")
    (loss,) = scan(lake)
    assert (loss.source, loss.images, loss.known, loss.folder, loss.is_empty) == ("photos", 40, 60, "disk", True)
    until = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"
    assert loss.summary() == (
        "source 'photos': 40 of 60 images are gone at once, all below disk, which has no image now; is a disk not "
        f"mounted?; their vectors are kept until {until} (keep_lost_days), and nothing is decoded again if they return"
    )
    publish(lake)
    generation = open_generation(lake)
    assert {"/" in path for path in generation.live_table(["path"])["path"].to_pylist()} == {False}
    back(photos / "disk", tmp_path / "aside")
    assert scan(lake) == []
    publish(lake)
    assert decoded == []
    assert len(open_generation(lake).live) == 60


def test_vectors_of_returned_images_are_those_of_before(lake, photos, tmp_path):
    before = toy.tables_of(lake, "images", "features")
    away(photos / "disk", tmp_path / "aside")
    scan(lake)
    publish(lake)
    back(photos / "disk", tmp_path / "aside")
    scan(lake)
    publish(lake)

    def rows(tables) -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = {}
        for name, table in tables.items():
            if "/.lost-" not in name:
                found.setdefault(name.rpartition("/")[0], []).extend(table.to_pylist())
        return {name: sorted(some, key=lambda row: row["image_id"]) for name, some in found.items()}

    after = toy.tables_of(lake, "images", "features")
    assert rows(after) == rows(before)


@pytest.mark.parametrize("leave", [True, False])
def test_folder_below_the_share_counts_if_it_had_many_images_and_has_none(lake, photos, tmp_path, leave, monkeypatch):
    monkeypatch.setattr(lost_content, "_SHARE", 0.9)
    away(photos / "disk" / "a", tmp_path / "aside", leave=leave)
    (loss,) = scan(lake)
    assert (loss.images, loss.folder, loss.is_empty) == (30, "disk/a", leave)
    assert ("is a disk not mounted?" in loss.summary()) == leave


def test_few_images_or_some_of_a_folder_are_no_sudden_loss(lake, photos, tmp_path, monkeypatch):
    away(photos / "disk" / "b", tmp_path / "aside")  # ten
    assert scan(lake) == []
    monkeypatch.setattr(lost_content, "_SHARE", 0.9)
    for number in range(29):  # of thirty
        (photos / "disk" / "a" / f"photo_{number:03d}.jpg").unlink()
    assert scan(lake) == []
    assert kept_shards(lake) == []


def test_more_than_a_quarter_of_a_source_is_a_loss_wherever_the_images_were(lake, photos):
    for number in range(25):
        (photos / "disk" / "a" / f"photo_{number:03d}.jpg").unlink()
    (loss,) = scan(lake)
    assert (loss.images, loss.folder) == (25, "")
    assert "25 of 60 images are gone at once; their vectors" in loss.summary()


def test_renamed_and_moved_files_are_no_loss(lake, photos, decoded):
    shutil.move(photos / "disk", photos / "trips")
    assert scan(lake) == []
    assert kept_shards(lake) == []
    publish(lake)
    assert decoded == []


def test_only_what_is_lost_is_kept(lake, photos, tmp_path):
    away(photos / "disk", tmp_path / "aside")
    scan(lake)
    kept = [lake.read_table(lake.images_path(key)) for key in kept_shards(lake)]
    assert sum(map(len, kept)) == 40
    for name in FEATURES:
        assert sum(len(lake.read_table(lake.feature_path(name, key))) for key in kept_shards(lake)) == 40
    assert all(not shard.startswith(".") for shard in lake.shards())


def test_disk_that_comes_and_goes_is_kept_once(lake, photos, tmp_path, decoded):
    for _ in range(3):
        away(photos / "disk", tmp_path / "aside")
        assert len(scan(lake)) == 1
        publish(lake)
        back(photos / "disk", tmp_path / "aside")
        scan(lake)
        publish(lake)
    assert sum(lake.row_count(lake.images_path(key)) for key in kept_shards(lake)) == 40
    assert decoded == []


def test_scan_that_was_cut_off_after_keeping_finds_the_loss_again(lake, photos, tmp_path):
    away(photos / "disk", tmp_path / "aside")
    keep(lake, find_losses(lake, manifests.diff(lake)))
    assert len(scan(lake)) == 1
    assert sum(lake.row_count(lake.images_path(key)) for key in kept_shards(lake)) == 40


def test_kept_tables_go_after_the_days_of_the_setting(lake, photos, tmp_path, monkeypatch):
    away(photos / "disk", tmp_path / "aside")
    scan(lake)
    assert expired_shards(lake) == []
    now = datetime.now(UTC)

    class Later(datetime):
        days = 29

        @classmethod
        def now(cls, tz=None):
            return now + timedelta(days=cls.days, minutes=1)

    monkeypatch.setattr(lost_content, "datetime", Later)
    assert remove_expired(lake) == []
    Later.days = 30
    assert len(remove_expired(lake)) == 3
    assert list((lake.root / "features").rglob(".lost-*")) == kept_shards(lake) == []


def test_days_that_are_set_count(lake, photos, tmp_path, decoded):
    toy.set_to(lake, keep_lost_days=0)
    away(photos / "disk", tmp_path / "aside")
    (loss,) = scan(lake)
    assert loss.until is None
    assert loss.summary().endswith("nothing is kept of them (keep_lost_days = 0)")
    assert kept_shards(lake) == []
    publish(lake)
    back(photos / "disk", tmp_path / "aside")
    scan(lake)
    publish(lake)
    assert len(decoded) == 40


@pytest.mark.parametrize("days", [-1, 36_501])
def test_invalid_days_are_refused(days):
    with pytest.raises(BadSettings, match=r"keep_lost_days is .*; it must be from 0 to 36500"):
        Settings(keep_lost_days=days)


def test_dropped_source_takes_its_kept_tables_along(lake, photos, tmp_path):
    away(photos / "disk", tmp_path / "aside")
    scan(lake)
    assert kept_shards(lake)
    drop_source(lake, "photos")
    assert kept_shards(lake) == []


def test_kept_tables_are_no_shards_to_search_or_to_build(lake, photos, tmp_path):
    away(photos / "disk", tmp_path / "aside")
    scan(lake)
    publish(lake)
    assert len(open_generation(lake).live) == 20
    assert lake.live_shards() == ["photos-0000", "photos-0001", "photos-0002", "photos-0003"]


def test_damaged_kept_table_is_not_used_and_stops_neither_scan_nor_build(lake, photos, tmp_path, decoded):
    away(photos / "disk", tmp_path / "aside")
    scan(lake)
    publish(lake)
    for key in kept_shards(lake):
        path = lake.images_path(key)
        data = bytearray(path.read_bytes())
        data[4:200] = bytes(196)
        path.write_bytes(data)
    back(photos / "disk", tmp_path / "aside")
    scan(lake)
    publish(lake)
    assert len(decoded) == 40
    away(photos / "disk", tmp_path / "aside")
    scan(lake)
    assert sum(lake.row_count(lake.images_path(key)) for key in kept_shards(lake)) == 40


def test_damaged_table_is_not_kept_and_does_not_stop_the_scan(lake, photos, tmp_path):
    lake.feature_path("phash", "photos-0000").write_bytes(b"no table")
    lake.images_path("photos-0001").unlink()
    away(photos / "disk", tmp_path / "aside")
    assert len(scan(lake)) == 1
    assert {key.rpartition("photos-")[2] for key in kept_shards(lake)} == {"0000", "0002"}
    publish(lake)
    assert len(open_generation(lake).live) == 20


@pytest.mark.parametrize(("left_out", "lost"), [({"limit": 30}, 30), ({"exclude": ("disk/",)}, 40)])
def test_images_that_settings_leave_out_are_no_disk_that_is_away_and_return_undecoded(lake, decoded, left_out, lost):
    settings = lake.settings()
    lake.save_settings(replace(settings, **left_out))
    (loss,) = scan(lake)
    assert (loss.images, loss.known, loss.is_empty) == (lost, 60, False)
    publish(lake)
    assert len(open_generation(lake).live) == 60 - lost
    lake.save_settings(settings)
    assert scan(lake) == []
    publish(lake)
    assert (decoded, len(open_generation(lake).live)) == ([], 60)
