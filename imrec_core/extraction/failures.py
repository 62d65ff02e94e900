"""Images that could not be read or decoded, as the images tables record them: which, how many, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.catalog import scan_report
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import exists


def failed_images(lake: Lake, shard: str) -> list[str]:
    """List the ids of the failed images of a shard."""
    failed = _read_failed(lake, shard, ["image_id"])
    return [] if failed is None else failed["image_id"].to_pylist()


def count_statuses(lake: Lake, shard: str) -> Counter[str]:
    """Count the images of a shard by status, `ok` or `failed`."""
    path = lake.images_path(shard)
    return Counter(lake.read_table(path, ["status"])["status"].to_pylist() if exists(path) else [])


def count_failed(lake: Lake, shards: Iterable[str]) -> int:
    """Count the failed images of some shards."""
    return sum(count_statuses(lake, shard)["failed"] for shard in shards)


def count_unreadable(lake: Lake) -> int:
    """Count the folders and other entries of all sources that the last scan could not read."""
    return sum(len(scan_report.load(lake, source).failures) for source in lake.settings().sources)


def failure_reason(error: str) -> str:
    """Return the kind of failure that an `error` in an images table begins with, such as `TruncatedImage`."""
    return error.partition(":")[0]


def count_reasons(lake: Lake) -> Counter[str]:
    """Count the failed images of a lake by kind of failure."""
    tables = (_read_failed(lake, shard, ["error"]) for shard in lake.live_shards())
    return Counter(failure_reason(error) for table in tables if table for error in table["error"].to_pylist())


def list_failures(lake: Lake) -> list[dict[str, Any]]:
    """List what could not be read: source, path, error, byte_size; sorted by source and path.

    These are the failed images that a manifest lists, and the folders and other entries that the last scan could not
    read, without a size. An image that a scan no longer found is left out, even while the images table of its shard
    still records it.
    """
    return sorted([*_failed_images(lake), *_unreadable_entries(lake)], key=lambda row: (row["source"], row["path"]))


def _unreadable_entries(lake: Lake) -> Iterator[dict[str, Any]]:
    for source in lake.settings().sources:
        for failure in scan_report.load(lake, source).failures:
            yield {"source": source, "path": failure.path, "error": failure.error, "byte_size": None}


def _failed_images(lake: Lake) -> list[dict[str, Any]]:
    shards = lake.live_shards()
    tables = (_read_failed(lake, shard, ["image_id", "error"]) for shard in shards)
    failed = [row for table in tables if table for row in table.to_pylist()]
    if not failed:
        return []
    ids = pa.array({row["image_id"] for row in failed}, pa.string())
    places: dict[str, dict[str, Any]] = {}
    for shard in shards:
        manifest = lake.read_table(lake.catalog_path(shard), ["image_id", "source", "path", "byte_size"])
        found = manifest.filter(pc.is_in(manifest["image_id"], ids)).to_pylist()
        places |= {place["image_id"]: place for place in found}
    rows = [(places[row["image_id"]], row["error"]) for row in failed if row["image_id"] in places]
    return [
        {"source": place["source"], "path": place["path"], "error": error, "byte_size": place["byte_size"]}
        for place, error in rows
    ]


def _read_failed(lake: Lake, shard: str, columns: list[str]) -> pa.Table | None:
    """Read columns of the failed rows of an images table; None if there is no table."""
    path = lake.images_path(shard)
    if not exists(path):
        return None
    table = lake.read_table(path, [*columns, "status"])
    return table.filter(pc.equal(table["status"], "failed"))
