"""The generation that search reads, and how old it may be."""

import itertools
from datetime import UTC, datetime, timedelta

import dagster as dg

from imrec_core.features import Feature
from imrec_core.index import build
from imrec_core.lake import schemas
from imrec_dagster import asset_checks, metadata
from imrec_dagster._dagster_internals import cron_string_iterator
from imrec_dagster.asset_keys import GENERATION, IMAGES, feature_key
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import tried_again
from imrec_dagster.run_log import record

_BUILDING = timedelta(hours=1)  # that a generation may take after its tick
_ANY_TIME, _TICKS = datetime(2026, 1, 1, tzinfo=UTC).timestamp(), 400  # a year of nights


def indexing(features: list[Feature], reindex_schedule: str) -> dg.AssetsDefinition:
    """The final asset: rows, vectors and graphs that search reads.

    Args:
        reindex_schedule: The cron schedule by which there is to be a new one, where there is something new.
    """

    @dg.asset(
        key=GENERATION,
        deps=[IMAGES, *(feature_key(f.name) for f in features)],
        group_name="index",
        kinds={"hnswlib"},
        check_specs=[asset_checks.recall_spec(GENERATION)],
        metadata=metadata.of_table(schemas.ROWS),
        freshness_policy=_freshness(reindex_schedule),
        description="One consistent set of rows, vectors and HNSW graphs, published for search.",
    )
    def generation(
        context: dg.AssetExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult:
        with tried_again(context, progress):
            opened = lake.open()
            report = build.build_generation(opened)
            record(opened, report)
            shown = metadata.of_generation(opened, report)
        progress.done(report)
        return dg.MaterializeResult(metadata=shown, check_results=[asset_checks.recall_result(opened, report)])

    return generation


def _freshness(cron: str) -> dg.FreshnessPolicy:
    """How old the generation may be: to be warned of an hour after a night that left it out, to fail after two nights.

    A window and no `FreshnessPolicy.cron`: that takes the shortest time between two ticks for the one before each, so
    from Friday to Monday it would fail.
    """
    ticks = itertools.islice(cron_string_iterator(_ANY_TIME, cron, "UTC"), _TICKS)
    longest = max(after - before for before, after in itertools.pairwise(ticks))
    return dg.FreshnessPolicy.time_window(fail_window=2 * longest + _BUILDING, warn_window=longest + _BUILDING)
