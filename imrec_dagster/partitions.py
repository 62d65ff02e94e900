"""The partitions: one per shard of images. The asset `catalog` adds and deletes them."""

import itertools
from collections.abc import Collection, Sequence

import dagster as dg

from imrec_core.errors import BadSource, ImrecError
from imrec_core.lake.lake import Lake, source_of
from imrec_core.lake.settings import Settings
from imrec_dagster._dagster_internals import unfinished_backfill

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _ENDED]

BUILD_JOBS = ("build", "retry_failed")  # they start runs of their own
CHECK_JOB = "check_lake"  # it changes nothing

DECODE_POOL = "decode"  # of the extraction, which uses all cores

SHARDS = dg.DynamicPartitionsDefinition(name="image_shards")


_SAMPLED = 50  # shards, for their mean number of images


def backfill_policy(lake: Lake, images_per_run: int) -> dg.BackfillPolicy:
    """Return the policy of backfills from the UI: as many shards per run as hold `images_per_run` images on average.

    A run costs some seconds of CPU time, so a lake of small shards should have few of them.
    """
    return dg.BackfillPolicy.multi_run(max(int(images_per_run / _mean_shard(lake)), 1))


def _mean_shard(lake: Lake) -> float:
    """Return the mean number of images of a shard; the maximum while there is none, or `lake.toml` is not valid."""
    try:
        shards = lake.live_shards()[:_SAMPLED]
        images = sum(lake.row_count(lake.catalog_path(shard)) for shard in shards)
        return images / len(shards) if images else lake.settings().shard_size
    except ImrecError:
        return Settings().shard_size


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
    others = [run for run in _unfinished_runs(instance) if run.run_id != run_id and run.job_name not in BUILD_JOBS]
    return not others and unfinished_backfill(instance) is None


def unfinished_work(instance: dg.DagsterInstance) -> str:
    """Return a run or backfill that may still change the lake, in words; empty if there is none."""
    for run in _unfinished_runs(instance):
        if run.status != dg.DagsterRunStatus.NOT_STARTED and run.job_name != CHECK_JOB:
            return f"run {run.run_id[:8]}"
    backfill = unfinished_backfill(instance)
    return f"backfill {backfill.backfill_id}" if backfill else ""


def _unfinished_runs(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))


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
