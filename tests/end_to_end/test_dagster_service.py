"""A day of a lake on the real webserver and the real daemon; all of it is requested as the UI does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imrec_core import Lake, Recommender
from tests.support import toy
from tests.support.pictures import BROKEN
from tests.support.running import ROOT, Server, environment, serving, shown, until

# What is queued is started within a second instead of five.
QUICK = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator, config: {
    max_concurrent_runs: 2, dequeue_interval_seconds: 1}}
"""

MADE = [["images"], ["features", "rgb_histogram"], ["features", "phash"], ["features", "less"]]
NAMES = ["features/less", "features/phash", "features/rgb_histogram", "images"]
OLD, SUMMER = ["photos-0000", "photos-0001", "photos-0002"], ["summer-0000", "summer-0001"]
FEATURES = ["rgb_histogram", "phash", "less"]

pytestmark = pytest.mark.slow  # minutes, most of them waiting: sensors look once a minute, backfills begin every 30 s


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Three shards of photos, one of them broken, built by the command on the instance that the server uses."""
    toy.write_photos(tmp_path / "photos", range(24))
    (tmp_path / "photos" / "photo_010.jpg").write_bytes(BROKEN["truncated.jpg"]())
    lake = toy.new_lake(
        tmp_path / "lake",
        ("rgb_histogram", "phash"),
        shard_size=8,
        projections={"less": {"base": "rgb_histogram", "dims": 4}},
        dagster={"reindex_schedule": "* * * * *", "reindex_minutes": 1},
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text(QUICK)
    subprocess.run(
        [sys.executable, "-m", "imrec_dagster.cli", "build", "--lake", str(lake.root)],
        cwd=ROOT,
        env=environment(lake, tmp_path / "home"),
        check=True,
        capture_output=True,
    )
    return lake


@pytest.fixture
def server(lake, tmp_path) -> Iterator[Server]:
    with serving(lake, tmp_path, QUICK, daemon=True) as server:
        yield server


class Runs:
    """The runs that were launched since the last look."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen = {run["runId"] for run in server.runs()}

    def new(self) -> list[dict[str, Any]]:
        """Return new runs, oldest first, once they have succeeded and `catch_up` has looked since and found nothing."""
        until(self._is_quiet, 180)
        found = [run for run in self._server.runs() if run["runId"] not in self._seen]
        self._seen |= {run["runId"] for run in found}
        return found

    def _is_quiet(self) -> bool:
        skipped = self._wait_for_tick()["status"] == "SKIPPED"
        statuses = {run["status"] for run in self._server.runs()}
        assert "FAILURE" not in statuses
        return skipped and statuses == {"SUCCESS"}

    def _wait_for_tick(self) -> dict[str, Any]:
        before = len(self._ticks())
        until(lambda: len(self._ticks()) > before, 90)
        return self._ticks()[-1]

    def _ticks(self) -> list[dict[str, Any]]:
        return [tick for tick in self._server.ticks("catch_up") if tick["status"] != "STARTED"]


def computed(server: Server, path: list[str]) -> dict[str, object]:
    """Return whether the last run computed something, by partition of an asset."""
    events = reversed(server.asset(*path)["assetMaterializations"])
    return {event["partition"]: shown(event)["computed"] for event in events}


def test_what_is_due_is_done_once_whoever_asks(server, lake, tmp_path):
    runs = Runs(server)
    assert runs.new() == []  # the command has built it all

    # A folder is added: as many runs as a build has steps.
    toy.write_photos(tmp_path / "summer", range(30, 43))
    toy.set_to(lake, sources={**lake.settings().sources, "summer": tmp_path / "summer"})
    server.launch("scan")
    after_generation(server, lambda: len(server.made("generation")) == 2)
    new = runs.new()
    assert [(run["jobName"], run["assets"]) for run in new] == [
        ("scan", []),
        ("catch_up", NAMES),
        ("catch_up", ["generation"]),
    ]
    tags = new[1]["tags"]
    assert (tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]) == tuple(SUMMER)
    for path in MADE:
        assert sorted(server.made(*path)) == [*OLD, *SUMMER]  # each once
        assert all(computed(server, path).values())
        assert set(server.checks(*path)) == {"SUCCEEDED"}
        assert server.asset(*path)["staleStatus"] == "FRESH"

    # By hand, while the sensor is off: of images that a scan has found.
    server.stop_sensor("catch_up")
    for name in ("photo_003.jpg", "photo_020.jpg"):
        (tmp_path / "photos" / name).unlink()
    server.launch("scan")
    backfill = server.backfill(MADE, OLD)
    until(lambda: server.backfill_status(backfill)["status"] == "COMPLETED_SUCCESS", 150)
    (run,) = server.backfill_status(backfill)["runs"]
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert (tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]) == (OLD[0], OLD[2])
    assert computed(server, MADE[0]) == {OLD[0]: True, OLD[1]: False, OLD[2]: True, **dict.fromkeys(SUMMER, True)}
    server.launch("reindex")
    server.start_sensor("catch_up")
    assert {run["jobName"] for run in runs.new()} == {"scan", "__ASSET_JOB", "reindex"}

    # What is up to date is materialized again: nothing that depends on it runs.
    server.launch("__ASSET_JOB", MADE[:2], dagster_partition=OLD[1])
    assert [run["jobName"] for run in runs.new()] == ["__ASSET_JOB"]
    assert server.asset(*MADE[3])["staleStatus"] == "FRESH"

    # A minute before the schedule, a shard loses a feature, and images are removed from another.
    server.stop_sensor("catch_up")
    (tmp_path / "summer" / "photo_030.jpg").unlink()
    server.launch("scan")
    server.launch("__ASSET_JOB", MADE, dagster_partition=SUMMER[0])
    os.unlink(lake.feature_path("phash", OLD[1]))
    before = lake.current_generation()
    server.start_schedule("nightly_reindex")
    until(lambda: lake.current_generation() != before, 150)
    generation = Recommender.open(lake).generation
    assert sorted(generation.features) == sorted(FEATURES)
    names = {f"photo_{n:03d}.jpg" for n in [*range(24), *range(31, 43)]} - {f"photo_{n:03d}.jpg" for n in (3, 10, 20)}
    assert set(generation.live_table(["path"])["path"].to_pylist()) == names
    until(lambda: server.ticks("nightly_reindex")[-1]["status"] == "SKIPPED", 150)
    assert "7 images wait (7 for phash)" in server.ticks("nightly_reindex")[-1]["skipReason"]
    assert server.asset("generation")["freshnessStatusInfo"]["freshnessStatus"] == "HEALTHY"


def after_generation(server: Server, is_made: Callable[[], bool]) -> None:
    """Wait for the generation that `catch_up` requests a minute after the one before."""
    until(is_made, 240)
