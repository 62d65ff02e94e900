"""A run whose process was killed is ended, and only such a one."""

from __future__ import annotations

import os
import socket

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from imrec_dagster import dead_runs
from imrec_dagster.dead_runs import PROCESS_TAG, end_dead_runs, this_process
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


def started(instance: dg.DagsterInstance, process: str | None, location: str | None = None) -> str:
    """A run under way, of a build or of a code location."""
    origin = None
    if location is not None:
        target = LoadableTargetOrigin(module_name="imrec_dagster.definitions")
        code = InProcessCodeLocationOrigin(target, location_name=location)
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(code, "__repository__"), "scan")
    run = create_run_for_test(
        instance, "scan", tags={PROCESS_TAG: process} if process else {}, remote_job_origin=origin
    )
    instance.report_engine_event("", run)
    instance.handle_run_event(
        run.run_id,
        dg.DagsterEvent("PIPELINE_START", "scan", message=""),
    )
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


@pytest.mark.parametrize(
    ("process", "location", "ends"),
    [
        (f"{HERE}:{NOBODY}", "imrec", True),
        (f"{HERE}:{os.getpid()}", "imrec", False),
        (None, "imrec", True),  # killed before it tagged its process
        (None, "another", False),
    ],
    ids=["killed", "running", "untagged", "of another location"],  # no process ids: workers must agree on the names
)
def test_run_of_the_ui_is_checked_once_it_must_have_tagged_its_process(instance, monkeypatch, process, location, ends):
    run = started(instance, process, location)
    assert end_dead_runs(instance, "imrec") == []
    monkeypatch.setattr(dead_runs, "_SLOW_START", -1)
    assert end_dead_runs(instance, "imrec") == [run] * ends


def test_every_run_is_tagged_with_its_process_and_a_retry_with_its_own(instance, new_lake):
    lake = new_lake(4, toy.CHEAP[:1], built=False)
    job = build_definitions(LakeResource(root=str(lake.root))).resolve_job_def("scan")
    ran = job.execute_in_process(instance=instance, tags={PROCESS_TAG: f"{HERE}:{NOBODY}"})
    assert instance.get_run_by_id(ran.run_id).tags[PROCESS_TAG] == this_process()


def test_sensor_runs_by_default_and_names_the_runs_that_it_ended(instance, new_lake):
    lake = new_lake(4, toy.CHEAP[:1], built=False)
    (sensor,) = [s for s in build_definitions(LakeResource(root=str(lake.root))).sensors if s.name == "dead_runs"]
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    run = started(instance, f"{HERE}:{NOBODY}")
    with dg.build_sensor_context(instance=instance) as context:
        assert sensor(context).skip_message == f"marked as failed: {run}"
        assert sensor(context).skip_message == "no run was killed"
