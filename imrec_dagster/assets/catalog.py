"""The catalog of images, and the manifests of its shards. It adds and deletes the partitions."""

import time

import dagster as dg
from pydantic import Field

from imrec_core.catalog import manifests as core_catalog
from imrec_core.catalog import scan_times
from imrec_core.extraction import lost_content
from imrec_core.extraction.planning import plan
from imrec_core.extraction.staleness import manifest_version
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake, source_of
from imrec_dagster import metadata
from imrec_dagster.asset_keys import MANIFEST
from imrec_dagster.partitions import SHARDS, delete_other_partitions, is_only_run
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import retry_on_storage_fault
from imrec_dagster.run_log import record
from imrec_dagster.settings import DagsterSettings


class ScanConfig(dg.Config):
    """Options of a scan."""

    verify: bool = Field(default=False, description="Read every file again, although its size and times are the same.")


@dg.asset(
    group_name="catalog",
    kinds={"parquet"},
    description="Scan the sources for new, changed and removed images.",
    metadata=metadata.of_table(schemas.CATALOG),
)
def catalog(
    context: dg.AssetExecutionContext, config: ScanConfig, lake: LakeResource, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    with retry_on_storage_fault(context, progress):
        opened, started = lake.open(), time.perf_counter()
        diff, losses = _scan(context, opened, verify=config.verify)
    record(opened, diff, time.perf_counter() - started)
    for loss in losses:
        progress.done(loss)
    progress.done(diff)
    return dg.MaterializeResult(metadata=metadata.of_catalog(opened, diff))


def _scan(
    context: dg.AssetExecutionContext, opened: Lake, *, verify: bool
) -> tuple[core_catalog.CatalogDiff, list[lost_content.Loss]]:
    """Find and apply the changes of all sources, while no other process scans; keep what is known of lost images.

    Raises:
        BadSettings: The table `[dagster]` is wrong; the schedules then have the default times.
    """
    DagsterSettings.of(opened.settings())
    with opened.exclusive_lock("catalog"):
        diff = core_catalog.diff(opened, verify=verify)
        losses = lost_content.find_losses(opened, diff)
        lost_content.keep(opened, losses)
        lost_content.remove_expired(opened)
        _report_changes(context, opened, diff)  # before they are written: after a crash, the next scan finds them again
        diff.apply(opened)
        scan_times.record(opened, dict(diff.unavailable))
    for _, reason in diff.unavailable:
        context.log.warning(reason)
    for loss in losses:
        context.log.warning(loss.summary())
    return diff, losses


def _report_changes(context: dg.AssetExecutionContext, lake: Lake, diff: core_catalog.CatalogDiff) -> None:
    """Add and delete partitions, and report new data versions of changed and incomplete shards."""
    shards = {*lake.live_shards(), *(m.shard for m in diff.manifests)}
    context.instance.add_dynamic_partitions(str(SHARDS.name), sorted(shards))
    if is_only_run(context.run.run_id, context.instance):
        delete_other_partitions(shards, context.instance)
        for shard in _incomplete_shards(lake, diff):
            version = f"{manifest_version(lake, shard)}-{context.run.run_id[:8]}"
            _report_manifest(context, lake, shard, lake.row_count(lake.catalog_path(shard)), version)
    else:
        context.log.info("other runs are in progress: no partition is deleted, and none is requested again")
    for manifest in diff.manifests:
        if manifest.is_changed:
            _report_manifest(context, lake, manifest.shard, len(manifest.table), manifest.version)


def _report_manifest(context: dg.AssetExecutionContext, lake: Lake, shard: str, rows: int, version: str) -> None:
    shown = metadata.of_manifest(lake, shard, rows)
    tags = {"dagster/data_version": version}
    context.log_event(dg.AssetMaterialization(MANIFEST, partition=shard, metadata=shown, tags=tags))


def _incomplete_shards(lake: Lake, diff: core_catalog.CatalogDiff) -> list[str]:
    """Return unchanged shards with a missing or stale table.

    A table was deleted, a run failed, or the automation was off. A data version with the id of the run requests these
    shards again, once per scan; tables that are up to date are not computed again.
    """
    due = plan(lake)
    unavailable = {name for name, _ in diff.unavailable}
    changed = set(diff.changed_shards)
    unchanged = [s for s in due.shards if s.shard not in changed and source_of(s.shard) not in unavailable]
    return [state.shard for state in unchanged if due.needs_work(state)]


def manifest_spec() -> dg.AssetSpec:
    """Declare the manifests of the shards; the asset `catalog` reports their data versions."""
    return dg.AssetSpec(
        MANIFEST,
        deps=[catalog],
        partitions_def=SHARDS,
        group_name="catalog",
        kinds={"parquet"},
        description="The images of a shard: ids, sizes and times. Its data version decides which tables are stale.",
        metadata=metadata.of_table(schemas.CATALOG),
    )
