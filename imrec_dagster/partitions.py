"""One partition per shard of images; the catalog adds them."""

from collections.abc import Sequence

import dagster as dg

SHARDS = dg.DynamicPartitionsDefinition(name="image_shards")


def contiguous(chosen: Sequence[str], every: Sequence[str]) -> list[tuple[str, str]]:
    """First and last key of each unbroken stretch of `chosen` among `every` key, in partition order.

    A run over several partitions is asked for as one range (dagster#32335), so a scattered choice becomes several.
    """
    stretches: list[tuple[str, str]] = []
    wanted = set(chosen)
    open_stretch: list[str] = []
    for key in [*every, None]:
        if key in wanted:
            open_stretch.append(str(key))
        elif open_stretch:
            stretches.append((open_stretch[0], open_stretch[-1]))
            open_stretch = []
    return stretches


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags of a run over the partitions from `first` to `last`."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
