"""Scan the sources; say what is new, changed and gone, and which shard each image belongs to.

Stat only: no file is opened here. An image keeps its shard for life; new ones fill the last shard of their
source and then open another, so a new folder leaves the old shards alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from imrec_core.errors import BadSource, LakeError, StorageFault
from imrec_core.lake.lake import Lake, number_of, source_of
from imrec_core.lake.schemas import CATALOG
from imrec_core.lake.settings import Settings, Source
from imrec_core.lake.storage import object_store
from imrec_core.lake.storage.files import AnyPath
from imrec_core.runtime.text import escaped

if TYPE_CHECKING:
    from upath import UPath

_HEIC = {"heic", "heif"}
_TOGETHER = 10_000  # files of a scan that are held as Python objects


@dataclass(frozen=True)
class ShardManifest:
    """The images of one shard as a scan found them."""

    shard: str
    table: pa.Table
    version: str


@dataclass(frozen=True)
class CatalogDiff:
    """What a scan found against what the manifests in the lake say.

    Attributes:
        manifests: The shards whose manifest changes, in the order in which they are to be made.
        new, changed, removed, unchanged: Counts of images.
        unavailable: Source name to reason, for sources that could not be listed; nothing of theirs changes.
    """

    manifests: tuple[ShardManifest, ...] = ()
    new: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    unavailable: tuple[tuple[str, str], ...] = ()

    def apply(self, lake: Lake) -> None:
        """Write the changed manifests. Whoever must hear of them is told first: then a crash loses no change."""
        for manifest in self.manifests:
            lake.write_table(
                lake.catalog_path(manifest.shard),
                manifest.table,
                {"shard": manifest.shard, "shard_version": manifest.version},
            )


def image_id(source: str, path: str) -> str:
    """Identity of a place: the first 64 bits of BLAKE2b over source name, NUL and relative POSIX path, in hex.

    `path` may hold surrogate escapes for bytes that are no UTF-8, as the `os` module gives them.
    """
    key = source.encode() + b"\0" + os.fsencode(path)
    return hashlib.blake2b(key, digest_size=64).hexdigest()[:16]


def is_escaped(source: str, path: str, identity: str) -> bool:
    """Whether a stored path is an escaped one, under which no file can be opened."""
    return image_id(source, path) != identity


def shard_version(table: pa.Table) -> str:
    """Hash of the manifest's ids, sizes and times: what decides whether a shard's tables are stale."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("image_id", "byte_size", "mtime_ns"):
        digest.update("\n".join(map(str, table.column(name).to_pylist())).encode() + b"\0")
    return digest.hexdigest()


def scan_source(source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> pl.DataFrame:
    """All image files below a source's root, sorted by path; the columns of `tables.CATALOG`.

    Links to folders are followed until they lead back to a folder they came from. `leave_out` is a folder that
    is not entered (the lake itself, where it lies among the pictures).

    Raises:
        BadSource: The root is missing, no folder, or cannot be listed.
    """
    found = (
        (image_id(source.name, path), source.name, escaped(path), size, mtime_ns)
        for path, size, mtime_ns in _image_files(source, settings, leave_out)
    )
    schema = pl.DataFrame(CATALOG.empty_table()).schema
    frames = [pl.DataFrame(schema=schema)]
    while some := list(itertools.islice(found, _TOGETHER)):  # as Python tuples they take five times the room
        frames.append(pl.DataFrame(some, schema=schema, orient="row"))
    return pl.concat(frames).sort("path", "image_id")


def require_image(source: Source, settings: Settings, *, leave_out: AnyPath | None = None) -> None:
    """Refuse a source without a single image file; looks no further than the first.

    Raises:
        BadSource: As `scan_source`, or there is no image.
    """
    if next(_image_files(source, settings, leave_out), None) is None:
        endings = ", ".join(sorted(_wanted_extensions(settings)))
        raise BadSource(f"source {source.name!r}: {source.root} holds no image (looked for {endings})")


def find_images(folder: Path, settings: Settings) -> list[Path]:
    """All image files below a folder that is no source, as a scan takes them; sorted.

    Raises:
        BadSource: It is missing, no folder, or cannot be listed.
    """
    return sorted(folder / path for path, _, _ in _image_files(Source("", folder), settings, None))


def _image_files(source: Source, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """Relative path, size and mtime of each file that is to be taken."""
    if isinstance(source.root, Path) and not source.root.is_dir():
        found = "is a file" if source.root.exists() else "does not exist"
        raise BadSource(f"source {source.name!r}: {source.root} {found}; give a folder with pictures")
    wanted = _wanted_extensions(settings)
    try:
        for path, size, mtime_ns in _walk(source.root, settings, leave_out):
            if "*" in wanted or os.path.splitext(path)[1][1:].lower() in wanted:
                yield path, size, mtime_ns
    except OSError as error:
        raise BadSource(f"source {source.name!r}: cannot list {error.filename}: {error.strerror}") from error
    except StorageFault as error:
        raise BadSource(f"source {source.name!r}: cannot be listed: {error}") from error


def _wanted_extensions(settings: Settings) -> set[str]:
    wanted = {e.lower().lstrip(".") for e in settings.extensions}
    return wanted if importlib.util.find_spec("pillow_heif") else wanted - _HEIC


def _walk(root: AnyPath, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """Relative POSIX path, size and mtime of every file below `root`."""
    return _walk_disk(root, settings, leave_out) if isinstance(root, Path) else _walk_objects(root, settings, leave_out)


def _walk_disk(root: Path, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    stack: list[tuple[str, str, tuple[tuple[int, int], ...]]] = [(str(root), "", ())]
    while stack:
        folder, prefix, above = stack.pop()
        stat = os.stat(folder)
        here = (stat.st_dev, stat.st_ino)
        if here in above or (leave_out and folder == str(leave_out)):
            continue  # a link that leads back up, or the lake
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir():
                        if settings.hidden or not entry.name.startswith("."):
                            stack.append((entry.path, f"{prefix}{entry.name}/", (*above, here)))
                    elif entry.is_file():
                        status = entry.stat()
                        yield prefix + entry.name, status.st_size, status.st_mtime_ns
                    elif entry.is_symlink():  # a link to nothing is listed, and fails when it is read
                        status = entry.stat(follow_symlinks=False)
                        yield prefix + entry.name, status.st_size, status.st_mtime_ns
                except FileNotFoundError:
                    continue  # gone since the folder was listed


def _walk_objects(root: UPath, settings: Settings, leave_out: AnyPath | None) -> Iterator[tuple[str, int, int]]:
    """As `_walk` of a prefix of an object store. fsspec's own walk passes over folders that it fails to list."""
    stack = [(root, "")]
    while stack:
        folder, prefix = stack.pop()
        if str(folder) == str(leave_out):
            continue
        for entry in object_store.listing(folder):
            name = object_store.name_of(entry)
            if entry["type"] != "directory":
                yield prefix + name, object_store.size_of(entry), object_store.time_of(entry)
            elif settings.hidden or not name.startswith("."):
                stack.append((folder / name, f"{prefix}{name}/"))


def diff(lake: Lake, sources: tuple[str, ...] | None = None) -> CatalogDiff:
    """Scan the sources (default: all of `lake.toml`) and compare them with the manifests.

    A source that cannot be listed, or that held images and now holds none, is reported as unavailable and keeps
    its manifests: a disk that is not mounted must not look like a folder that was emptied.

    Raises:
        LakeError: Two files have the same `image_id`.
    """
    settings = lake.settings()
    total = CatalogDiff()
    for name in sources if sources is not None else tuple(settings.sources):
        known = _known(lake, name)
        try:
            found = scan_source(settings.source(name), settings, leave_out=lake.root)
            if found.is_empty() and not known.is_empty():
                raise BadSource(
                    f"source {name!r}: {settings.sources[name]} held {len(known)} images and holds none now; "
                    "if that is meant, remove the source from lake.toml"
                )
        except BadSource as error:
            total = _joined(total, CatalogDiff(unavailable=((name, str(error)),)))
            continue
        last = max((number_of(s) for s in lake.shards() if source_of(s) == name), default=0)
        total = _joined(total, _compare(name, found, known, last, settings.shard_size))
    return total


def _known(lake: Lake, source: str) -> pl.DataFrame:
    """The source's images as its manifests have them, with their `shard`; not where they are, which `image_id` says."""
    shards = [shard for shard in lake.shards() if source_of(shard) == source]
    columns = ["image_id", "byte_size", "mtime_ns"]
    frames = [
        pl.DataFrame(lake.read_table(lake.catalog_path(shard), columns)).with_columns(shard=pl.lit(shard))
        for shard in shards
    ]
    schema = {name: pl.DataFrame(CATALOG.empty_table()).schema[name] for name in columns}
    return pl.concat(frames) if frames else pl.DataFrame(schema={**schema, "shard": pl.String()})


def _compare(source: str, found: pl.DataFrame, known: pl.DataFrame, last: int, shard_size: int) -> CatalogDiff:
    _refuse_collisions(found)
    was = known.select("image_id", "shard", size_was=pl.col("byte_size"), time_was=pl.col("mtime_ns"))
    joined = found.join(was, on="image_id", how="left", maintain_order="left")
    is_new = pl.col("shard").is_null()
    is_same = (pl.col("byte_size") == pl.col("size_was")) & (pl.col("mtime_ns") == pl.col("time_was"))
    changed = joined.filter(~is_new & ~is_same)["shard"]
    kept = joined["shard"].drop_nulls()
    gone = known if len(kept) < len(known) else known.clear()  # else each of them was found
    removed = gone.join(found.select("image_id"), on="image_id", how="anti")["shard"]
    new = _assign(source, joined.filter(is_new).select(found.columns), kept, last, shard_size)
    manifests = []
    for shard in sorted({*changed, *removed, *new["shard"]}):
        old = joined.filter(pl.col("shard") == shard).select(found.columns)
        rows = pl.concat([old, new.filter(pl.col("shard") == shard).drop("shard")]).sort("path", "image_id")
        table = rows.to_arrow().cast(CATALOG)
        manifests.append(ShardManifest(shard, table, shard_version(table)))
    return CatalogDiff(tuple(manifests), len(new), len(changed), len(removed), len(kept) - len(changed))


def _assign(source: str, new: pl.DataFrame, kept: pl.Series, last: int, shard_size: int) -> pl.DataFrame:
    """New images with the shard each of them goes to: first the room in the last one, then new ones.

    Args:
        kept: The shards of the others.
    """
    used = int((kept == f"{source}-{last:04d}").sum())
    room = max(shard_size - used, 0)
    position = pl.int_range(pl.len(), dtype=pl.Int64)
    number = pl.when(position < room).then(last).otherwise(last + 1 + (position - room) // shard_size)
    return new.with_columns(shard=pl.format(source + "-{}", number.cast(pl.String).str.zfill(4)))


def _refuse_collisions(found: pl.DataFrame) -> None:
    twice = found.filter(pl.col("image_id").is_duplicated())
    if len(twice):
        paths = ", ".join(twice["path"].to_list()[:2])
        raise LakeError(f"two files have the same image_id {twice['image_id'][0]}: {paths}; rename one of them")


def _joined(a: CatalogDiff, b: CatalogDiff) -> CatalogDiff:
    return CatalogDiff(
        a.manifests + b.manifests,
        a.new + b.new,
        a.changed + b.changed,
        a.removed + b.removed,
        a.unchanged + b.unchanged,
        a.unavailable + b.unavailable,
    )


def update(lake: Lake) -> CatalogDiff:
    """Scan all sources and write the manifests that changed."""
    with lake.alone("catalog"):
        found = diff(lake)
        found.apply(lake)
    return found
