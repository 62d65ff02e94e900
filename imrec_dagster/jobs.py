"""Jobs that the UI, a schedule or a sensor starts."""

import dagster as dg
from pydantic import Field

from imrec_dagster.asset_keys import CATALOG, GENERATION
from imrec_dagster.partitions import BUILD_JOBS, CHECK_JOB
from imrec_dagster.resources import LakeResource, Progress

catalog_job = dg.define_asset_job(
    "scan",
    # Not as a string, whose parser takes 0.1 s to load.
    selection=dg.AssetSelection.assets(CATALOG),
    description="Scan the sources for new, changed and removed images.",
)
check_job = dg.define_asset_job(
    CHECK_JOB,
    selection=dg.AssetSelection.checks(dg.AssetCheckKey(GENERATION, "lake_is_whole")),
    description="Verify the checksums of all files of the lake.",
)
generation_job = dg.define_asset_job(
    "reindex", selection=dg.AssetSelection.assets(GENERATION), description="Publish a new generation."
)

# The jobs below start runs of the assets. As asset jobs they would need partitions, and their backfills would publish a
# generation for every range of shards.


class BuildConfig(dg.Config):
    """Run configuration of a build."""

    sources: dict[str, str] = Field(
        default={}, description="Image folders to add to the lake: name and folder or URL, {photos: /home/me/photos}."
    )
    verify: bool = Field(default=False, description="Read every file again, although its size and times are the same.")


@dg.op
def bring_up_to_date(
    context: dg.OpExecutionContext, config: BuildConfig, lake: LakeResource, progress: dg.ResourceParam[Progress]
) -> None:
    """Do what `imrec build` does; this starts runs of the assets that are due."""
    from imrec_dagster.builder import Builder

    opened = lake.open()
    builder = Builder(opened, context.instance, progress=progress, device=lake.device, dask=lake.dask)
    builder.build(sources=config.sources, verify=config.verify)
    context.add_output_metadata({"generation": opened.current_generation()})


@dg.job(name=BUILD_JOBS[0], description="Scan, extract, fit and project what is due, and publish a generation.")
def build_job() -> None:
    bring_up_to_date()


@dg.op(name="try_failed_files")
def _try_failed_files(context: dg.OpExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]) -> None:
    """Retry failed files as `imrec failures --retry` does; this starts runs of the assets for their shards."""
    from imrec_dagster.builder import Builder

    builder = Builder(lake.open(), context.instance, progress=progress, device=lake.device, dask=lake.dask)
    report = builder.retry_failed()
    context.log.info(f"{report.good} recovered, {report.failed} still fail")
    context.add_output_metadata({"came good": report.good, "still fail": report.failed})


@dg.job(name=BUILD_JOBS[1], description="Try failed files again, and publish the recovered ones.")
def retry_job() -> None:
    _try_failed_files()
