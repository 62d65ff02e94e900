"""Extraction: one pass over each shard for the images table and every feature that is computed from pixels."""

from collections.abc import Collection, Iterator, Mapping, Sequence
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
from imrec_dagster.retries import retry_on_storage_fault
from imrec_dagster.run_log import record


class ExtractConfig(dg.Config):
    """Run configuration of the extraction."""

    retry: bool = Field(default=False, description="Try unchanged files again that failed.")


def extraction_asset(known: Mapping[str, Feature], chosen: Collection[str]) -> dg.AssetsDefinition:
    """Build the multi-asset of the images table and of all features that are computed from pixels."""
    features = [feature for feature in known.values() if not feature.projection]

    @dg.multi_asset(
        name=EXTRACT,
        specs=[_images_spec(), *(_feature_spec(f, automatic=f.name in chosen) for f in features)],
        check_specs=[
            *asset_checks.image_specs(IMAGES),
            *(s for f in features for s in asset_checks.feature_specs(feature_key(f.name))),
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
        with retry_on_storage_fault(context, progress):
            opened = lake.open()
            for report in _extract(context, config, lake, opened, known, progress):
                _record(context, opened, report)
                progress.done(report)
            checks = asset_checks.run_checks(context, opened, context.partition_keys, known)
        yield from (dg.MaterializeResult(asset_key=key) for key in sorted(context.selected_asset_keys))
        yield from checks

    return extract_shards


def _extract(
    context: dg.AssetExecutionContext,
    config: ExtractConfig,
    resource: LakeResource,
    lake: Lake,
    known: Mapping[str, Feature],
    progress: Progress,
) -> Iterator[ShardReport]:
    """Extract the selected features of the run's shards, on the Dask cluster if there is one.

    Shards that receive moved images come first; otherwise the features of these images would be lost here.
    """
    shards = context.partition_keys
    require_sources(lake, shards)
    return dask_cluster.extract_on_dask(
        lake,
        [*receiving_shards(lake, shards), *shards],
        [known[key.path[-1]] for key in sorted(context.selected_asset_keys) if key != IMAGES],
        scheduler=resource.dask,
        on_images=progress.images,
        device=resource.device,
        retry=config.retry,
    )


def _images_spec() -> dg.AssetSpec:
    return _spec(
        IMAGES,
        "Content hash, format and size of each decoded image, or the reason why it failed.",
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
    """Declare a table with one part per shard."""
    return dg.AssetSpec(
        key,
        deps=[MANIFEST, *deps],
        partitions_def=SHARDS,
        automation_condition=on_change() if automatic else None,
        description=description,
        skippable=True,
        **shown,
    )


def _record(context: dg.AssetExecutionContext, lake: Lake, report: ShardReport) -> None:
    """Log the report of a shard, add it to the run log, and to the assets if the run includes the shard."""
    context.log.info(
        f"{report.shard}: {report.decoded} decoded, {report.rows} images, {report.failed} failed, "
        f"{report.seconds:.1f} s"
    )
    keys = sorted(context.selected_asset_keys) if report.shard in context.partition_keys else ()
    for key in keys:
        shown = metadata.of_extraction(lake, report, key)
        context.add_asset_metadata(shown, asset_key=key, partition_key=report.shard)
    record(lake, report)
