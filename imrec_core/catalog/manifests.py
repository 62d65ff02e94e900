"""Shard manifests: comparison with a scan of the sources, and assignment of new images to shards.

No file is opened here. An image keeps its shard; new images fill the last shard of their source and then new shards,
so that other shards stay as they are.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import polars as pl
import pyarrow as pa

from imrec_core.catalog import retry_marks
from imrec_core.catalog.exclude import Exclusions
from imrec_core.catalog.file_kinds import BEYOND_LIMIT
from imrec_core.catalog.scan import SourceScan, up_to_limit
from imrec_core.catalog.scan_report import EntryFailure, ScanReport, load
from imrec_core.errors import BadSource, DamagedTable, LakeError, MissingTable
from imrec_core.lake.lake import Lake, number_of, source_of
from imrec_core.lake.overlaps import require_disjoint
from imrec_core.lake.schemas import MANIFEST, OF_MANIFEST, empty_table
from imrec_core.lake.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardManifest:
    """The images of one shard by a scan.

    Attributes:
        is_changed: Whether an image is new, changed, removed or to be read again. Otherwise only inodes or change times
            differ from the manifest before, and the tables of the shard stay up to date.
    """

    shard: str
    table: pa.Table
    version: str
    is_changed: bool = True


@dataclass(frozen=True)
class CatalogDiff:
    """Difference between a scan and the manifests in the lake.

    Attributes:
        manifests: New manifests, sorted by shard.
        new, changed, removed, unchanged: Numbers of images.
        reread: Number of the unchanged images that are read again, to compare their content.
        excluded: Number of the removed images that are there, but left out by `exclude`, its defaults, or `limit`.
        unavailable: Names of the sources that could not be listed, with the reason. Their manifests do not change.
        retried: Images that were marked to be read again, of sources that were scanned; see `retry_marks`.
        reports: What the scans found besides images, by source.
    """

    manifests: tuple[ShardManifest, ...] = ()
    new: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    reread: int = 0
    excluded: int = 0
    unavailable: tuple[tuple[str, str], ...] = ()
    retried: frozenset[str] = frozenset()
    reports: Mapping[str, ScanReport] = field(default_factory=dict, compare=False)

    @property
    def changed_shards(self) -> list[str]:
        """Keys of the shards whose tables become stale."""
        return [manifest.shard for manifest in self.manifests if manifest.is_changed]

    def apply(self, lake: Lake) -> None:
        """Write the changed manifests and the reports.

        Report the manifests to others before, so that a crash loses no change.
        """
        for source, report in self.reports.items():
            report.save(lake, source)
        for manifest in self.manifests:
            lake.write_table(
                lake.catalog_path(manifest.shard),
                manifest.table,
                {"shard": manifest.shard, "shard_version": manifest.version},
            )
        if self.retried:
            retry_marks.change(lake, self.retried, remove=True)


def shard_version(table: pa.Table) -> str:
    """Hash the ids, sizes and times of a manifest. A new hash makes the tables of the shard stale.

    Inodes and change times are left out: if they show a change, `reread_ns` says so.
    """
    digest = hashlib.blake2b(digest_size=8)
    names = ["image_id", "byte_size", "mtime_ns"]
    if "reread_ns" in table.column_names and table["reread_ns"].null_count < len(table):
        names.append("reread_ns")
    for name in names:
        digest.update("\n".join(map(str, table.column(name).to_pylist())).encode() + b"\0")
    return digest.hexdigest()


def diff(lake: Lake, sources: tuple[str, ...] | None = None, *, verify: bool = False) -> CatalogDiff:
    """Scan sources and compare them with the manifests.

    A source that cannot be listed, or that held images and now holds none, is unavailable and keeps its manifests: a
    disk that is not mounted must not look like an emptied folder.

    Args:
        sources: Names of sources; default: all in `lake.toml`.
        verify: Whether every file is to be read again, although its size and times are the same.

    Raises:
        LakeError: Two files have the same `image_id`.
        BadSettings: Two sources overlap.
    """
    settings = lake.settings()
    require_disjoint(settings.sources)
    total, marked = CatalogDiff(), retry_marks.load(lake)
    for name in sources if sources is not None else tuple(settings.sources):
        try:
            total = _merge(total, _diff_source(lake, settings, name, marked, verify))
        except BadSource as error:
            total = _merge(total, CatalogDiff(unavailable=((name, str(error)),)))
    return total


def _diff_source(lake: Lake, settings: Settings, name: str, marked: frozenset[str], verify: bool) -> CatalogDiff:
    """Scan one source and compare it with its manifests.

    Raises:
        BadSource: The source is unavailable.
    """
    known = _read_manifests(lake, name)
    scan = SourceScan.of(settings.source(name), settings, leave_out=lake.root)
    failures = _failures(lake, name, scan)
    kept = _unreadable_images(lake, name, scan, failures)
    there = pl.concat([scan.images, kept]).sort("path", "image_id") if len(kept) else scan.images
    found = up_to_limit(there, settings)
    beyond = there.slice(len(found))
    last = max((number_of(s) for s in lake.known_shards() if source_of(s) == name), default=0)
    is_same_root = load(lake, name).root_inode == scan.report.root_inode  # else every inode and change time is another
    again = pl.lit(verify) | pl.col("image_id").is_in(list(marked))
    states = _compare_states(found, known, kept["image_id"], is_comparable=is_same_root, again=again)
    compared = _compare(name, states, known, last, settings.shard_size)
    excluded = _count_excluded(lake, name, settings, found, beyond) if compared.removed else 0
    if found.is_empty() and excluded < len(known):
        raise BadSource(
            f"source {name!r}: {settings.sources[name]} held {len(known)} images and holds none now; "
            f"if that is meant, run: imrec sources drop {name}"
        )
    not_read = {**scan.report.not_read, **({BEYOND_LIMIT: len(beyond)} if len(beyond) else {})}
    report = replace(scan.report, failures=failures, not_read=not_read)
    retried = marked.intersection(known["image_id"])
    return replace(compared, excluded=excluded, retried=retried, reports={name: report})


def _failures(lake: Lake, source: str, scan: SourceScan) -> tuple[EntryFailure, ...]:
    """Return the failures of a scan; a broken link counts only if images were known below it."""
    failures = scan.report.failures
    if not any(failure.is_link for failure in failures):
        return failures
    paths = _read_known(lake, source)["path"]
    return tuple(f for f in failures if not f.is_link or paths.str.starts_with(f"{f.path}/").any())


def _unreadable_images(lake: Lake, source: str, scan: SourceScan, failures: Sequence[EntryFailure]) -> pl.DataFrame:
    """Return the known images that the scan could not look at, as their manifests have them.

    They are at or below an entry that cannot be read, or of a format whose optional library is not installed. They may
    still be there, so they are not removed.
    """
    if not failures and scan.unsupported.is_empty():
        return scan.unsupported
    known = _read_known(lake, source)
    is_kept = pl.col("image_id").is_in(scan.unsupported["image_id"].implode())
    if failures:
        unread = {failure.path for failure in failures}
        below = known["path"].map_elements(lambda path: _is_at_or_below(path, unread), return_dtype=pl.Boolean)
        is_kept |= below
    return known.filter(is_kept).join(scan.images.select("image_id"), on="image_id", how="anti")


def _is_at_or_below(path: str, folders: Container[str]) -> bool:
    """Return whether a path is one of some folders, or inside one."""
    while path:
        if path in folders:
            return True
        path = path.rpartition("/")[0]
    return False


def _count_excluded(lake: Lake, source: str, settings: Settings, found: pl.DataFrame, beyond: pl.DataFrame) -> int:
    """Count the images that are no longer found because the settings leave them out."""
    gone = _read_known(lake, source).join(found.select("image_id"), on="image_id", how="anti")
    by_limit = gone.join(beyond.select("image_id"), on="image_id", how="semi")
    return len(by_limit) + sum(map(Exclusions(settings.exclude).cover, gone["path"].to_list()))


def _read_known(lake: Lake, source: str) -> pl.DataFrame:
    """Read the images of a source from its manifests, with the columns of `schemas.MANIFEST`."""
    frames = [pl.DataFrame(empty_table(MANIFEST))]
    for shard in (shard for shard in lake.shards() if source_of(shard) == source):
        with suppress(DamagedTable, MissingTable):  # the images table stands in for it, without paths
            frames.append(pl.DataFrame(lake.read_table(lake.catalog_path(shard))))
    return pl.concat(frames, how="diagonal")


def _read_manifests(lake: Lake, source: str) -> pl.DataFrame:
    """Read the images of a source from its manifests, with their `shard` and without paths.

    The images table stands in for a manifest that is damaged or missing, so that its images keep their shard. Their
    size is -1, and so the manifest of the shard counts as changed and is written again.
    """
    empty = pl.DataFrame(empty_table(MANIFEST)).drop("source", "path")
    frames = [empty.with_columns(shard=pl.lit(""))]
    for shard in (shard for shard in lake.known_shards() if source_of(shard) == source):
        try:
            table = lake.read_table(lake.catalog_path(shard), MANIFEST.names, optional=OF_MANIFEST)
            known = pl.DataFrame(table).drop("source", "path")
        except (DamagedTable, MissingTable) as error:
            log.warning("%s; until its source is scanned, shard %s is left out", error, shard)
            known = _restored(lake, shard)
        frames.append(known.with_columns(shard=pl.lit(shard)))
    return pl.concat(frames, how="diagonal")


def _restored(lake: Lake, shard: str) -> pl.DataFrame:
    """Return the images of a shard by its images table, with sizes that no file has; none if it has no such table."""
    try:
        images = pl.DataFrame(lake.read_table(lake.images_path(shard), ["image_id"]))
    except (DamagedTable, MissingTable):
        return pl.DataFrame({"image_id": pl.Series([], dtype=pl.String)})
    unknown = pl.lit(-1, pl.Int64)
    return images.with_columns(byte_size=unknown, mtime_ns=unknown)


def _compare_states(
    found: pl.DataFrame, known: pl.DataFrame, kept: pl.Series, *, is_comparable: bool, again: pl.Expr
) -> pl.DataFrame:
    """Compare the files of a scan with the manifests.

    A file with the size and time that it had was replaced if it has another change time, or another inode. An inode
    only counts if the disk keeps them: some give other numbers at each mount.

    Args:
        kept: Ids of images that the scan could not look at. They are not read again.
        is_comparable: Whether inodes and change times are of the same disk.
        again: Whether to read a file again that is the same.

    Returns:
        The files of the scan in their order, with the new `reread_ns` and the columns `shard` (null for new files),
        `is_same` (size, time and, where they count, inode and change time), `has_other_state` (inode or change time
        differ from the manifest), and `is_read_again` (although size and time are the same).
    """
    states = ["byte_size", "mtime_ns", "inode", "ctime_ns"]
    was = known.select("image_id", "shard", "reread_ns", pl.col(states).name.suffix("_was"))
    joined = found.drop("reread_ns").join(was, on="image_id", how="left", maintain_order="left")
    same = {name: pl.col(name) == pl.col(f"{name}_was") for name in states}
    is_same = same["byte_size"] & same["mtime_ns"]
    has_other_ctime, has_other_inode = (same[name].not_().fill_null(False) for name in ("ctime_ns", "inode"))
    other_inodes = joined.filter(is_same & ~has_other_ctime).select(has_other_inode).to_series()
    keeps_inodes = 2 * int(other_inodes.sum()) <= len(other_inodes)
    is_replaced = has_other_ctime | has_other_inode if keeps_inodes else has_other_ctime
    is_replaced = is_replaced if is_comparable else pl.lit(False)
    is_kept = pl.col("image_id").is_in(kept.implode())
    joined = joined.with_columns(
        is_same=is_same & ~is_replaced,
        has_other_state=_differs("inode") | _differs("ctime_ns"),
        is_read_again=is_same & (is_replaced | again) & ~is_kept,
    )
    reread_ns = pl.when("is_read_again").then(pl.lit(time.time_ns())).otherwise("reread_ns").alias("reread_ns")
    return joined.with_columns(reread_ns).drop("^.*_was$")


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(f"{name}_was"))


def _compare(source: str, states: pl.DataFrame, known: pl.DataFrame, last: int, shard_size: int) -> CatalogDiff:
    """Make the manifests that change, by the `states` of `_compare_states` and the number of the last shard."""
    _refuse_collisions(states)
    columns = MANIFEST.names
    is_new = pl.col("shard").is_null()
    changed = states.filter(~is_new & ~pl.col("is_same"))["shard"]
    touched = states.filter(~is_new & pl.col("is_same") & (pl.col("is_read_again") | pl.col("has_other_state")))
    kept = states["shard"].drop_nulls()
    gone = known if len(kept) < len(known) else known.clear()  # otherwise the scan found all of them
    removed = gone.join(states.select("image_id"), on="image_id", how="anti")["shard"]
    new = _assign_shards(source, states.filter(is_new).select(columns), kept, last, shard_size)
    manifests = []
    is_changed = {*changed, *removed, *new["shard"], *touched.filter("is_read_again")["shard"]}
    for shard in sorted(is_changed.union(touched["shard"])):
        old = states.filter(pl.col("shard") == shard).select(columns)
        rows = pl.concat([old, new.filter(pl.col("shard") == shard).drop("shard")]).sort("path", "image_id")
        table = rows.to_arrow().cast(MANIFEST)
        manifests.append(ShardManifest(shard, table, shard_version(table), shard in is_changed))
    unchanged = len(kept) - len(changed)
    return CatalogDiff(
        tuple(manifests), len(new), len(changed), len(removed), unchanged, reread=int(touched["is_read_again"].sum())
    )


def _assign_shards(source: str, new: pl.DataFrame, kept: pl.Series, last: int, shard_size: int) -> pl.DataFrame:
    """Append the column `shard` to new images: they fill the last shard, then new ones; `kept` are those in use."""
    used = int((kept == f"{source}-{last:04d}").sum())
    room = max(shard_size - used, 0)
    position = pl.int_range(pl.len(), dtype=pl.Int64)
    number = pl.when(position < room).then(last).otherwise(last + 1 + (position - room) // shard_size)
    return new.with_columns(shard=pl.format(source + "-{}", number.cast(pl.String).str.zfill(4)))


def _refuse_collisions(found: pl.DataFrame) -> None:
    if found["image_id"].n_unique() == len(found):  # a quarter of the time of the filter
        return
    twice = found.filter(pl.col("image_id").is_duplicated())
    paths = ", ".join(twice["path"].to_list()[:2])
    raise LakeError(f"two files have the same image_id {twice['image_id'][0]}: {paths}; rename one of them")


def _merge(a: CatalogDiff, b: CatalogDiff) -> CatalogDiff:
    return CatalogDiff(
        a.manifests + b.manifests,
        a.new + b.new,
        a.changed + b.changed,
        a.removed + b.removed,
        a.unchanged + b.unchanged,
        a.reread + b.reread,
        a.excluded + b.excluded,
        a.unavailable + b.unavailable,
        a.retried | b.retried,
        {**a.reports, **b.reports},
    )


def update(lake: Lake, *, verify: bool = False) -> CatalogDiff:
    """Scan all sources and write the manifests that changed; see `diff`."""
    with lake.exclusive_lock("catalog"):
        found = diff(lake, verify=verify)
        found.apply(lake)
    return found
