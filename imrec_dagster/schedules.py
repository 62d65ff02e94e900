"""The schedules: a scan of the sources, a new generation after it, a check of the lake. `settings.py` has the times."""

import dagster as dg

from imrec_core.errors import ImrecError, StorageFault
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.jobs import catalog_job, check_job, generation_job
from imrec_dagster.resources import LakeResource
from imrec_dagster.settings import DagsterSettings


def schedules(settings: DagsterSettings) -> list[dg.ScheduleDefinition]:
    """Return the schedules of scan, generation and check.

    The generation is skipped if nothing is new, or if no image can be published; images that wait skip nothing.
    """
    zone = settings.timezone

    @dg.schedule(
        job=generation_job,
        cron_schedule=settings.reindex_schedule,
        execution_timezone=zone,
        name="nightly_reindex",
    )
    def nightly_reindex(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
        from imrec_core.index import plan as index_plan

        opened = lake.open()
        try:
            DagsterSettings.of(opened.settings())
            plan = index_plan.plan_generation(opened)
        except StorageFault:
            return dg.RunRequest()  # the run retries; the next tick of the schedule may be a day away
        except ImrecError as error:
            return dg.SkipReason(str(error))
        if not plan.shards and not plan.held:
            return dg.SkipReason("no image can be published: the lake has none; run: imrec build FOLDER")
        if index_plan.is_up_to_date(opened, plan):
            if plan.waiting.images:  # not confirmed: the freshness policy shall warn if they wait for days
                return dg.SkipReason(f"nothing new can be published: {plan.waiting.summary()}")
            _confirm_generation(context.instance)
            return dg.SkipReason("nothing new: the current generation is up to date with the lake")
        return dg.RunRequest(tags={"imrec/fingerprint": plan.fingerprint})

    scan = dg.ScheduleDefinition(
        name="nightly_scan", job=catalog_job, cron_schedule=settings.scan_schedule, execution_timezone=zone
    )
    check = dg.ScheduleDefinition(
        name="weekly_check", job=check_job, cron_schedule=settings.check_schedule, execution_timezone=zone
    )
    return [scan, nightly_reindex, check]


def _confirm_generation(instance: dg.DagsterInstance) -> None:
    """Report the current generation as materialized now, with the metadata that it has.

    Dagster measures the freshness of an asset by the time of its last materialization, and a rebuild would give the
    same generation.
    """
    last = instance.get_latest_materialization_event(GENERATION)
    made = last.asset_materialization if last else None
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            GENERATION,
            description="nothing new: checked and unchanged",
            metadata={**(made.metadata if made else {}), "built now": False},
            tags=made.tags if made else None,  # the data versions of it and of its inputs
        )
    )
