"""One partition per shard of images; the catalog adds them."""

import itertools
from collections.abc import Collection, Sequence

import dagster as dg

from imrec_core.errors import BadSource
from imrec_core.lake.lake import Lake, source_of
from imrec_dagster._dagster_internals import BulkActionsFilter, BulkActionStatus

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _ENDED]
_TO_COME = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]

BACKFILL = dg.BackfillPolicy.multi_run(10)  # shards per run: a run costs about two seconds of CPU

SHARDS = dg.DynamicPartitionsDefinition(name="image_shards")


def contiguous(chosen: Collection[str], every: Sequence[str]) -> list[list[str]]:
    """The unbroken stretches of `chosen` among `every` key, in partition order, which is that of their making.

    A run over several partitions is asked for as one range (dagster#32335), so a scattered choice becomes several.
    """
    stretches = itertools.groupby(every, key=set(chosen).__contains__)
    return [list(keys) for is_chosen, keys in stretches if is_chosen]


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags of a run over the partitions from `first` to `last`."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def is_alone(run_id: str, instance: dg.DagsterInstance) -> bool:
    """Whether no other run is queued or going, and no backfill has runs still to come."""
    under_way = instance.get_run_ids(dg.RunsFilter(statuses=_UNFINISHED), limit=2)
    return set(under_way) <= {run_id} and not instance.get_backfills(BulkActionsFilter(statuses=_TO_COME), limit=1)


def forget_all_but(shards: Collection[str], instance: dg.DagsterInstance) -> None:
    """Delete the partitions of other shards, whose source was taken out of the lake.

    Ask `is_alone` first: another run fails if a partition of it goes. The next scan will do it then.
    """
    for key in set(instance.get_dynamic_partitions(str(SHARDS.name))) - set(shards):
        instance.delete_dynamic_partition(str(SHARDS.name), key)


def require_sources(lake: Lake, shards: Sequence[str]) -> None:
    """Refuse partitions whose source was taken out of the lake."""
    sources = lake.settings().sources
    for shard in shards:
        if source_of(shard) not in sources:
            raise BadSource(
                f"{shard} belongs to source {source_of(shard)!r}, which is not in lake.toml; put it back under "
                "[sources], or materialize catalog, which takes its partitions away (its tables are kept)"
            )
