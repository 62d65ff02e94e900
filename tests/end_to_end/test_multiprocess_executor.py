"""The graph under the multiprocess executor: steps are processes, some are killed, and all is made in the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imrec_core import Lake
from imrec_dagster.dead_runs import PROCESS_TAG
from tests.support import toy
from tests.support.running import Server, serving, until

# What is queued is started within a second instead of five; what was killed is retried, as with `imrec ui`.
CONFIG = """
telemetry: {enabled: false}
run_monitoring: {enabled: true}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator, config: {
    max_concurrent_runs: 2, dequeue_interval_seconds: 1}}
"""

FEATURES = ("rgb_histogram", "phash", "lab_histogram", "hog", "sift_vlad")

pytestmark = pytest.mark.slow  # minutes, most of them waiting for sensors


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Photos that take some seconds to extract, in ten shards."""
    toy.write_photos(tmp_path / "photos", range(400), specks=2000)
    return toy.new_lake(
        tmp_path / "lake",
        FEATURES,
        shard_size=40,
        projections={"less": {"base": "rgb_histogram", "dims": 4}},
        dagster={"executor": "multiprocess", "reindex_minutes": 1},
    )


@pytest.fixture
def server(lake, tmp_path) -> Iterator[Server]:
    with serving(lake, tmp_path, CONFIG, daemon=True) as server:
        yield server


def children(pid: int) -> list[int]:
    """Return the processes of steps that a run worker has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            is_step = b"spawn_main" in (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if parent == pid and is_step:
            found.append(int(folder.name))
    return found


def worker_of(run: dict[str, Any]) -> int | None:
    process = run["tags"].get(PROCESS_TAG)
    return int(process.rpartition(":")[2]) if process else None


def test_killed_steps_and_workers_are_made_up_for_and_no_live_run_is_ended(server, lake, tmp_path):
    server.launch("scan")

    def extracting() -> dict[str, Any] | None:
        """Return the run that extracts, once it has made a shard but not all."""
        runs = [run for run in server.runs() if run["status"] == "STARTED" and run["jobName"] == "catch_up"]
        made = len(lake.known_shards()) and len(toy.times(lake, "features"))
        return runs[0] if runs and worker_of(runs[0]) and made else None

    first = until(extracting, 120)
    (step,) = until(lambda: children(worker_of(first)), 20)
    os.kill(step, signal.SIGKILL)
    until(lambda: server.status(first["runId"]) == "FAILURE", 60)

    def next_run() -> dict[str, Any] | None:
        run = extracting()
        return run if run and run["runId"] != first["runId"] and children(worker_of(run)) else None

    second = until(next_run, 120)
    os.kill(worker_of(second), signal.SIGKILL)
    until(lambda: server.status(second["runId"]) == "FAILURE", 180)  # by the sensor dead_runs, then Dagster retries it
    until(lambda: lake.current_generation() is not None, 240)

    def is_quiet() -> bool:
        return all(run["status"] in ("SUCCESS", "FAILURE") for run in server.runs())

    until(is_quiet, 120)
    failed = {run["runId"] for run in server.runs() if run["status"] == "FAILURE"}
    assert failed == {first["runId"], second["runId"]}
    for asset in (["images"], *(["features", name] for name in (*FEATURES, "less"))):
        assert set(server.made(*asset)) == set(lake.live_shards())
        assert set(server.checks(*asset)) == {"SUCCEEDED"}
