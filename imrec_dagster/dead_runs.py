"""Detection of runs whose process was killed; Dagster keeps them in progress until they are marked as failed.

Until then nothing else is requested, and they take a slot of the run queue. What counts is the process of the run, its
run worker, never that of a step, of which an executor may start and end many.
"""

import os
import socket
import time
from pathlib import Path

import dagster as dg

from imrec_core.lake.storage.files import is_running
from imrec_dagster._dagster_internals import STEP_CRASHED, WORKER_STARTED

PROCESS_TAG = "imrec/process"  # host and process id of a run's worker
_SLOW_START = 60.0  # seconds after its start within which a run tags itself with its process

_STATUSES = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def this_process() -> str:
    """Return the value of `PROCESS_TAG` for the current process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def tag_worker(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Tag a run with its worker, if this process is the worker or a descendant of it.

    A run in a pod of its own has no record of its worker, and is left to Dagster's run monitoring.
    """
    worker = _worker_of(instance, run.run_id)
    process = f"{socket.gethostname()}:{worker}"
    if worker in _ancestors() and run.tags.get(PROCESS_TAG) != process:
        instance.add_run_tags(run.run_id, {PROCESS_TAG: process})


def end_dead_runs(instance: dg.DagsterInstance, location: str | None = None) -> list[str]:
    """Mark runs as failed whose worker ran on this machine and has ended; return their ids.

    Args:
        location: The code location whose runs are launched on this machine, as far as they come from the run queue.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=_STATUSES))
    dead = [record.dagster_run for record in records if _is_dead(instance, record, location)]
    for run in dead:
        instance.report_run_failed(run, "the process of this run was killed")
    return [run.run_id for run in dead]


def was_killed(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether the process of a step was killed, which is what failed its run."""
    failures = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    errors = [record.event_log_entry.get_dagster_event().step_failure_data.error for record in failures]
    return any(error is not None and error.cls_name == STEP_CRASHED for error in errors)


def _is_dead(instance: dg.DagsterInstance, record: dg.RunRecord, location: str | None) -> bool:
    run = record.dagster_run
    host, _, pid = run.tags.get(PROCESS_TAG, "").rpartition(":")
    origin = run.remote_job_origin
    if origin is None:  # a run of `imrec build`, which has the tag from its creation
        return host == socket.gethostname() and not is_running(int(pid))
    if run.status != dg.DagsterRunStatus.STARTED or time.time() - (record.start_time or time.time()) < _SLOW_START:
        return False  # before its start, it is Dagster's run monitoring that fails it
    worker = _worker_of(instance, run.run_id)
    if worker is None:  # of a launcher that starts no process on a machine that we see
        return False
    if run.tags.get(PROCESS_TAG) == f"{socket.gethostname()}:{worker}":
        return not is_running(worker)
    # No tag yet, or that of the run which this one retries: the daemon, on this machine, has launched it.
    is_queued = isinstance(instance.run_coordinator, dg.QueuedRunCoordinator)
    return (
        is_queued and host in ("", socket.gethostname()) and origin.location_name == location and not is_running(worker)
    )


def _worker_of(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """Return the process id that the launcher has recorded for a run; None if it records none."""
    events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=20).records
    for record in events:
        event = record.event_log_entry.get_dagster_event()
        pid = event.engine_event_data.metadata.get("pid")
        if pid is not None and str(event.message).startswith(WORKER_STARTED):
            return int(str(pid.value))
    return None


def _ancestors() -> set[int]:
    """Return the ids of this process and of its ancestors; only of its parent where there is no `/proc`."""
    found, pid = {os.getpid(), os.getppid()}, os.getppid()
    while pid > 1:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
        found.add(pid)
    return found
