"""The partitions: one per shard of images. The asset `catalog` adds and deletes them."""

import itertools
from collections.abc import Collection, Sequence

import dagster as dg

from imrec_core.errors import BadSource
from imrec_core.lake.lake import Lake, source_of
from imrec_dagster._dagster_internals import BulkActionsFilter, BulkActionStatus

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _ENDED]
_UNFINISHED_BACKFILLS = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]

BACKFILL = dg.BackfillPolicy.multi_run(10)  # shards per run: a run costs about two seconds of CPU

SHARDS = dg.DynamicPartitionsDefinition(name="image_shards")


def contiguous(chosen: Collection[str], every: Sequence[str]) -> list[list[str]]:
    """Split the chosen partitions into contiguous ranges, in the order in which partitions were added.

    A run over several partitions takes one range (dagster#32335), so scattered partitions need several runs.
    """
    ranges = itertools.groupby(every, key=set(chosen).__contains__)
    return [list(keys) for is_chosen, keys in ranges if is_chosen]


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run over the partitions from `first` to `last`."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def is_only_run(run_id: str, instance: dg.DagsterInstance) -> bool:
    """Return whether no other run is queued or in progress, and no backfill has runs to start."""
    unfinished = instance.get_run_ids(dg.RunsFilter(statuses=_UNFINISHED), limit=2)
    return set(unfinished) <= {run_id} and not instance.get_backfills(
        BulkActionsFilter(statuses=_UNFINISHED_BACKFILLS), limit=1
    )


def delete_other_partitions(shards: Collection[str], instance: dg.DagsterInstance) -> None:
    """Delete the partitions of all other shards, whose sources were removed from the lake.

    Call it only if `is_only_run`: deleting a partition fails a run over it. Otherwise the next scan deletes them.
    """
    for key in set(instance.get_dynamic_partitions(str(SHARDS.name))) - set(shards):
        instance.delete_dynamic_partition(str(SHARDS.name), key)


def require_sources(lake: Lake, shards: Sequence[str]) -> None:
    """Raise `BadSource` for a shard whose source was removed from `lake.toml`."""
    sources = lake.settings().sources
    for shard in shards:
        if source_of(shard) not in sources:
            raise BadSource(
                f"lake.toml: [sources] has no {source_of(shard)!r}, to which shard {shard} belongs; add the source, "
                "or materialize catalog, which deletes its partitions and keeps its tables"
            )
