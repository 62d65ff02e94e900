"""Extraction: one pass over each shard for the images table and every feature that is computed from pixels."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.schemas import IMAGES_VERSION
from imrec_dagster import asset_checks, declared_metadata
from imrec_dagster.asset_keys import EXTRACT, IMAGES, MANIFEST, code_version, feature_key, fitted_key
from imrec_dagster.partitions import DECODE_POOL, SHARDS, require_sources
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import open_lake
from imrec_dagster.run_log import record_extraction

if TYPE_CHECKING:
    from imrec_core.extraction.report import ShardReport

Events = Iterator[dg.AssetMaterialization | dg.MaterializeResult | dg.AssetCheckResult]


class ExtractConfig(dg.Config):
    """Run configuration of the extraction."""

    retry: bool = Field(default=False, description="Try unchanged files again that failed.")
    force: bool = Field(default=False, description="Decode all images, and compute their features again.")


def extraction_asset(features: Sequence[Feature], backfill_policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    """Build the multi-asset of the images table and of all features that are computed from pixels."""
    from_pixels = {feature.name: feature for feature in features}

    @dg.multi_asset(
        name=EXTRACT,
        specs=[_images_spec(), *(_feature_spec(f) for f in from_pixels.values())],
        check_specs=[
            *asset_checks.image_specs(IMAGES),
            *(s for name in from_pixels for s in asset_checks.feature_specs(feature_key(name))),
        ],
        can_subset=True,
        backfill_policy=backfill_policy,
        pool=DECODE_POOL,
    )
    def extract_shards(
        context: dg.AssetExecutionContext,
        config: ExtractConfig,
        lake: LakeResource,
        progress: dg.ResourceParam[Progress],
    ) -> Events:
        """Read and decode each new image of a shard once, and compute every selected feature from it.

        A shard that fails does not keep the others from being extracted, recorded and checked.
        """
        from imrec_core.extraction.shard_failures import raise_failures
        from imrec_dagster import metadata
        from imrec_dagster.shard_events import result_without_event, table_event

        keys = sorted(context.selected_asset_keys)
        selected = {key: from_pixels.get(key.path[-1]) for key in keys}
        errors: dict[str, Exception] = {}
        of_run: metadata.Shown = {}  # the same for all tables
        with open_lake(context, lake, progress) as opened:
            for report in _extract(context, config, lake, opened, list(selected.values()), progress, errors, of_run):
                context.log.info(_summary(report))
                record_extraction(opened, report)
                progress.done(report)
                for key, feature in selected.items():
                    shown = metadata.of_extraction(opened, report, key) | of_run
                    yield table_event(opened, report.shard, feature, shown)
            complete = [shard for shard in context.partition_keys if shard not in errors]
            checks = asset_checks.run_checks(context, opened, complete, from_pixels)
        yield from map(result_without_event, keys)
        yield from checks
        raise_failures(errors)

    return extract_shards


def _extract(
    context: dg.AssetExecutionContext,
    config: ExtractConfig,
    resource: LakeResource,
    lake: Lake,
    selected: Sequence[Feature | None],
    progress: Progress,
    errors: dict[str, Exception],
    of_run: dict[str, Any],
) -> "Iterator[ShardReport]":
    """Extract the selected features of the run's shards, on the Dask cluster if there is one.

    Shards that receive moved images come first; otherwise the features of these images would be lost here.
    """
    from imrec_core.extraction import dask_cluster
    from imrec_core.extraction.shard_order import receiving_shards

    shards = context.partition_keys
    require_sources(lake, shards)
    return dask_cluster.extract_on_dask(
        lake,
        [*receiving_shards(lake, shards), *shards],
        [feature for feature in selected if feature is not None],
        scheduler=resource.dask,
        on_images=progress.images,
        device=resource.device,
        retry=config.retry,
        force=config.force,
        errors=errors,
        on_dashboard=lambda address: of_run.update({"Dask dashboard": dg.MetadataValue.url(address)}),
    )


def _summary(report: "ShardReport") -> str:
    return (
        f"{report.shard}: {report.decoded} decoded, {report.rows} images, {report.failed} failed, "
        f"{report.seconds:.1f} s"
    )


def _images_spec() -> dg.AssetSpec:
    return dg.AssetSpec(
        IMAGES,
        deps=[MANIFEST],
        partitions_def=SHARDS,
        description="Content hash, format and size of each decoded image, or the reason why it failed.",
        group_name="images",
        kinds={"parquet"},
        code_version=str(IMAGES_VERSION),
        metadata=declared_metadata.of_table(schemas.IMAGES),
        skippable=True,
    )


def _feature_spec(feature: Feature) -> dg.AssetSpec:
    return dg.AssetSpec(
        feature_key(feature.name),
        deps=[MANIFEST, *([fitted_key(feature.name)] if feature.learnt else [])],
        partitions_def=SHARDS,
        description=feature.summary,
        group_name=feature.group,
        kinds={"parquet", "openvino"} if feature.model else {"parquet", "numpy"},
        code_version=code_version(feature),
        metadata=declared_metadata.of_feature(feature),
        skippable=True,
    )
