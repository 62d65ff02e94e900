"""When things run by themselves: automation conditions, the schedules, the sensor on image folders."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._utils.schedules import cron_string_iterator  # not among the public names

from imrec_core import run_log
from imrec_core.errors import ImrecError, StorageFault
from imrec_core.index import is_up_to_date, plan_generation
from imrec_core.settings import Settings
from imrec_dagster.resources import LakeResource

GENERATION = dg.AssetKey("generation")

_BUILDING = timedelta(hours=1)  # that a generation may take after its tick
_ANY_TIME, _TICKS = datetime(2026, 1, 1, tzinfo=UTC).timestamp(), 400  # a year of nights
_FOLDER_LEVELS = 2  # below a source's root; deeper changes are found by the nightly scan


def on_change() -> dg.AutomationCondition:
    """Run a partition that is new, whose inputs have another data version, whose code changed, or that failed.

    `eager()` fires on every event of an input, changed or not (dagster#25439). The version change is an edge and
    so must be latched; in `since` the reset wins over the trigger, so a change in the tick after a request, which
    the run may have come too early to see, is kept from being reset. What is missing when a feature is chosen for the
    lake is new too: `since_last_handled` would take it for handled. A failure counts once, or it would be retried for
    ever.
    """
    condition: Any = dg.AutomationCondition  # its generic type does not survive `|` and `since`
    changed = condition.any_deps_updated().replace("newly_updated", condition.data_version_changed())
    return (
        ~condition.in_progress()
        & ~condition.any_deps_in_progress()
        & ~condition.any_deps_missing()
        & (
            changed.since((condition.newly_requested() & ~changed) | condition.initial_evaluation())
            | condition.newly_missing().since(condition.newly_requested() | condition.newly_updated())
            | condition.code_version_changed().since_last_handled()
            | condition.execution_failed().newly_true()
        )
    ).with_label("on_change")


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Dagster's own default one is stopped; this one runs."""
    return dg.AutomationConditionSensorDefinition(
        "automation", target=dg.AssetSelection.all(), default_status=dg.DefaultSensorStatus.RUNNING
    )


catalog_job = dg.define_asset_job(
    "scan", selection=["catalog"], description="Look for new, changed and removed images."
)
generation_job = dg.define_asset_job("reindex", selection=["generation"], description="Publish a new generation.")


def nightly_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """A scan of the sources, and later in the night a new generation where there is something new."""

    @dg.schedule(job=generation_job, cron_schedule=settings.nightly_reindex, name="nightly_reindex")
    def nightly_reindex(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
        opened = lake.open()
        try:
            plan = plan_generation(opened)
        except StorageFault:
            return dg.RunRequest()  # a run can wait until the fault has passed, and the next tick is a night away
        except ImrecError as error:
            return dg.SkipReason(str(error))
        if is_up_to_date(opened, plan):
            _confirm_generation(context.instance)
            return dg.SkipReason("nothing new: the generation in use holds all that is in the lake")
        return dg.RunRequest(tags={"imrec/fingerprint": plan.fingerprint})

    scan = dg.ScheduleDefinition(name="nightly_scan", job=catalog_job, cron_schedule=settings.nightly_scan)
    return [scan, nightly_reindex]


def _confirm_generation(instance: dg.DagsterInstance) -> None:
    """Have the generation in use count as made now, as it would come out the same; all that was shown of it stays.

    Dagster takes the time of the last materialisation for how fresh an asset is.
    """
    last = instance.get_latest_materialization_event(GENERATION)
    made = last.asset_materialization if last else None
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            GENERATION,
            description="nothing new: looked at, and left as it is",
            metadata={**(made.metadata if made else {}), "built now": False},
            tags=made.tags if made else None,  # the versions of it and of what it was made from
        )
    )


def nightly_freshness(cron: str) -> dg.FreshnessPolicy:
    """How old the generation may be: to be warned of an hour after a night that left it out, to fail after two nights.

    A window and no `FreshnessPolicy.cron`: that takes the shortest time between two ticks for the one before each, so
    from Friday to Monday it would fail.
    """
    ticks = itertools.islice(cron_string_iterator(_ANY_TIME, cron, "UTC"), _TICKS)
    longest = max(after - before for before, after in itertools.pairwise(ticks))
    return dg.FreshnessPolicy.time_window(fail_window=2 * longest + _BUILDING, warn_window=longest + _BUILDING)


@dg.sensor(job=catalog_job, minimum_interval_seconds=60, description="Scan when a folder of a source has changed.")
def image_folders(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
    sources = lake.open().settings().sources
    if not sources:
        return dg.SkipReason("no source yet: imrec build FOLDER")
    folders = {name: root for name, root in sources.items() if isinstance(root, Path)}
    if not folders:
        return dg.SkipReason("all sources lie in object stores; the nightly scan looks there")
    missing = [str(root) for root in folders.values() if not root.is_dir()]
    if missing:
        return dg.SkipReason(f"cannot look into {', '.join(missing)}; nothing is taken for removed")
    seen = hashlib.blake2b(digest_size=8)
    for name, root in folders.items():
        for folder, mtime_ns in _folders(root, _FOLDER_LEVELS):
            seen.update(f"{name}\0{folder}\0{mtime_ns}\n".encode(errors="surrogateescape"))
    cursor = seen.hexdigest()
    if cursor == context.cursor:
        return dg.SkipReason("no folder has changed")
    # No run key: a folder may be again as it was before, and Dagster never runs a key a second time.
    return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=cursor)


def _folders(root: Path, levels: int) -> Iterator[tuple[str, int]]:
    """The folder and those below it, so many levels deep, with their times."""
    yield str(root), root.stat().st_mtime_ns
    if levels:
        with os.scandir(root) as entries:
            below = sorted(entry.path for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        for path in below:
            yield from _folders(Path(path), levels - 1)


@dg.run_failure_sensor(
    description="Note runs that failed: imrec sql \"SELECT ended, name, error FROM runs WHERE what = 'failure'\"",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def note_failures(context: dg.RunFailureSensorContext, lake: LakeResource) -> None:
    """Failed checks that block are failed runs too."""
    run = context.instance.get_run_stats(context.dagster_run.run_id)
    seconds = max((run.end_time or 0) - (run.start_time or run.end_time or 0), 0)  # by a clock that may be set back
    failed = context.get_step_failure_events()
    reasons = [_cause(event.step_failure_data.error) for event in failed if event.step_failure_data.error]
    words = "; ".join(reasons) or str(context.failure_event.message)
    run_log.note(lake.open(), "failure", context.dagster_run.job_name, seconds, error=words)


def _cause(error: Any) -> str:
    """What was raised first, in one line; Dagster's own errors stand around it."""
    while error.cause is not None:
        error = error.cause
    return " ".join(str(error.message).split())
