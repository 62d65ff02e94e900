"""What becomes of changes where scans, the sensor and the schedule are all that runs: as with `imrec ui` left open.

The same changes under `imrec build` are in test_graph.py.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from imrec_core import Lake
from imrec_core.errors import BadSource
from imrec_core.features import FEATURES
from imrec_core.lake import run_log
from imrec_core.sql.views import query
from imrec_dagster import catch_up as catch_up_module
from imrec_dagster.asset_keys import IMAGES, feature_key
from imrec_dagster.builder import Builder
from tests.support import toy
from tests.support.graph import (
    CatchUp,
    events,
    findable,
    look,
    materialize,
    nightly_reindex,
    shard,
    shown,
    take_away,
)

pytestmark = pytest.mark.usefixtures("blank_plots")

TWO = ("rgb_histogram", "phash")
RUN = dg.DagsterRun(job_name="extract", run_id="1" * 8, status=dg.DagsterRunStatus.FAILURE)
NAMES = ["images", "features/rgb_histogram", "features/phash"]
EVERY = [shard(n) for n in range(3)]


def made(shards: list[str]) -> dict[str, list[str]]:
    """All that the lake is set to have, of these shards."""
    return {name: shards for name in NAMES}


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """An instance on disk, which the schedule is asked with; it looks at the lake alone."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("home"))) as instance:
        yield instance


@pytest.fixture
def lake(new_lake) -> Lake:
    """Twenty-four photos in three shards, nothing scanned yet."""
    return new_lake(24, TWO, built=False, shard_size=8)


@pytest.fixture
def photos(lake) -> Path:
    return lake.root.parent / "photos"


@pytest.fixture
def scan(lake, instance):
    return Builder(lake, instance).scan


@pytest.fixture
def reindex(lake, instance, night):
    """What the schedule asks for at night, once."""

    def reindex() -> None:
        assert isinstance(nightly_reindex(lake, night), dg.RunRequest)
        assert materialize(lake, instance, dg.AssetKey("generation")).success
        assert isinstance(nightly_reindex(lake, night), dg.SkipReason)

    return reindex


@pytest.fixture
def catch_up(lake, instance, scan) -> CatchUp:
    """Which has made all there is; the next generation it would request after an hour."""
    catch_up = CatchUp(lake, instance)
    scan()
    assert catch_up.work() == {**made(EVERY), "generation": []}
    return catch_up


# -- files --------------------------------------------------------------------------------------------------


def test_changed_and_removed_files_are_made_of_their_shards_alone(
    lake, instance, catch_up, scan, photos, decoded, reindex
):
    (photos / "photo_001.jpg").write_bytes(b"")
    (photos / "photo_020.jpg").unlink()
    scan()
    assert catch_up.work() == made([shard(0), shard(2)])
    assert decoded == [0]
    reindex()
    assert findable(lake) == {f"photo_{n:03d}.jpg" for n in range(24)} - {"photo_001.jpg", "photo_020.jpg"}


def test_renamed_file_is_found_under_its_new_name_and_not_decoded(
    lake, instance, catch_up, scan, photos, decoded, reindex
):
    (photos / "photo_001.jpg").rename(photos / "renamed.jpg")
    scan()
    assert catch_up.work() == made([shard(0), shard(3)])
    assert decoded == []
    reindex()
    assert findable(lake) == {f"photo_{n:03d}.jpg" for n in range(24) if n != 1} | {"renamed.jpg"}


def test_restored_file_is_found_again(lake, instance, catch_up, scan, photos, reindex):
    kept = (photos / "photo_010.jpg").read_bytes()
    (photos / "photo_010.jpg").unlink()
    scan()
    catch_up.work()
    reindex()
    assert "photo_010.jpg" not in findable(lake)
    (photos / "photo_010.jpg").write_bytes(kept)
    scan()
    assert set(catch_up.work()) == set(NAMES)
    reindex()
    assert findable(lake) == {f"photo_{n:03d}.jpg" for n in range(24)}


def test_file_restored_before_the_next_scan_is_read_and_not_decoded(catch_up, scan, photos, decoded):
    path = photos / "photo_010.jpg"
    kept, when = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(kept)
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    scan()
    assert catch_up.work() == made([shard(1)])  # its change time is another
    assert decoded == []


# -- sources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaving_a_folder", [False, True], ids=["gone", "empty mount point"])
def test_source_that_cannot_be_reached_is_taken_for_nothing_deleted(
    lake, instance, catch_up, scan, photos, leaving_a_folder, night
):
    take_away(photos, leaving_a_folder=leaving_a_folder)
    scan()
    assert catch_up.work() == {}
    assert str(photos) in shown(events(instance, dg.AssetKey("catalog"))[-1])["unavailable"]
    assert isinstance(nightly_reindex(lake, night), dg.SkipReason)
    assert instance.get_dynamic_partitions("image_shards") == EVERY
    assert findable(lake) == {f"photo_{n:03d}.jpg" for n in range(24)}
    if leaving_a_folder:
        photos.rmdir()
    photos.with_name("elsewhere").rename(photos)
    scan()
    assert catch_up.work() == {}


def test_partition_whose_source_was_taken_out_says_what_to_do_and_loses_nothing(lake, instance, catch_up, scan, night):
    sources = lake.settings().sources
    before = toy.times(lake, "catalog", "images", "features")
    toy.set_to(lake, sources={}, projections={"less": {"base": "rgb_histogram", "dims": 4}})
    for key in (IMAGES, feature_key("phash"), feature_key("less")):
        with pytest.raises(BadSource) as raised:
            materialize(lake, instance, key, partition_key=shard(1))
        assert "photos-0001" in str(raised.value) and "[sources]" in str(raised.value)
        assert "catalog" in str(raised.value)
    assert toy.times(lake, "catalog", "images", "features") == before
    scan()
    assert instance.get_dynamic_partitions("image_shards") == []
    assert catch_up.work() == {}
    toy.set_to(lake, sources=sources, projections={})
    scan()
    catch_up.work()
    assert toy.times(lake, "catalog", "images", "features") == before
    assert isinstance(nightly_reindex(lake, night), dg.SkipReason)


# -- features -----------------------------------------------------------------------------------------------


def test_higher_version_of_a_feature_makes_that_feature_alone(lake, instance, catch_up, scan, monkeypatch, reindex):
    monkeypatch.setitem(FEATURES, "phash", replace(FEATURES["phash"], version=FEATURES["phash"].version + 1))
    before = toy.times(lake, "features")
    catch_up.reload()
    assert catch_up.work() == {"features/phash": EVERY}
    assert toy.rewritten(before, toy.times(lake, "features")) == {f"features/phash/{key}.parquet" for key in EVERY}
    reindex()


def test_feature_that_is_added_is_made_of_all_shards_and_no_other_is(lake, instance, catch_up, scan, reindex):
    before = toy.times(lake, "features")
    toy.set_to(lake, features=(*TWO, "dhash"))
    catch_up.reload()
    assert catch_up.work() == {"features/dhash": EVERY}
    assert toy.rewritten(before, toy.times(lake, "features")) == {f"features/dhash/{key}.parquet" for key in EVERY}
    reindex()


# -- tables -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", [False, True], ids=["deleted", "damaged"])
@pytest.mark.parametrize("name", ["images", "phash"])
def test_table_that_somebody_deleted_is_made_again(lake, instance, catch_up, scan, name, damaged):
    path = lake.images_path(shard(1)) if name == "images" else lake.feature_path(name, shard(1))
    whole = lake.read_table(path)
    path.write_bytes(path.read_bytes()[:-9]) if damaged else path.unlink()
    scan()
    assert set(map(tuple, catch_up.work().values())) == {(shard(1),)}
    assert lake.read_table(path).equals(whole)
    scan()
    assert catch_up.work() == {}


def test_table_deleted_twice_is_made_twice(lake, catch_up):
    path = lake.feature_path("phash", shard(1))
    for _ in range(2):
        path.unlink()
        assert catch_up.work() == {"features/phash": [shard(1)]}  # without a scan
        assert path.exists()


def test_nothing_is_requested_while_others_are_at_work(lake, instance, scan):
    scan()
    catch_up = CatchUp(lake, instance)
    with lake.being_built():
        assert catch_up.tick() == {} and "a build, or a run of another Dagster instance" in catch_up.skipped
    run = instance.add_run(dg.DagsterRun(job_name="extract", run_id="0" * 8, status=dg.DagsterRunStatus.STARTING))
    assert catch_up.tick() == {} and catch_up.skipped == "run 00000000 is in progress"
    instance.delete_run(run.run_id)
    backfill = PartitionBackfill("b", BulkActionStatus.REQUESTED, from_failure=False, tags={}, backfill_timestamp=0.0)
    instance.add_backfill(backfill)
    assert catch_up.tick() == {} and catch_up.skipped == "backfill b is in progress"
    instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELED))
    assert set(catch_up.tick()) > set(NAMES)


def test_check_of_the_lake_delays_nothing(lake, instance, scan):
    scan()
    instance.add_run(dg.DagsterRun(job_name="check_lake", run_id="0" * 8, status=dg.DagsterRunStatus.STARTED))
    assert set(CatchUp(lake, instance).tick()) > set(NAMES)


def test_shard_that_failed_is_requested_again_after_the_next_scan(lake, catch_up, scan, photos, monkeypatch):
    (photos / "photo_010.jpg").unlink()
    (photos / "photo_020.jpg").unlink()
    scan()
    write = Lake.write_table

    def refuse(self, path, *args):
        return 1 / 0 if path.stem == shard(1) else write(self, path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "write_table", refuse)
        (request,) = catch_up.requests()
        assert not catch_up.run(request, raise_on_error=False).success
    assert catch_up.tick() == {}
    assert "has failed, and is tried again after the next scan" in catch_up.skipped
    scan()
    assert catch_up.work() == made([shard(1)])  # the other shard of the run did not fail with it


def test_shard_whose_process_was_killed_is_requested_again_at_once(lake, instance, catch_up, monkeypatch):
    lake.feature_path("phash", shard(1)).unlink()
    asked = {"features/phash": [shard(1)]}
    assert catch_up.tick() == asked
    assert catch_up.tick() == {}
    monkeypatch.setattr(instance, "get_runs", lambda filters, limit=None: [RUN] if filters.tags else [])
    monkeypatch.setattr(catch_up_module, "was_killed", lambda instance, run_id: run_id == RUN.run_id)
    assert [catch_up.tick() for _ in range(4)] == [asked, asked, {}, {}]


def test_table_of_a_source_that_is_away_waits_for_it(lake, instance, catch_up, scan, photos):
    lake.feature_path("phash", shard(1)).unlink()
    take_away(photos, leaving_a_folder=False)
    scan()
    assert catch_up.work() == {}
    photos.with_name("elsewhere").rename(photos)
    scan()
    catch_up.work()
    assert lake.feature_path("phash", shard(1)).exists()


def test_derived_table_that_somebody_deleted_is_made_again(lake, instance, scan):
    toy.set_to(lake, projections={"less": {"base": "rgb_histogram", "dims": 4}})
    catch_up = CatchUp(lake, instance)
    scan()
    catch_up.work()
    path = lake.feature_path("less", shard(2))
    whole = lake.read_table(path)
    path.unlink()
    scan()
    assert set(catch_up.work()["features/less"]) == {shard(2)}
    assert lake.read_table(path).equals(whole)


# -- clocks -------------------------------------------------------------------------------------------------

PAST, FUTURE = 10**9 * 1_000_000_000, 4 * 10**9 * 1_000_000_000


@pytest.mark.parametrize("when", [PAST, FUTURE], ids=["past", "future"])
def test_times_of_files_that_jump_are_a_change_and_nothing_is_decoded(
    lake, instance, catch_up, scan, photos, decoded, when, reindex
):
    os.utime(photos / "photo_009.jpg", ns=(when, when))
    scan()
    assert catch_up.work() == made([shard(1)])
    assert decoded == []
    scan()
    assert catch_up.work() == {}
    reindex()


def test_sensor_sees_a_folder_whose_time_goes_back_to_what_it_was(lake, photos):
    first = look(lake, None)
    then = photos.stat().st_mtime_ns
    os.utime(photos, ns=(FUTURE, FUTURE))
    second = look(lake, first.cursor)
    os.utime(photos, ns=(then, then))
    third = look(lake, second.cursor)
    assert third.cursor == first.cursor
    # Dagster never runs a key that it has run before.
    assert [request.run_key for found in (first, second, third) for request in found.run_requests] == [None] * 3


def test_clock_of_this_machine_that_goes_back_loses_no_change(
    lake, instance, catch_up, scan, photos, monkeypatch, reindex
):
    now = datetime.now(UTC)
    assert catch_up.tick() == {}

    class Back(datetime):
        @classmethod
        def now(cls, tz=None):
            return now - timedelta(days=400)

    monkeypatch.setattr(run_log, "datetime", Back)
    (photos / "photo_001.jpg").unlink()
    scan()
    assert catch_up.tick() == made([shard(0)])
    materialize(lake, instance, IMAGES, *map(feature_key, TWO), partition_key=shard(0))
    reindex()
    assert "photo_001.jpg" not in findable(lake)
    noted = query(lake, f"SELECT what FROM runs WHERE ended < '{now:%Y-%m-%d}' ORDER BY ended").fetchall()
    assert {what for (what,) in noted} == {"scan", "extract", "generation"}
