"""What is tried again, how often and after how long: faults of the storage, and nothing else."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from s3fs import S3FileSystem

from imrec_core import Lake, Recommender
from imrec_core.catalog import manifests as core_catalog
from imrec_core.errors import StorageFault, StorageFull
from imrec_core.extraction import extract as core_extract
from imrec_core.extraction import fit, table_checks
from imrec_core.extraction import project as core_project
from imrec_core.extraction.report import ShardReport
from imrec_core.features import find_feature
from imrec_core.index import build
from imrec_core.lake.storage import retry
from imrec_dagster import retries
from imrec_dagster.builder import Builder
from imrec_dagster.resources import Progress
from tests.support import s3, toy
from tests.support.pictures import BROKEN

# Of each asset the core function that does its work.
WORK = {
    "catalog": (core_catalog, "diff"),
    "extract": (core_extract, "extract_shards"),
    "fitted": (fit, "fit"),
    "project": (core_project, "project_shard"),
    "generation": (build, "build_generation"),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0.001)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def lake(new_lake) -> Lake:
    """Sixteen photos in one shard, and a feature that is learnt from them; not built yet."""
    projections = {"less": {"base": "rgb_histogram", "dims": 3}}
    return new_lake(16, ("rgb_histogram",), built=False, projections=projections)


class Waited(Progress):
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def wait_for_retry(self, fault: Exception, seconds: float) -> None:
        self.seconds.append(round(seconds * 1000))


def failing(monkeypatch, module: Any, name: str, *errors: Exception) -> list[int]:
    """Have a core function raise these errors, one at each call, before it works; the calls are counted."""
    calls, left, work = [], list(errors), getattr(module, name)

    def first_fails(*arguments, **options):
        calls.append(1)
        if left:
            raise left.pop(0)
        return work(*arguments, **options)

    monkeypatch.setattr(module, name, first_fails)
    return calls


@pytest.mark.parametrize("asset", WORK)
def test_fault_of_the_storage_that_passes_is_waited_out(lake, instance, monkeypatch, asset):
    calls, waited = failing(monkeypatch, *WORK[asset], StorageFault("gone"), StorageFault("away")), Waited()
    Builder(lake, instance, progress=waited).build()
    assert (len(calls), waited.seconds) == (3, [1, 3])
    assert lake.current_generation() == "000001"
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}


@pytest.mark.parametrize("asset", WORK)
def test_lasting_fault_is_tried_four_times_and_then_raised(lake, instance, monkeypatch, asset):
    faults = [StorageFault(f"the bucket answers {n}") for n in range(10)]
    calls, waited = failing(monkeypatch, *WORK[asset], *faults), Waited()
    with pytest.raises(StorageFault, match="the bucket answers 3"):
        Builder(lake, instance, progress=waited).build()
    assert (len(calls), waited.seconds) == (4, [1, 3, 9])


@pytest.mark.parametrize("error", [StorageFull("no room"), OSError("?")])
@pytest.mark.parametrize("asset", WORK)
def test_any_other_error_is_not_tried_again(lake, instance, monkeypatch, asset, error):
    calls, waited = failing(monkeypatch, *WORK[asset], error), Waited()
    with pytest.raises(type(error)):
        Builder(lake, instance, progress=waited).build()
    assert (len(calls), waited.seconds) == (1, [])


def test_bad_file_is_a_row_and_no_reason_to_try_again(lake, instance, monkeypatch):
    (lake.root.parent / "photos" / "photo_003.jpg").write_bytes(BROKEN["truncated.jpg"]())
    calls, waited = failing(monkeypatch, *WORK["extract"]), Waited()
    Builder(lake, instance, progress=waited).build()
    assert (len(calls), waited.seconds) == (1, [])


@pytest.mark.parametrize("problems", [table_checks.check_rows, table_checks.check_vectors])
def test_fault_while_a_table_is_checked_is_no_failed_check(lake, instance, monkeypatch, problems):
    Builder(lake, instance).build()
    failing(monkeypatch, Lake, "read_table", StorageFault("gone"))
    with pytest.raises(StorageFault):
        problems(lake, "photos-0000", find_feature("rgb_histogram"))


def test_shards_that_were_done_before_the_fault_are_kept(new_lake, instance, monkeypatch):
    lake = new_lake(24, ("phash",), built=False, shard_size=8)
    write, left = Lake.write_table, [StorageFault("gone")]

    def write_table(self, path, table, made_from):
        if left and path == lake.feature_path("phash", "photos-0002"):
            raise left.pop()
        return write(self, path, table, made_from)

    monkeypatch.setattr(Lake, "write_table", write_table)
    shards: list[tuple[str, bool]] = []

    class Noted(Progress):
        def done(self, report: object) -> None:
            if isinstance(report, ShardReport):
                shards.append((report.shard, bool(report.table_bytes)))

    Builder(lake, instance, progress=Noted()).build()
    first, second, third = (f"photos-{n:04d}" for n in range(3))
    assert shards == [(first, True), (second, True), (first, False), (second, False), (third, True)]


def test_command_says_what_it_waits_for(lake, imrec, monkeypatch):
    failing(monkeypatch, *WORK["generation"], StorageFault("the bucket does not answer"))
    outcome = imrec("build", "--lake", lake.root)
    assert outcome.status == 0
    assert "imrec: the bucket does not answer; retrying in 0.001 s" in outcome.err


def test_object_store_that_is_down_when_pictures_are_read_is_waited_for(store, tmp_path, instance, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    toy.write_photos(tmp_path / "photos", range(4))
    sources = {"photos": s3.put_folder(tmp_path / "photos", "photos")}
    lake = toy.new_lake(s3.path("lake"), ("phash",), sources=sources)
    waited: list[str] = []

    class Down(Progress):
        def expect(self, *_) -> None:
            store.share, store.kinds = 1.0, ("slow down",)

        def wait_for_retry(self, fault: Exception, seconds: float) -> None:
            waited.append(str(fault))
            store.share = 0.0

    Builder(lake, instance, progress=Down()).build()
    assert len(waited) == 1 and "s3://pictures/" in waited[0]
    assert len(Recommender.open(lake).generation) == 4
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
