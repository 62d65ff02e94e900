"""Runs whose process was killed: Dagster takes them for being in progress until somebody says that they are not.

Meanwhile they would keep the automation away from their shards, backfills from ending, and others from their place in
the queue.
"""

import os
import socket
import time

import dagster as dg

from imrec_core.lake.storage.files import is_running

PROCESS_TAG = "imrec/process"  # host and process id of a run
_SLOW_START = 30.0  # seconds after which a run that has started has said in which process


def this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def end_dead_runs(instance: dg.DagsterInstance, location: str | None = None) -> list[str]:
    """Mark runs as failed whose process was on this machine and is no more; returns their ids.

    Args:
        location: The code location whose runs all say their process, so that those which do not never got that far.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    dead = [record.dagster_run for record in records if _is_dead(record, location)]
    for run in dead:
        instance.report_run_failed(run, "the process of this run was killed")
    return [run.run_id for run in dead]


def _is_dead(record: dg.RunRecord, location: str | None) -> bool:
    run = record.dagster_run
    host, _, pid = run.tags.get(PROCESS_TAG, "").rpartition(":")
    is_gone = host == socket.gethostname() and not is_running(int(pid))
    origin = run.remote_job_origin
    if origin is None:  # of a build, which says its process from the beginning
        return is_gone
    has_said = time.time() - (record.start_time or time.time()) > _SLOW_START  # a retry takes over what another said
    return has_said and (is_gone or (not host and origin.location_name == location))
