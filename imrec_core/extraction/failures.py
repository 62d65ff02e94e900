"""Images that could not be read or decoded, as the images tables record them: which, how many, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.catalog import scan_report
from imrec_core.extraction.failure_kinds import kind_of
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import exists

_PLACE = ["image_id", "source", "path", "byte_size", "mtime_ns"]


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


@dataclass(frozen=True)
class FailedFile:
    """A file or folder that could not be read or decoded.

    Attributes:
        image_id: None for a folder or another entry that the scan could not read.
        kind: Key of its kind in `failure_kinds.KINDS`.
        byte_size, mtime_ns: Size and modification time by the manifest; None for an entry without an id.
    """

    image_id: str | None
    source: str
    path: str
    kind: str
    error: str
    byte_size: int | None
    mtime_ns: int | None


def list_failures(lake: Lake) -> list[dict[str, Any]]:
    """List what could not be read: source, path, error, byte_size; sorted by source and path.

    These are the failed images that a manifest lists, and the folders and other entries that the last scan could not
    read, without a size. An image that a scan no longer found is left out, even while the images table of its shard
    still records it.
    """
    return [
        {"source": one.source, "path": one.path, "error": one.error, "byte_size": one.byte_size}
        for one in list_failed_files(lake)
    ]


def list_failed_files(lake: Lake) -> list[FailedFile]:
    """List what could not be read, as `list_failures`, with ids and kinds."""
    return sorted([*_failed_images(lake), *_unreadable_entries(lake)], key=lambda one: (one.source, one.path))


def _unreadable_entries(lake: Lake) -> Iterator[FailedFile]:
    for source in lake.settings().sources:
        for failure in scan_report.load(lake, source).failures:
            kind = kind_of(failure_reason(failure.error), was_read=False)
            yield FailedFile(None, source, failure.path, kind, failure.error, None, None)


def _failed_images(lake: Lake) -> list[FailedFile]:
    shards = lake.live_shards()
    tables = (_read_failed(lake, shard, ["image_id", "error", "content_hash"]) for shard in shards)
    failed = [row for table in tables if table for row in table.to_pylist()]
    if not failed:
        return []
    ids = pa.array({row["image_id"] for row in failed}, pa.string())
    places: dict[str, dict[str, Any]] = {}
    for shard in shards:
        manifest = lake.read_table(lake.catalog_path(shard), _PLACE)
        found = manifest.filter(pc.is_in(manifest["image_id"], ids)).to_pylist()
        places |= {place["image_id"]: place for place in found}
    return [
        FailedFile(**places[row["image_id"]], kind=_kind_of(row), error=row["error"])
        for row in failed
        if row["image_id"] in places
    ]


def _kind_of(row: Mapping[str, Any]) -> str:
    return kind_of(failure_reason(row["error"]), was_read=bool(row["content_hash"]))


def _read_failed(lake: Lake, shard: str, columns: list[str]) -> pa.Table | None:
    """Read columns of the failed rows of an images table; None if there is no table."""
    path = lake.images_path(shard)
    if not exists(path):
        return None
    table = lake.read_table(path, [*columns, "status"])
    return table.filter(pc.equal(table["status"], "failed"))
