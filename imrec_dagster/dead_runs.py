"""Detection of runs whose process was killed; Dagster keeps them in progress until they are marked as failed.

Until then they block the automation of their shards, the end of their backfill, and a slot of the run queue.
"""

import os
import socket
import time

import dagster as dg

from imrec_core.lake.storage.files import is_running

PROCESS_TAG = "imrec/process"  # host and process id of a run
_SLOW_START = 30.0  # seconds after its start within which a run tags itself with its process


def this_process() -> str:
    """Return the value of `PROCESS_TAG` for the current process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def end_dead_runs(instance: dg.DagsterInstance, location: str | None = None) -> list[str]:
    """Mark runs as failed whose process ran on this machine and has ended; return their ids.

    Args:
        location: The code location whose runs all tag their process; an untagged one of these died before that.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    dead = [record.dagster_run for record in records if _is_dead(record, location)]
    for run in dead:
        instance.report_run_failed(run, "the process of this run was killed")
    return [run.run_id for run in dead]


def _is_dead(record: dg.RunRecord, location: str | None) -> bool:
    run = record.dagster_run
    host, _, pid = run.tags.get(PROCESS_TAG, "").rpartition(":")
    has_ended = host == socket.gethostname() and not is_running(int(pid))
    origin = run.remote_job_origin
    if origin is None:  # a run of `imrec build`, which has the tag from its creation
        return has_ended
    # A retry inherits the tag of the run before it until it sets its own.
    has_settled = time.time() - (record.start_time or time.time()) > _SLOW_START
    return has_settled and (has_ended or (not host and origin.location_name == location))
