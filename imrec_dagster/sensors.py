"""The sensors: changed folders, what is due, failed runs, and runs whose process was killed."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from imrec_core.catalog import scan_times
from imrec_core.features import Feature
from imrec_core.lake import run_log
from imrec_core.lake.lake import Lake
from imrec_dagster.asset_keys import GENERATION, IMAGES, feature_key, fitted_key
from imrec_dagster.dead_runs import end_dead_runs
from imrec_dagster.jobs import catalog_job
from imrec_dagster.resources import LakeResource

_CLOCKS = 2.0  # seconds: the time of a scan has whole seconds
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
    """Request a scan if the modification time of a folder differs from that of the last tick.

    A source that is new to the sensor, as on its first tick, needs no scan if one has been made since it changed.
    """
    opened = lake.open()
    sources = opened.settings().sources
    if not sources:
        return dg.SkipReason("no source yet: imrec build FOLDER")
    folders = {name: root for name, root in sources.items() if isinstance(root, Path)}
    if not folders:
        return dg.SkipReason("all sources are in object stores, which only the scheduled scan reads")
    missing = [str(root) for root in folders.values() if not os.path.isdir(root)]
    if missing:
        return dg.SkipReason(f"cannot read {', '.join(missing)}; their images count as unchanged")
    times = {name: dict(_folders(root, _FOLDER_LEVELS)) for name, root in folders.items()}
    before, now = _parse_cursor(context.cursor), {name: _digest(of_source) for name, of_source in times.items()}
    if now == before:
        return dg.SkipReason("no folder has changed")
    scanned = scan_times.read(opened)
    is_due = any(
        before[name] != now[name] if name in before else not _is_scanned(times[name], scanned.get(name)) for name in now
    ) or any(name in scanned for name in before.keys() - now.keys())
    # No run key: a folder may return to an earlier state, and Dagster never runs the same key twice.
    return dg.SensorResult(
        run_requests=[dg.RunRequest()] if is_due else None,
        skip_reason=None if is_due else "a scan has been made since the folders changed",
        cursor=json.dumps(now),
    )


def _parse_cursor(cursor: str | None) -> dict[str, str]:
    """Return the digest of each source at the last tick; empty at the first, or if another version wrote it."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _digest(times: Mapping[str, int]) -> str:
    state = hashlib.blake2b(digest_size=8)
    for folder, mtime_ns in times.items():
        state.update(f"{folder}\0{mtime_ns}\n".encode(errors="surrogateescape"))
    return state.hexdigest()


def _is_scanned(times: Mapping[str, int], scanned: str | None) -> bool:
    """Return whether a source was scanned after its folders changed, by the clocks of its disk and of this machine."""
    return (
        scanned is not None
        and max(times.values(), default=0) / 1e9 + _CLOCKS < datetime.fromisoformat(scanned).timestamp()
    )


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
