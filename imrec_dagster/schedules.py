"""The schedules of a scan, and of a new generation after it."""

import dagster as dg

from imrec_core.errors import ImrecError, StorageFault
from imrec_core.index.plan import is_up_to_date, plan_generation
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.jobs import catalog_job, generation_job
from imrec_dagster.resources import LakeResource
from imrec_dagster.settings import DagsterSettings


def schedules(settings: DagsterSettings) -> list[dg.ScheduleDefinition]:
    """A scan of the sources, and later in the night a new generation where there is something new."""

    @dg.schedule(job=generation_job, cron_schedule=settings.reindex_schedule, name="nightly_reindex")
    def nightly_reindex(context: dg.ScheduleEvaluationContext, lake: LakeResource) -> dg.RunRequest | dg.SkipReason:
        opened = lake.open()
        try:
            DagsterSettings.of(opened.settings())
            plan = plan_generation(opened)
        except StorageFault:
            return dg.RunRequest()  # a run can wait until the fault has passed, and the next tick is a night away
        except ImrecError as error:
            return dg.SkipReason(str(error))
        if is_up_to_date(opened, plan):
            _confirm_generation(context.instance)
            return dg.SkipReason("nothing new: the generation in use holds all that is in the lake")
        return dg.RunRequest(tags={"imrec/fingerprint": plan.fingerprint})

    scan = dg.ScheduleDefinition(name="nightly_scan", job=catalog_job, cron_schedule=settings.scan_schedule)
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
