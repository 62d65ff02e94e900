"""The 2-D map, which is materialized on request only; no other asset depends on it."""

import dagster as dg
from pydantic import Field

from imrec_core.lake import schemas
from imrec_dagster import declared_metadata
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import open_lake
from imrec_dagster.run_log import record_map


class MapConfig(dg.Config):
    """Run configuration of the map; see `imrec map --help`."""

    feature: str = Field(default="", description="Feature that places the images; default: the generation's first.")
    method: str = Field(default="", description="Layout method, umap or tsne; default: umap.")
    name: str = Field(default="", description="Name of the map; default: that of the feature.")
    sample: int = Field(
        default=0,
        description="Images laid out together, the others are placed by their nearest neighbours; 0 for the default.",
    )


@dg.asset(
    key="map",
    deps=[GENERATION],
    group_name="map",
    kinds={"parquet"},
    metadata=declared_metadata.of_table(schemas.MAP),
    description="Position, cluster and nearest neighbours of each image. Needs imrec[map].",
)
def map_asset(
    context: dg.AssetExecutionContext, config: MapConfig, lake: LakeResource, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    from imrec_core import maps
    from imrec_dagster import metadata

    with open_lake(context, lake, progress) as opened:
        report = maps.build_map(
            opened,
            config.feature or None,
            method=config.method or maps.METHODS[0],
            name=config.name or None,
            sample=config.sample or maps.SAMPLE,
            progress=context.log.info,
        )
        record_map(opened, report)
        shown = metadata.of_map(opened, report)
    progress.done(report)
    return dg.MaterializeResult(metadata=shown)
