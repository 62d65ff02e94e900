"""Sudden losses of images, and tables of what was known of them, kept for some days.

A scan cannot tell images that were deleted from those of a disk inside a source that is not mounted. Both are removed
from search. After a sudden loss the rows and vectors of the lost images are kept in tables of their own, so that
nothing is decoded again if files with the same content return.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.catalog.manifests import CatalogDiff, ShardManifest
from imrec_core.errors import MissingTable, SchemaMismatch
from imrec_core.extraction.kept_shards import KEPT_PREFIX, kept_shards
from imrec_core.lake.lake import Lake, made_from_of, source_of
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

_LEAST = 20  # images; the loss of no more is never sudden
_SHARE = 0.25  # of a source; the loss of more at once is sudden
_TIME = "%Y%m%dT%H%M%S"

_COLUMNS = ["image_id", "path", "byte_size", "mtime_ns"]


@dataclass(frozen=True)
class Loss:
    """Images of a source that are gone at once.

    Attributes:
        known: Number of images of the source before.
        ids: Ids of the lost images by shard. Files that were renamed or moved are no loss.
        folder: The topmost folder that had all lost images and has no image now; empty if there is none.
        is_empty: Whether this folder is still there, without images.
        until: Last day on which what is known of them is kept; None if it is not kept.
    """

    source: str
    known: int
    ids: dict[str, pa.Array]
    folder: str
    is_empty: bool
    until: str | None

    @property
    def images(self) -> int:
        """Number of lost images."""
        return sum(map(len, self.ids.values()))

    def summary(self) -> str:
        """Format the loss as one line."""
        where = f", all below {self.folder}" if self.folder else ""
        doubt = ", which has no image now; is a disk not mounted?" if self.is_empty else ""
        kept = (
            f"their vectors are kept until {self.until} (keep_lost_days), and nothing is decoded again if they return"
            if self.until
            else "nothing is kept of them (keep_lost_days = 0)"
        )
        return f"source {self.source!r}: {self.images} of {self.known} images are gone at once{where}{doubt}; {kept}"


def find_losses(lake: Lake, diff: CatalogDiff) -> list[Loss]:
    """Find the sources that lose many images at once by a scan; call it before the scan is applied.

    A loss is sudden if it is of more than 20 images, and these are more than a quarter of the source or all images of
    a folder.
    """
    if diff.removed <= _LEAST:
        return []
    before = {m.shard: _read_manifest(lake, m.shard) for m in diff.manifests}
    changes = [(m, before[m.shard], pl.DataFrame(m.table.select(_COLUMNS))) for m in diff.manifests]
    new = pl.concat([now.join(was, on="image_id", how="anti") for _, was, now in changes])
    by_source: dict[str, dict[str, pl.DataFrame]] = {}
    for manifest, was, now in changes:
        # A file that was moved keeps its size and time.
        lost = was.join(now, on="image_id", how="anti").join(new, on=["byte_size", "mtime_ns"], how="anti")
        if len(lost):
            by_source.setdefault(source_of(manifest.shard), {})[manifest.shard] = lost
    losses = [_make_loss(lake, source, lost, diff.manifests) for source, lost in by_source.items()]
    is_intended = diff.excluded == diff.removed  # no folder is empty then
    return [replace(loss, is_empty=loss.is_empty and not is_intended) for loss in losses if loss is not None]


def _read_manifest(lake: Lake, shard: str) -> pl.DataFrame:
    path = lake.catalog_path(shard)
    return pl.DataFrame(lake.read_table(path, _COLUMNS)) if files.exists(path) else _empty_manifest()


def _empty_manifest() -> pl.DataFrame:
    return pl.DataFrame(schema={"image_id": pl.String, "path": pl.String, "byte_size": pl.Int64, "mtime_ns": pl.Int64})


def _make_loss(
    lake: Lake, source: str, lost: dict[str, pl.DataFrame], manifests: Sequence[ShardManifest]
) -> Loss | None:
    """Return the loss of a source; None if it is not sudden."""
    paths = pl.concat(lost.values())["path"].to_list()
    if len(paths) <= _LEAST:
        return None
    shards = [shard for shard in lake.shards() if source_of(shard) == source]
    known = sum(lake.row_count(lake.catalog_path(shard)) for shard in shards)
    folders = _emptied_folders(paths, _remaining(lake, source, shards, manifests))
    if len(paths) <= _SHARE * known and not folders:
        return None
    folder = next((name for name, count in folders.items() if count == len(paths)), "")
    root = lake.settings().sources[source]
    is_empty = bool(folder) and isinstance(root, Path) and (root / folder).is_dir()
    ids = {shard: pa.array(frame["image_id"].to_list(), pa.string()) for shard, frame in lost.items()}
    days = lake.settings().keep_lost_days
    until = f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}" if days else None
    return Loss(source, known, ids, folder, is_empty, until)


def _remaining(lake: Lake, source: str, shards: Iterable[str], manifests: Sequence[ShardManifest]) -> Iterator[str]:
    """Yield the paths of the images that a source has after the scan."""
    changed = {m.shard: m.table for m in manifests if source_of(m.shard) == source}
    for shard in shards:
        table = changed.pop(shard) if shard in changed else lake.read_table(lake.catalog_path(shard), ["path"])
        yield from table["path"].to_pylist()
    for table in changed.values():  # new shards
        yield from table["path"].to_pylist()


def _emptied_folders(lost: Iterable[str], remaining: Iterable[str]) -> dict[str, int]:
    """Count the lost images of each folder that lost more than 20 and has none now, outer folders first."""
    counts = Counter(folder for path in lost for folder in _folders(path))
    large = {folder for folder, count in counts.items() if count > _LEAST}
    for path in remaining:
        if not large:
            break
        large.difference_update(_folders(path))
    return {folder: counts[folder] for folder in sorted(large, key=lambda folder: (folder.count("/"), folder))}


def _folders(path: str) -> Iterator[str]:
    """Yield the folders of a relative path: `a` and `a/b` of `a/b/c.jpg`."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


# -- kept tables --------------------------------------------------------------------------------------------


def keep(lake: Lake, losses: Iterable[Loss]) -> None:
    """Keep the rows and vectors of lost images; call it before the scan is applied.

    Earlier kept tables of the same images are replaced, so that a disk that comes and goes is kept once.
    """
    now = datetime.now(UTC)
    for loss in losses:
        if loss.until is None:
            continue
        earlier = [key for key in kept_shards(lake) if source_of(_shard_of(key)) == loss.source]
        kept = {f"{KEPT_PREFIX}{now:{_TIME}}-{shard}": shard for shard in loss.ids}
        done = [_keep_shard(lake, shard, loss.ids[shard], key) for key, shard in kept.items()]
        ids = set().union(*(some.to_pylist() for some in done))
        for key in earlier:
            if key not in kept and _is_covered(lake, key, ids):
                _remove(lake, key)


def _is_covered(lake: Lake, key: str, ids: set[str]) -> bool:
    """Return whether a kept table has no other images than some, or is damaged."""
    try:
        return set(_read_ids(lake, key).to_pylist()) <= ids
    except SchemaMismatch:
        return True


def _keep_shard(lake: Lake, shard: str, ids: pa.Array, key: str) -> pa.Array:
    """Write the rows of some images of a shard as tables with another key; return the ids of those that have rows.

    The metadata stays: it says how the vectors were computed, and that all tables are of the same contents.
    """
    with lake.exclusive_lock(f"extract-{shard}"):
        for name in lake.layout.stored_features():
            _copy_rows(lake, lake.feature_path(name, shard), lake.feature_path(name, key), ids)
        has_rows = _copy_rows(lake, lake.images_path(shard), lake.images_path(key), ids)
    return _read_ids(lake, key) if has_rows else ids[:0]


def _read_ids(lake: Lake, key: str) -> pa.Array:
    ids = lake.read_table(lake.images_path(key), ["image_id"])["image_id"]
    return pa.concat_arrays([pa.array([], pa.string()), *ids.chunks])


def _copy_rows(lake: Lake, path: AnyPath, to: AnyPath, ids: pa.Array) -> bool:
    """Copy the rows of some images; return False if the table is missing, damaged or has none of them."""
    with suppress(MissingTable, SchemaMismatch):
        table = lake.read_table(path)
        rows = table.filter(pc.is_in(table["image_id"], value_set=ids))
        if len(rows):
            lake.write_table(to, rows, made_from_of(table) or {})
            return True
    return False


def remove_expired(lake: Lake) -> list[str]:
    """Remove kept tables that are older than `keep_lost_days`; return their keys."""
    expired = expired_shards(lake)
    for key in expired:
        _remove(lake, key)
    return expired


def expired_shards(lake: Lake) -> list[str]:
    """List the keys of the kept tables that are older than `keep_lost_days`."""
    oldest = datetime.now(UTC) - timedelta(days=lake.settings().keep_lost_days)
    return [key for key in kept_shards(lake) if _time_of(key) < oldest]


def remove_kept(lake: Lake, source: str) -> None:
    """Remove all kept tables of a source."""
    for key in kept_shards(lake):
        if source_of(_shard_of(key)) == source:
            _remove(lake, key)


def _remove(lake: Lake, key: str) -> None:
    files.remove(lake.images_path(key))
    for name in lake.layout.stored_features():
        files.remove(lake.feature_path(name, key))


def _shard_of(key: str) -> str:
    return key.removeprefix(KEPT_PREFIX).partition("-")[2]


def _time_of(key: str) -> datetime:
    """Return the time of a loss; the epoch if the name is of another form."""
    try:
        return datetime.strptime(key.removeprefix(KEPT_PREFIX).partition("-")[0], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
