"""One pass over each shard: the images table, and every feature that is computed from pixels."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from imrec_core.extraction import dask_cluster
from imrec_core.extraction.report import ShardReport
from imrec_core.extraction.shard_order import receiving_shards
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.schemas import IMAGES_VERSION
from imrec_dagster import asset_checks, metadata
from imrec_dagster.asset_keys import EXTRACT, IMAGES, MANIFEST, code_version, feature_key, fitted_key
from imrec_dagster.automation import on_change
from imrec_dagster.partitions import BACKFILL, SHARDS, require_sources
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import tried_again
from imrec_dagster.run_log import record


class ExtractConfig(dg.Config):
    """What a run of the extraction may be told."""

    retry: bool = Field(default=False, description="Try files again that failed, though they are as they were.")


def extraction(known: Mapping[str, Feature], chosen: Collection[str]) -> dg.AssetsDefinition:
    """The multi-asset of all features that are computed from pixels, and of the images table."""
    features = [feature for feature in known.values() if not feature.projection]

    @dg.multi_asset(
        name=EXTRACT,
        specs=[_images_spec(), *(_feature_spec(f, automatic=f.name in chosen) for f in features)],
        check_specs=[
            *asset_checks.image_specs(IMAGES),
            *(s for f in features for s in asset_checks.specs(feature_key(f.name))),
        ],
        can_subset=True,
        backfill_policy=BACKFILL,
        pool="decode",
    )
    def extract_shards(
        context: dg.AssetExecutionContext,
        config: ExtractConfig,
        lake: LakeResource,
        progress: dg.ResourceParam[Progress],
    ):
        """Read and decode each new image of a shard once, and compute every selected feature from it."""
        keys = sorted(context.selected_asset_keys)
        wanted = [known[key.path[-1]] for key in keys if key != IMAGES]
        shards = context.partition_keys
        with tried_again(context, progress):
            opened = lake.open()
            require_sources(opened, shards)
            takers = receiving_shards(
                opened, shards
            )  # else a moved image, which they get, would be forgotten here first
            for report in dask_cluster.extract_on_dask(
                opened,
                [*takers, *shards],
                wanted,
                scheduler=lake.dask,
                on_images=progress.images,
                device=lake.device,
                retry=config.retry,
            ):
                _report(context, opened, report, keys if report.shard in shards else ())
                progress.done(report)
            checked = asset_checks.results(context, opened, shards, known)
        for key in keys:
            yield dg.MaterializeResult(asset_key=key)
        yield from checked

    return extract_shards


def _images_spec() -> dg.AssetSpec:
    return _spec(
        IMAGES,
        "What decoding showed of each image: content hash, format, size; or why it failed.",
        automatic=True,
        group_name="images",
        kinds={"parquet"},
        code_version=str(IMAGES_VERSION),
        metadata=metadata.of_table(schemas.IMAGES),
    )


def _feature_spec(feature: Feature, *, automatic: bool) -> dg.AssetSpec:
    return _spec(
        feature_key(feature.name),
        feature.summary,
        [fitted_key(feature.name)] if feature.learnt else [],
        automatic=automatic,
        group_name=feature.group,
        kinds={"parquet", "openvino"} if feature.model else {"parquet", "numpy"},
        code_version=code_version(feature),
        metadata=metadata.of_feature(feature),
    )


def _spec(
    key: dg.AssetKey, description: str, deps: Sequence[dg.AssetKey] = (), *, automatic: bool, **shown: Any
) -> dg.AssetSpec:
    """Declare a table that has a part for each shard."""
    return dg.AssetSpec(
        key,
        deps=[MANIFEST, *deps],
        partitions_def=SHARDS,
        automation_condition=on_change() if automatic else None,
        description=description,
        skippable=True,
        **shown,
    )


def _report(context: dg.AssetExecutionContext, lake: Lake, report: ShardReport, keys: Collection[dg.AssetKey]) -> None:
    """Log what became of a shard, note it in the lake, and show it with these assets."""
    context.log.info(
        f"{report.shard}: {report.decoded} decoded, {report.rows} images, {report.failed} failed, "
        f"{report.seconds:.1f} s"
    )
    for key in keys:
        shown = metadata.of_extraction(lake, report, key)
        context.add_asset_metadata(shown, asset_key=key, partition_key=report.shard)
    record(lake, report)
