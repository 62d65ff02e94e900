"""Projections: features that are computed from the vectors of other features."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from imrec_core.features import Feature
from imrec_dagster import asset_checks, declared_metadata
from imrec_dagster.asset_keys import code_version, feature_key, fitted_key
from imrec_dagster.partitions import SHARDS, require_sources
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import open_lake
from imrec_dagster.run_log import record_projection


class ProjectionConfig(dg.Config):
    """Run configuration of a projection."""

    force: bool = Field(default=False, description="Compute the vectors again, although they are up to date.")


def projection_asset(feature: Feature, backfill_policy: dg.BackfillPolicy) -> dg.AssetsDefinition:
    """Build the asset of a feature that is computed from the vectors of others."""
    key = feature_key(feature.name)
    bases = list(dict.fromkeys(feature_key(base.name) for base in feature.bases))

    @dg.multi_asset(
        name=f"project_{feature.name}",  # a prefix, as a lake may name a feature like another step
        specs=[
            dg.AssetSpec(
                key,
                deps=[*bases, fitted_key(feature.name)],
                partitions_def=SHARDS,
                group_name=feature.group,
                kinds={"parquet", "numpy"},
                code_version=code_version(feature),
                description=feature.summary,
                metadata=declared_metadata.of_feature(feature),
            )
        ],
        check_specs=asset_checks.feature_specs(key),
        backfill_policy=backfill_policy,
    )
    def project_shards(
        context: dg.AssetExecutionContext,
        config: ProjectionConfig,
        lake: LakeResource,
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.AssetMaterialization | dg.MaterializeResult | dg.AssetCheckResult]:
        from imrec_core.extraction import project
        from imrec_core.extraction.shard_failures import isolate, raise_failures
        from imrec_dagster import metadata
        from imrec_dagster.shard_events import result_without_event, table_event

        errors: dict[str, Exception] = {}
        with open_lake(context, lake, progress) as opened:
            require_sources(opened, context.partition_keys)
            for shard in context.partition_keys:
                with isolate(shard, errors):
                    report = project.project_shard(opened, shard, feature, force=config.force)
                    record_projection(opened, report)
                    progress.done(report)
                    yield table_event(opened, shard, feature, metadata.of_projection(opened, report))
            complete = [shard for shard in context.partition_keys if shard not in errors]
            checks = asset_checks.run_checks(context, opened, complete, {feature.name: feature})
        yield result_without_event(key)
        yield from checks
        raise_failures(errors)

    return project_shards
