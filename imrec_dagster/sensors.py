"""The sensors: changed folders, what is due, failed runs, and runs whose process was killed."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from imrec_core.features import Feature
from imrec_core.lake import run_log
from imrec_core.lake.lake import Lake
from imrec_dagster.asset_keys import GENERATION, IMAGES, feature_key, fitted_key
from imrec_dagster.dead_runs import end_dead_runs
from imrec_dagster.jobs import catalog_job
from imrec_dagster.resources import LakeResource

_FOLDER_LEVELS = 2  # below the root of a source; the scheduled scan finds deeper changes


_INTERVAL, _REMOTE_INTERVAL = 30, 300  # seconds; in an object store a tick of `catch_up` costs a request per table


def catch_up_sensor(lake: Lake, features: Sequence[Feature]) -> dg.SensorDefinition:
    """Return the sensor that requests what is due of some features."""
    fits = [fitted_key(feature.name) for feature in features if feature.is_fitted]
    known = {IMAGES, GENERATION, *(feature_key(feature.name) for feature in features), *fits}

    @dg.sensor(
        job=dg.define_asset_job("catch_up", dg.AssetSelection.assets(*known)),
        minimum_interval_seconds=_REMOTE_INTERVAL if lake.is_remote else _INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Extract, fit and project what the lake lacks, and then publish a generation.",
    )
    def catch_up(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
        from imrec_dagster.catch_up import evaluate

        return evaluate(context, Lake(lake.root), known)

    return catch_up


@dg.sensor(job=catalog_job, minimum_interval_seconds=60, description="Scan when a folder of a source has changed.")
def image_folders(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
    """Request a scan if the modification time of a folder differs from that of the last tick."""
    sources = lake.open().settings().sources
    if not sources:
        return dg.SkipReason("no source yet: imrec build FOLDER")
    folders = {name: root for name, root in sources.items() if isinstance(root, Path)}
    if not folders:
        return dg.SkipReason("all sources are in object stores, which only the scheduled scan reads")
    missing = [str(root) for root in folders.values() if not os.path.isdir(root)]
    if missing:
        return dg.SkipReason(f"cannot read {', '.join(missing)}; their images count as unchanged")
    state = hashlib.blake2b(digest_size=8)
    for name, root in folders.items():
        for folder, mtime_ns in _folders(root, _FOLDER_LEVELS):
            state.update(f"{name}\0{folder}\0{mtime_ns}\n".encode(errors="surrogateescape"))
    cursor = state.hexdigest()
    if cursor == context.cursor:
        return dg.SkipReason("no folder has changed")
    # No run key: a folder may return to an earlier state, and Dagster never runs the same key twice.
    return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=cursor)


def _folders(root: Path, levels: int) -> Iterator[tuple[str, int]]:
    """Yield the folder and its subfolders, down to a number of levels, with their modification times.

    A folder that cannot be read is left out; the scan says why.
    """
    try:
        yield str(root), os.stat(root).st_mtime_ns
        if not levels:
            return
        with os.scandir(root) as entries:
            below = sorted(entry.path for entry in entries if not entry.name.startswith(".") and _is_folder(entry))
    except OSError:
        return
    for path in below:
        yield from _folders(Path(path), levels - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


@dg.run_failure_sensor(
    description="Record failed runs: imrec sql \"SELECT ended, name, error FROM runs WHERE what = 'failure'\"",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def note_failures(context: dg.RunFailureSensorContext, lake: LakeResource) -> None:
    """Record a failed run in the lake's run log. A failed check that blocks fails its run too."""
    run = context.instance.get_run_stats(context.dagster_run.run_id)
    seconds = max((run.end_time or 0) - (run.start_time or run.end_time or 0), 0)  # the clock may be set back
    failed = context.get_step_failure_events()
    reasons = [_root_cause(event.step_failure_data.error) for event in failed if event.step_failure_data.error]
    error = "; ".join(reasons) or str(context.failure_event.message)
    run_log.note(lake.open(), "failure", context.dagster_run.job_name, seconds, error=error)


def _root_cause(error: Any) -> str:
    """Return the first error of a chain in one line; Dagster wraps it in errors of its own."""
    while error.cause is not None:
        error = error.cause
    return " ".join(str(error.message).split())


@dg.sensor(
    name="dead_runs",
    description="Mark runs whose process was killed as failed, so that they can be retried.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    jobs=[],
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Mark runs whose process was killed as failed."""
    origin = context.code_location_origin
    ended = end_dead_runs(context.instance, origin.location_name if origin else None)
    return dg.SkipReason(f"marked as failed: {', '.join(ended)}" if ended else "no run was killed")
