"""Projections: features that are computed from the vectors of other features."""

from collections.abc import Collection, Iterator

import dagster as dg

from imrec_core.extraction import project
from imrec_core.features import Feature
from imrec_dagster import asset_checks, metadata
from imrec_dagster.asset_keys import code_version, feature_key, fitted_key
from imrec_dagster.automation import on_change
from imrec_dagster.partitions import BACKFILL, SHARDS, require_sources
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import retry_on_storage_fault
from imrec_dagster.run_log import record


def projection_asset(feature: Feature, chosen: Collection[str]) -> dg.AssetsDefinition:
    """Build the asset of a feature that is computed from the vectors of others."""
    bases = list(dict.fromkeys(feature_key(base.name) for base in feature.bases))

    @dg.multi_asset(
        name=f"project_{feature.name}",  # a prefix, as a lake may name a feature like another step
        specs=[
            dg.AssetSpec(
                feature_key(feature.name),
                deps=[*bases, fitted_key(feature.name)],
                partitions_def=SHARDS,
                group_name=feature.group,
                kinds={"parquet", "numpy"},
                code_version=code_version(feature),
                automation_condition=on_change() if feature.name in chosen else None,
                description=feature.summary,
                metadata=metadata.of_feature(feature),
            )
        ],
        check_specs=asset_checks.feature_specs(feature_key(feature.name)),
        backfill_policy=BACKFILL,
    )
    def project_shards(
        context: dg.AssetExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        key = feature_key(feature.name)
        with retry_on_storage_fault(context, progress):
            opened = lake.open()
            require_sources(opened, context.partition_keys)
            for shard in context.partition_keys:
                report = project.project_shard(opened, shard, feature)
                shown = metadata.of_projection(opened, report)
                context.add_asset_metadata(shown, asset_key=key, partition_key=shard)
                record(opened, report)
                progress.done(report)
            checks = asset_checks.run_checks(context, opened, context.partition_keys, {feature.name: feature})
        yield dg.MaterializeResult(asset_key=key)
        yield from checks

    return project_shards
