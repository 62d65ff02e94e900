"""What is noted of what was done in a lake, and how SQL sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from imrec_core import Lake
from imrec_core.lake import run_log
from imrec_core.runtime.timing import STAGES, record_timings, timed
from imrec_core.sql import views
from imrec_dagster.resources import LakeResource
from imrec_dagster.sensors import note_failures


def rows_of(lake: Lake, columns: str = "what, name, rows, failed") -> list[tuple[object, ...]]:
    return views.query(lake, f"SELECT {columns} FROM runs ORDER BY ended").fetchall()


@pytest.fixture
def lake(new_lake) -> Lake:
    return new_lake(3, ("phash",), built=False)


def test_lake_in_which_nothing_was_done_has_an_empty_log(lake):
    assert rows_of(lake) == []
    described = views.query(lake, "SELECT * FROM runs")
    assert described.columns == list(run_log.COLUMNS)


def test_line_says_what_was_done_when_where_and_by_which_versions(lake):
    run_log.note(lake, "extract", "photos-0000", 1.5, rows=7, failed=2, byte_size=99, stages={"read": 0.5})
    (found,) = rows_of(lake, "* EXCLUDE (ended)")
    stored = dict(zip([name for name in run_log.COLUMNS if name != "ended"], found, strict=True))
    assert stored["stages"] == {"read": 0.5} and (stored["rows"], stored["failed"], stored["bytes"]) == (7, 2, 99)
    assert stored["seconds"] == 1.5 and stored["error"] is None
    assert stored["machine"] and stored["cores"] >= 1 and stored["imrec"] and stored["python"].startswith("3.")
    ((ended,),) = rows_of(lake, "ended")
    assert abs(datetime.now(UTC).replace(tzinfo=None) - ended) < timedelta(minutes=1)


def test_half_a_line_of_a_killed_process_hides_no_other(lake):
    run_log.note(lake, "search", "a.jpg", 0.1)
    (log,) = lake.run_logs()
    with log.open("a") as file:
        file.write('{"what": "extr\n')
    run_log.note(lake, "search", "b.jpg", 0.1)
    assert {name for (name,) in rows_of(lake, "name")} >= {"a.jpg", "b.jpg"}


def test_what_several_processes_note_is_not_mixed_up(lake):
    code = (
        "from imrec_core import Lake\n"
        "from imrec_core.lake import run_log\n"
        f"lake = Lake({str(lake.root)!r})\n"
        "for i in range(50): run_log.note(lake, 'search', 'x' * 500, 0.1, rows=i)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(rows_of(lake)) == 150


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_lake_that_may_only_be_read_is_searched_all_the_same(lake):
    lake.root.chmod(0o500)
    try:
        run_log.note(lake, "search", "a.jpg", 0.1)
    finally:
        lake.root.chmod(0o700)
    assert rows_of(lake) == []


def test_log_that_cannot_be_written_stops_nothing(lake):
    (lake.root / "runs").write_text("a file where the folder would be")
    run_log.note(lake, "search", "a.jpg", 0.1)


def test_build_and_search_are_noted_and_a_build_with_nothing_new_only_scans(imrec, lake):
    photos = lake.root.parent / "photos"
    assert imrec("build", "--lake", lake.root).status == 0
    assert rows_of(lake) == [
        ("scan", "photos-0000", 3, 0),
        ("extract", "photos-0000", 3, 0),
        ("generation", "000001", 3, 0),
    ]
    ((stages, size),) = views.query(lake, "SELECT stages, bytes FROM runs WHERE what = 'extract'").fetchall()
    assert set(stages) >= {"read", "decode", "describe", "write"} and size > 0
    imrec("build", "--lake", lake.root)
    assert [row[0] for row in rows_of(lake)] == ["scan", "extract", "generation", "scan"]
    imrec("search", photos / "photo_001.jpg", "-k", 2, "--lake", lake.root)
    imrec("search", photos, "--each", "--lake", lake.root)
    assert rows_of(lake)[-2:] == [("search", str(photos / "photo_001.jpg"), 2, 0), ("search", "each of 3", 3, 0)]
    ((stages,),) = views.query(lake, "SELECT stages FROM runs WHERE name = 'each of 3'").fetchall()
    assert set(stages) == {"open", "search"}
    ((stages, seconds),) = views.query(lake, "SELECT stages, seconds FROM runs WHERE rows = 2").fetchall()
    assert list(stages) == ["open", *STAGES, "other"]
    assert sum(stages.values()) == pytest.approx(seconds, abs=1e-3)


def test_fits_and_projections_are_noted(new_lake, imrec):
    lake = new_lake(40, ("efficientnet_lite0",), built=False)
    assert imrec("build", "--lake", lake.root).status == 0
    noted = {(what, name) for what, name, *_ in rows_of(lake)}
    assert ("fit", "efficientnet_lite0_content") in noted
    assert ("project", "efficientnet_lite0_content of photos-0000") in noted


def test_run_that_fails_in_dagster_is_noted_with_the_reason(lake):
    @dg.op
    def fails():
        raise ValueError("the disk is on fire")

    @dg.job(name="doomed")
    def doomed():
        fails()

    with dg.DagsterInstance.ephemeral() as instance:
        result = doomed.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="note_failures",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            resources={"lake": LakeResource(root=str(lake.root))},
        ).for_run_failure()
        note_failures(context)
    ((what, name, error),) = rows_of(lake, "what, name, error")
    assert (what, name) == ("failure", "doomed") and "the disk is on fire" in error


def test_lines_are_plain_json(lake):
    run_log.note(lake, "search", "Blümchen.jpg", 0.1)
    (log,) = lake.run_logs()
    assert json.loads(log.read_text())["name"] == "Blümchen.jpg"


def test_timings_are_recorded_by_stage():
    with record_timings() as seconds, timed("fetch"):
        pass
    assert list(seconds) == ["fetch"]
