"""Materialization events of shards: one per table, reported as soon as the table is published.

Dagster gives all partitions of a run one data version, made from the inputs of the whole range. These events carry that
of the table itself, so a partition that was up to date keeps its version, and nothing that depends on it becomes stale.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import dagster as dg

from imrec_core.extraction.planning import BuildPlan
from imrec_core.extraction.staleness import current_fit, digest, manifest_version
from imrec_core.features import Feature
from imrec_core.lake.lake import Lake
from imrec_core.lake.schemas import IMAGES_VERSION
from imrec_core.lake.storage.files import AnyPath
from imrec_dagster import metadata
from imrec_dagster._dagster_internals import NO_EVENT
from imrec_dagster.asset_keys import IMAGES, MANIFEST, code_version, feature_key, fitted_key

_FOUND = "found in the lake: another instance made it, or a run that was killed before it could report it"


def table_event(
    lake: Lake, shard: str, feature: Feature | None, shown: metadata.Shown, **event: Any
) -> dg.AssetMaterialization:
    """Return the event of a feature's table of one shard.

    Args:
        feature: None for the images table.
        shown: Metadata of the event.
    """
    path = lake.feature_path(feature.name, shard) if feature else lake.images_path(shard)
    return dg.AssetMaterialization(
        feature_key(feature.name) if feature else IMAGES,
        partition=shard,
        metadata=shown,
        tags=_version_tags(lake, shard, feature, table_version(lake, path)),
        **event,
    )


def result_without_event(key: dg.AssetKey) -> dg.MaterializeResult:
    """Return the result of an asset whose events are reported already; assets that depend on it can start."""
    return dg.MaterializeResult(asset_key=key, metadata=NO_EVENT)


def table_version(lake: Lake, path: AnyPath) -> str:
    """Return the data version of a table: a digest of what it was made from."""
    return digest(lake.made_from(path))


def _version_tags(lake: Lake, shard: str, feature: Feature | None, version: str) -> dict[str, str]:
    """Return the data versions of a table and of its inputs, by which Dagster tells stale partitions."""
    inputs = {MANIFEST: manifest_version(lake, shard)}
    if feature is not None and feature.bases:
        bases = {base.name: table_version(lake, lake.feature_path(base.name, shard)) for base in feature.bases}
        inputs = {feature_key(name): of_base for name, of_base in bases.items()}
    if feature is not None and feature.is_fitted:
        inputs[fitted_key(feature.name)] = current_fit(lake, feature) or ""
    tags = {
        "dagster/data_version": version,
        "dagster/data_version_is_user_provided": "true",
        "dagster/code_version": code_version(feature) if feature else str(IMAGES_VERSION),
    }
    for key, of_input in inputs.items():
        tags[f"dagster/input_data_version/{key.to_user_string()}"] = of_input
        tags[f"dagster/input_event_pointer/{key.to_user_string()}"] = "NULL"
    return tags


def unrecorded_events(
    lake: Lake, instance: dg.DagsterInstance, due: BuildPlan, *, most: int | None = None
) -> list[dg.AssetMaterialization]:
    """Return events of manifests and up-to-date tables that a Dagster instance has no record of, at most `most`.

    Another instance made them, or a run that was killed before it could report them.
    """
    missing = (
        table_event(lake, shard, feature, metadata.of_table_found(lake, shard, feature), description=_FOUND)
        for feature in (None, *due.features)
        for shard in _unrecorded(instance, feature_key(feature.name) if feature else IMAGES, _fresh(due, feature))
    )
    manifests = (
        manifest_event(lake, shard, lake.row_count(lake.catalog_path(shard)), manifest_version(lake, shard))
        for shard in _unrecorded(instance, MANIFEST, [state.shard for state in due.shards])
    )
    return list(itertools.islice(itertools.chain(manifests, missing), most))


def manifest_event(lake: Lake, shard: str, rows: int, version: str) -> dg.AssetMaterialization:
    """Return the event of a shard's manifest."""
    shown = metadata.of_manifest(lake, shard, rows)
    return dg.AssetMaterialization(MANIFEST, partition=shard, metadata=shown, tags={"dagster/data_version": version})


def _unrecorded(instance: dg.DagsterInstance, key: dg.AssetKey, shards: Sequence[str]) -> list[str]:
    recorded = instance.get_materialized_partitions(key) if shards else set()
    return [shard for shard in shards if shard not in recorded]


def _fresh(due: BuildPlan, feature: Feature | None) -> list[str]:
    """List the shards in which a table is up to date."""
    return [s.shard for s in due.shards if (feature.name not in s.stale if feature else not s.has_stale_images)]
