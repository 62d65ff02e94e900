"""Jobs that a person, a schedule or a sensor starts."""

import dagster as dg

from imrec_dagster.builder import Builder
from imrec_dagster.resources import LakeResource, Progress

catalog_job = dg.define_asset_job(
    "scan", selection=["catalog"], description="Look for new, changed and removed images."
)
generation_job = dg.define_asset_job("reindex", selection=["generation"], description="Publish a new generation.")


@dg.op(name="try_failed_files")
def _try_failed_files(context: dg.OpExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]) -> None:
    """Like `imrec failures --retry`. It has runs of the assets made, each for its shards."""
    builder = Builder(lake.open(), context.instance, progress=progress, device=lake.device, dask=lake.dask)
    report = builder.retry_failed()
    context.log.info(f"{report.good} came good, {report.failed} still fail")
    context.add_output_metadata({"came good": report.good, "still fail": report.failed})


@dg.job(name="retry_failed", description="Try the files that failed again, and publish what came good.")
def retry_job() -> None:
    # No asset job: that asks for partitions, and a backfill of it would publish a generation for every ten shards.
    _try_failed_files()
