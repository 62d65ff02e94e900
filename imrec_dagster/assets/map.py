"""The map as an asset: made when somebody asks for it, and needed by nothing."""

import dagster as dg
from pydantic import Field

from imrec_core import maps
from imrec_core.maps.map_table import SCHEMA
from imrec_dagster import metadata
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import tried_again
from imrec_dagster.run_log import record


class MapConfig(dg.Config):
    """What a run may be told; see `imrec map --help`."""

    feature: str = Field(default="", description="By which images are alike; the generation's first unless given.")
    method: str = Field(default=maps.METHODS[0], description=f"One of {', '.join(maps.METHODS)}.")
    name: str = Field(default="", description="Of the map; by itself that of the feature.")
    sample: int = Field(default=maps.SAMPLE, description="Images laid out together; the others join their nearest.")


@dg.asset(
    key="map",
    deps=[GENERATION],
    group_name="map",
    kinds={"parquet"},
    metadata=metadata.of_table(SCHEMA),
    description="Where each image lies among those that it is like, clusters, neighbours. Needs imrec[map].",
)
def laid_out(
    context: dg.AssetExecutionContext, config: MapConfig, lake: LakeResource, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    with tried_again(context, progress):
        opened = lake.open()
        report = maps.build_map(
            opened,
            config.feature or None,
            method=config.method,
            name=config.name or None,
            sample=config.sample,
            progress=context.log.info,
        )
        record(opened, report)
        shown = metadata.of_map(opened, report)
    progress.done(report)
    return dg.MaterializeResult(metadata=shown)
