"""Jobs that the UI, a schedule or a sensor starts."""

import dagster as dg

from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.builder import Builder
from imrec_dagster.resources import LakeResource, Progress

catalog_job = dg.define_asset_job(
    "scan", selection=["catalog"], description="Scan the sources for new, changed and removed images."
)
check_job = dg.define_asset_job(
    "check_lake",
    selection=dg.AssetSelection.checks(dg.AssetCheckKey(GENERATION, "lake_is_whole")),
    description="Verify the checksums of all files of the lake.",
)
generation_job = dg.define_asset_job("reindex", selection=["generation"], description="Publish a new generation.")


@dg.op(name="try_failed_files")
def _try_failed_files(context: dg.OpExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]) -> None:
    """Retry failed files as `imrec failures --retry` does; this starts runs of the assets for their shards."""
    builder = Builder(lake.open(), context.instance, progress=progress, device=lake.device, dask=lake.dask)
    report = builder.retry_failed()
    context.log.info(f"{report.good} recovered, {report.failed} still fail")
    context.add_output_metadata({"came good": report.good, "still fail": report.failed})


@dg.job(name="retry_failed", description="Try failed files again, and publish the recovered ones.")
def retry_job() -> None:
    # Not an asset job: it would need partitions, and its backfill would publish a generation for every ten shards.
    _try_failed_files()
