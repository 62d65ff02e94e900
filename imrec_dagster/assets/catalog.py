"""The catalog of images, and the manifests of its shards."""

import time

import dagster as dg

from imrec_core.catalog import manifests as core_catalog
from imrec_core.extraction.staleness import manifest_version, needs_work
from imrec_core.features import chosen_features
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake, source_of
from imrec_dagster import metadata
from imrec_dagster.asset_keys import MANIFEST
from imrec_dagster.partitions import SHARDS, forget_all_but, is_alone
from imrec_dagster.resources import LakeResource, Progress
from imrec_dagster.retries import tried_again
from imrec_dagster.run_log import record
from imrec_dagster.settings import DagsterSettings


@dg.asset(
    group_name="catalog",
    kinds={"parquet"},
    description="Scan the sources; note what is new, changed and gone.",
    metadata=metadata.of_table(schemas.CATALOG),
)
def catalog(
    context: dg.AssetExecutionContext, lake: LakeResource, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    with tried_again(context, progress):
        opened, started = lake.open(), time.perf_counter()
        DagsterSettings.of(opened.settings())  # where they are wrong, the schedules have the default times
        with opened.alone("catalog"):
            found = _scan(context, opened)
    for _, reason in found.unavailable:
        context.log.warning(reason)
    record(opened, found, time.perf_counter() - started)
    progress.done(found)
    return dg.MaterializeResult(metadata=metadata.of_catalog(opened, found))


def _scan(context: dg.AssetExecutionContext, opened: Lake) -> core_catalog.CatalogDiff:
    found = core_catalog.diff(opened)
    # Told before written: a crash in between makes the next scan find the same changes, and tell them again.
    shards = {*opened.live_shards(), *(m.shard for m in found.manifests)}
    context.instance.add_dynamic_partitions(str(SHARDS.name), sorted(shards))
    if is_alone(context.run.run_id, context.instance):
        forget_all_but(shards, context.instance)
        for shard in _unmade(opened, found):
            version = f"{manifest_version(opened, shard)}-{context.run.run_id[:8]}"
            _tell(context, opened, shard, opened.row_count(opened.catalog_path(shard)), version)
    else:
        context.log.info("other runs are under way: no partition is deleted, and none is asked for again")
    for manifest in found.manifests:
        _tell(context, opened, manifest.shard, len(manifest.table), manifest.version)
    found.apply(opened)
    return found


def _tell(context: dg.AssetExecutionContext, lake: Lake, shard: str, rows: int, version: str) -> None:
    shown = metadata.of_manifest(lake, shard, rows)
    tags = {"dagster/data_version": version}
    context.log_event(dg.AssetMaterialization(MANIFEST, partition=shard, metadata=shown, tags=tags))


def _unmade(lake: Lake, found: core_catalog.CatalogDiff) -> list[str]:
    """Shards that are as they were, and of which a table is missing all the same, or of another version.

    Somebody deleted it, or its run failed, or the automation was off. Told under a version of their own they are asked
    for again, once for each scan; what is up to date there is not computed.
    """
    features = chosen_features(lake)
    away = {name for name, _ in found.unavailable}
    changed = {manifest.shard for manifest in found.manifests}
    same = [shard for shard in lake.live_shards() if shard not in changed and source_of(shard) not in away]
    return [shard for shard in same if needs_work(lake, shard, features)]


def manifest_spec() -> dg.AssetSpec:
    """The manifests of the shards; the catalog reports those that changed, with their versions."""
    return dg.AssetSpec(
        MANIFEST,
        deps=[catalog],
        partitions_def=SHARDS,
        group_name="catalog",
        kinds={"parquet"},
        description="The images of a shard: ids, sizes and times. Its data version decides what is stale.",
        metadata=metadata.of_table(schemas.CATALOG),
    )
