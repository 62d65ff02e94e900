"""A run whose process was killed is ended, and only such a one."""

from __future__ import annotations

import os
import socket

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from imrec_dagster import dead_runs
from imrec_dagster.dead_runs import PROCESS_TAG, end_dead_runs, tag_worker
from imrec_dagster.definitions import build_definitions
from imrec_dagster.resources import LakeResource
from tests.support import toy

HERE = socket.gethostname()
NOBODY = 2**22 + 1  # a process id that Linux never gives
STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def started(
    instance: dg.DagsterInstance, process: str | None, location: str | None = None, worker: int | None = None
) -> str:
    """Return the id of a run in progress, of a build or of a code location.

    Args:
        worker: Process id of the run worker that the launcher has recorded.
    """
    origin = None
    if location is not None:
        target = LoadableTargetOrigin(module_name="imrec_dagster.definitions")
        code = InProcessCodeLocationOrigin(target, location_name=location)
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(code, "__repository__"), "scan")
    run = create_run_for_test(
        instance, "scan", tags={PROCESS_TAG: process} if process else {}, remote_job_origin=origin
    )
    if worker is not None:
        data = EngineEventData.in_process(worker)
        instance.report_engine_event(f"Started process for run (pid: {worker}).", run, data)
    instance.report_engine_event("Executing steps", run, EngineEventData.in_process(NOBODY))  # of a step, not the run
    instance.handle_run_event(run.run_id, dg.DagsterEvent("PIPELINE_START", "scan", message=""))
    return run.run_id


@pytest.mark.parametrize(
    ("process", "ends"),
    [(f"{HERE}:{NOBODY}", True), (f"{HERE}:{os.getpid()}", False), (f"elsewhere:{NOBODY}", False), (None, False)],
    ids=["killed", "running", "on another machine", "untagged"],
)
def test_run_of_a_build_ends_with_its_process(instance, process, ends):
    run = started(instance, process)
    assert end_dead_runs(instance) == [run] * ends
    assert instance.get_run_by_id(run).status == (FAILURE if ends else STARTED)


def test_run_of_a_build_that_was_killed_before_it_started_ends_too(instance):
    run = create_run_for_test(instance, "scan", tags={PROCESS_TAG: f"{HERE}:{NOBODY}"})
    assert end_dead_runs(instance) == [run.run_id]


ME = os.getpid()


@pytest.mark.parametrize(
    ("process", "worker", "location", "is_queued", "ends"),
    [
        (f"{HERE}:{NOBODY}", NOBODY, "imrec", True, True),
        (f"{HERE}:{NOBODY}", NOBODY, "another", False, True),  # the tag alone says enough
        (f"{HERE}:{ME}", ME, "imrec", True, False),
        (None, NOBODY, "imrec", True, True),  # killed before it tagged its process
        (f"{HERE}:{NOBODY - 1}", NOBODY, "imrec", True, True),  # a retry with the tag of the run before it
        (f"{HERE}:{NOBODY}", ME, "imrec", True, False),  # a retry that waits for its first step
        (None, ME, "imrec", True, False),
        (None, NOBODY, "imrec", False, False),  # another machine may have launched it
        (None, NOBODY, "another", True, False),
        (None, None, "imrec", True, False),  # in a pod of its own
        (f"{HERE}:{NOBODY}", None, "imrec", True, False),
        (f"elsewhere:{NOBODY}", NOBODY, "imrec", True, False),
    ],
    ids=[
        "killed", "killed, of another location", "running", "untagged", "retry", "waiting retry", "starting",
        "untagged, not queued", "untagged, of another location", "pod", "retry in a pod", "on another machine",
    ],
)  # fmt: skip
def test_run_of_the_ui_ends_with_its_worker(instance, monkeypatch, process, worker, location, is_queued, ends):
    coordinator = dg.QueuedRunCoordinator() if is_queued else DefaultRunCoordinator()
    monkeypatch.setattr(type(instance), "run_coordinator", property(lambda self: coordinator))
    run = started(instance, process, location, worker)
    assert end_dead_runs(instance, "imrec") == []
    monkeypatch.setattr(dead_runs, "_SLOW_START", -1)
    assert end_dead_runs(instance, "imrec") == [run] * ends


def test_process_of_a_step_tags_its_run_with_the_worker(instance):
    worker = os.getppid()  # of which this process is a child, like a step of an executor with processes
    run = started(instance, f"{HERE}:{NOBODY}", "imrec", worker)
    tag_worker(instance, instance.get_run_by_id(run))
    assert instance.get_run_by_id(run).tags[PROCESS_TAG] == f"{HERE}:{worker}"


@pytest.mark.parametrize("worker", [None, NOBODY])
def test_process_that_is_no_child_of_the_worker_leaves_the_tag(instance, worker):
    run = started(instance, None, "imrec", worker)
    tag_worker(instance, instance.get_run_by_id(run))
    assert PROCESS_TAG not in instance.get_run_by_id(run).tags


def test_sensor_runs_by_default_and_names_the_runs_that_it_ended(instance, new_lake):
    lake = new_lake(4, toy.CHEAP[:1], built=False)
    (sensor,) = [s for s in build_definitions(LakeResource(root=str(lake.root))).sensors if s.name == "dead_runs"]
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    run = started(instance, f"{HERE}:{NOBODY}")
    with dg.build_sensor_context(instance=instance) as context:
        assert sensor(context).skip_message == f"marked as failed: {run}"
        assert sensor(context).skip_message == "no run was killed"
