"""The generation that search reads, and its freshness policy."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_dagster import asset_checks, declared_metadata
from imrec_dagster._dagster_internals import cron_string_iterator
from imrec_dagster.asset_keys import GENERATION, IMAGES, feature_key
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import open_lake
from imrec_dagster.run_log import record_generation
from imrec_dagster.settings import DagsterSettings

_CHECKS = (asset_checks.recall_spec, asset_checks.features_spec, asset_checks.quality_spec)
_BUILD_TIME = timedelta(hours=1)  # allowed between a tick of the schedule and the new generation
_ANY_TIME, _TICKS = datetime(2026, 1, 1, tzinfo=UTC).timestamp(), 400  # a year of daily ticks


class GenerationConfig(dg.Config):
    """Run configuration of the generation."""

    force: bool = Field(default=False, description="Build it whole, although the current one is up to date.")


def generation_asset(features: Sequence[Feature], settings: DagsterSettings) -> dg.AssetsDefinition:
    """Build the asset of the generation: the rows, vectors and HNSW graphs that search reads.

    Args:
        settings: The freshness policy follows from the schedule of new generations.
    """

    @dg.asset(
        key=GENERATION,
        deps=[IMAGES, *(feature_key(f.name) for f in features)],
        group_name="index",
        kinds={"hnswlib"},
        check_specs=[spec(GENERATION) for spec in _CHECKS],
        metadata=declared_metadata.of_table(schemas.ROWS),
        freshness_policy=_freshness(settings.reindex_schedule, settings.timezone),
        description="One consistent set of rows, vectors and HNSW graphs, published for search.",
    )
    def generation(
        context: dg.AssetExecutionContext,
        config: GenerationConfig,
        lake: LakeResource,
        progress: dg.ResourceParam[Progress],
    ) -> dg.MaterializeResult:
        from imrec_core.index import build
        from imrec_dagster import metadata

        with open_lake(context, lake, progress) as opened:
            report = build.build_generation(opened, force=config.force)
            record_generation(opened, report)
            shown = metadata.of_generation(opened, report)
            quality = asset_checks.quality_result(opened)
        progress.done(report)
        checks = [asset_checks.recall_result(opened, report), asset_checks.features_result(report), quality]
        return dg.MaterializeResult(metadata=shown, check_results=checks)

    return generation


def _freshness(cron: str, timezone: str) -> dg.FreshnessPolicy:
    """Return a policy that warns an hour after a missed tick of the schedule, and fails after two missed ticks.

    Not `FreshnessPolicy.cron`: it applies the shortest interval between two ticks to all of them, so a schedule of
    weekdays would fail from Friday to Monday. In a zone with summer time, the longest of a year's days has 25 hours.
    """
    ticks = itertools.islice(cron_string_iterator(_ANY_TIME, cron, timezone), _TICKS)
    times = [tick.timestamp() for tick in ticks]  # two datetimes of one zone are subtracted as clocks show them
    longest = timedelta(seconds=max(after - before for before, after in itertools.pairwise(times)))
    return dg.FreshnessPolicy.time_window(fail_window=2 * longest + _BUILD_TIME, warn_window=longest + _BUILD_TIME)
