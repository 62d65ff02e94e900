"""The catalog of images, and the manifests of its shards. It adds and deletes the partitions."""

import time
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from imrec_core.errors import BadSource
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_dagster import declared_metadata
from imrec_dagster.asset_keys import MANIFEST
from imrec_dagster.partitions import SHARDS, delete_other_partitions, is_only_run
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import open_lake
from imrec_dagster.run_log import record_scan
from imrec_dagster.settings import DagsterSettings

if TYPE_CHECKING:
    from imrec_core.catalog.manifests import CatalogDiff
    from imrec_core.extraction.lost_content import Loss


class ScanConfig(dg.Config):
    """Run configuration of a scan."""

    sources: dict[str, str] = Field(
        default={}, description="Image folders to add to the lake: name and folder or URL, {photos: /home/me/photos}."
    )
    verify: bool = Field(default=False, description="Read every file again, although its size and times are the same.")


@dg.asset(
    group_name="catalog",
    kinds={"parquet"},
    description="Scan the sources for new, changed and removed images.",
    metadata=declared_metadata.of_table(schemas.CATALOG),
)
def catalog(
    context: dg.AssetExecutionContext, config: ScanConfig, lake: LakeResource, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    from imrec_core.upkeep.sources import add_sources
    from imrec_dagster import metadata

    with open_lake(context, lake, progress) as opened:
        started = time.perf_counter()
        add_sources(opened, [f"{name}={folder}" for name, folder in config.sources.items()])
        _require_sources(opened)
        diff, losses = _scan(context, opened, verify=config.verify)
    record_scan(opened, diff, time.perf_counter() - started)
    for loss in losses:
        progress.done(loss)
    progress.done(diff)
    return dg.MaterializeResult(metadata=metadata.of_catalog(opened, diff))


def _scan(context: dg.AssetExecutionContext, opened: Lake, *, verify: bool) -> "tuple[CatalogDiff, list[Loss]]":
    """Find and apply the changes of all sources, while no other process scans; keep what is known of lost images.

    Raises:
        BadSettings: The table `[dagster]` is wrong; the schedules then have the default times.
    """
    from imrec_core.catalog import manifests as core_catalog
    from imrec_core.catalog import scan_times
    from imrec_core.extraction import lost_content

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


def _require_sources(lake: Lake) -> None:
    """Require a source, unless there is something to forget.

    Raises:
        BadSource: The lake has neither a source nor a shard.
    """
    if not lake.settings().sources and not lake.shards():
        raise BadSource(
            "the lake has no image folder yet; in the launchpad of catalog give one, as in "
            "ops: {catalog: {config: {sources: {photos: /home/me/photos}}}}, or run: imrec sources add FOLDER"
        )


def _report_changes(context: dg.AssetExecutionContext, lake: Lake, diff: "CatalogDiff") -> None:
    """Add and delete partitions, and report the data versions of changed shards."""
    from imrec_dagster.shard_events import manifest_event

    shards = {*lake.live_shards(), *(m.shard for m in diff.manifests)}
    context.instance.add_dynamic_partitions(str(SHARDS.name), sorted(shards))
    if is_only_run(context.run.run_id, context.instance):
        delete_other_partitions(shards, context.instance)
    else:
        context.log.info("other runs are in progress: no partition is deleted")
    for manifest in diff.manifests:
        if manifest.is_changed:
            context.log_event(manifest_event(lake, manifest.shard, len(manifest.table), manifest.version))


def manifest_spec() -> dg.AssetSpec:
    """Declare the manifests of the shards; the asset `catalog` reports their data versions."""
    return dg.AssetSpec(
        MANIFEST,
        deps=[catalog],
        partitions_def=SHARDS,
        group_name="catalog",
        kinds={"parquet"},
        description="The images of a shard: ids, sizes and times. Its data version decides which tables are stale.",
        metadata=declared_metadata.of_table(schemas.CATALOG),
    )
