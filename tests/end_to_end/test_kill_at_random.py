"""Whatever is killed, and whenever: what goes on from there ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import dagster as dg
import pytest
from dagster._core.execution.backfill import PartitionBackfill

import imrec_core
from imrec_core import Lake
from imrec_core.catalog import manifests
from imrec_core.index.build import build_generation
from imrec_dagster.asset_keys import IMAGES, feature_key
from imrec_dagster.builder import Builder, open_instance
from imrec_dagster.definitions import build_definitions
from imrec_dagster.resources import LakeResource
from tests.support import toy
from tests.support.cluster import cluster
from tests.support.twins import FEATURES, Twins

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources` is deprecated"),  # asked by Dagster itself
]

ROOT = Path(imrec_core.__file__).parent.parent
KILLS = 20


def environment(lake: Lake) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("IMREC_", "DAGSTER_"))}
    home = {"IMREC_LAKE": str(lake.root), "DAGSTER_HOME": str(lake.dagster_home)}
    return {**inherited, **home, "DAGSTER_DISABLE_TELEMETRY": "yes"}


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children: Dagster starts a `tail` of its output, and a process that ends it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


# -- a build --------------------------------------------------------------------------------------------------


def start_build(lake: Lake) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "imrec_dagster.cli", "build"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(lake), stdout=quiet, stderr=quiet, start_new_session=True
    )


def test_killed_build_goes_on_to_what_it_would_have_made(tmp_path):
    twins = Twins(tmp_path)
    twins.change()
    started = time.monotonic()
    assert start_build(twins.struck).wait(timeout=120) == 0
    undisturbed, struck = time.monotonic() - started, 0
    toy.build(twins.whole)
    twins.assert_same()
    for _ in range(KILLS):
        twins.change()
        process = start_build(twins.struck)
        if not ends_within(process, twins.up_to(undisturbed)):
            kill_all(process)
            struck += 1
        with open_instance(twins.struck.dagster_home) as instance:
            Builder(twins.struck, instance).build()
        toy.build(twins.whole)
        twins.assert_same()
    assert struck > KILLS / 2


# -- a worker -------------------------------------------------------------------------------------------------


def test_build_goes_on_while_its_workers_are_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    twins = Twins(tmp_path, photos=48)
    with (
        cluster(tmp_path / "cluster") as scheduler,
        open_instance(twins.struck.dagster_home) as instance,
        distributed.Client(scheduler, set_as_default=False) as client,
    ):
        undisturbed = 0.0
        for kill in range(-1, KILLS):
            twins.change()
            client.wait_for_workers(1, timeout=120)  # the one that was killed may be on its way back
            victim = sorted(client.run(os.getpid).values())[-int(twins.either())]
            timer = threading.Timer(twins.up_to(undisturbed), os.kill, (victim, signal.SIGKILL))
            started = time.monotonic()
            if kill >= 0:
                timer.start()
            Builder(twins.struck, instance, dask=scheduler).build()
            undisturbed = undisturbed or time.monotonic() - started
            timer.cancel()
            toy.build(twins.whole)
            twins.assert_same()


# -- the daemon -----------------------------------------------------------------------------------------------

# As `open_instance` has it, with less patience.
INSTANCE = """
telemetry: {enabled: false}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1, max_concurrent_runs: 2}
run_monitoring: {enabled: true, start_timeout_seconds: 15, poll_interval_seconds: 2}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
"""
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@contextmanager
def daemon(lake: Lake, log: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon, its code server and the runs that this starts; none of them outlives the block."""
    command = [sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(lake), stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        kill_all(process)


def ask_for_backfill(lake: Lake, instance: dg.DagsterInstance, shards: list[str], name: str) -> None:
    graph = build_definitions(LakeResource(root=str(lake.root))).resolve_asset_graph()
    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=name,
            asset_graph=graph,
            partition_names=shards,
            asset_selection=[IMAGES, *map(feature_key, FEATURES)],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    )


def until_done(twins: Twins, instance: dg.DagsterInstance, process: subprocess.Popen[bytes], seconds: float) -> float:
    """Wait until nothing is stale and every run has ended; seconds that it took."""
    started = time.monotonic()
    while twins.stale() or any(run.status not in ENDED for run in instance.get_runs()):
        assert time.monotonic() - started < seconds, [(r.status, r.tags) for r in instance.get_runs(limit=5)]
        assert not ends_within(process, 0.2), "the daemon ended"
    return time.monotonic() - started


def test_daemon_that_is_killed_goes_on_with_its_backfills(tmp_path):
    twins = Twins(tmp_path)
    home = Path(twins.struck.dagster_home)
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(INSTANCE)
    lake = twins.struck
    with open_instance(home) as instance, (tmp_path / "daemon.log").open("w") as log:

        def next_round(name: str) -> None:
            twins.change()
            manifests.update(twins.whole)
            Builder(lake, instance).scan()
            ask_for_backfill(lake, instance, twins.stale(), name)

        next_round("undisturbed")
        with daemon(lake, log) as process:
            undisturbed = until_done(twins, instance, process, 120)
        for kill in range(KILLS):
            next_round(f"killed-{kill}")
            with daemon(lake, log) as process:
                if not ends_within(process, twins.up_to(undisturbed)) and twins.either():
                    process.kill()  # alone; the runs that it started go on a little
                    ends_within(process, 1)
        assert twins.stale()
        with daemon(lake, log) as process:
            until_done(twins, instance, process, 240)
        assert {run.status for run in instance.get_runs()} <= ENDED
    toy.extract(twins.whole)
    for one in (lake, twins.whole):
        build_generation(one)
    twins.assert_same()
