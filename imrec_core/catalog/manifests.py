"""Scan the sources; say what is new, changed and gone, and which shard each image belongs to.

Stat only: no file is opened here. An image keeps its shard for life; new ones fill the last shard of their
source and then open another, so a new folder leaves the old shards alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from imrec_core.catalog.scan import scan_source
from imrec_core.errors import BadSource, LakeError
from imrec_core.lake.lake import Lake, number_of, source_of
from imrec_core.lake.schemas import CATALOG

if TYPE_CHECKING:
    pass


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


def shard_version(table: pa.Table) -> str:
    """Hash of the manifest's ids, sizes and times: what decides whether a shard's tables are stale."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("image_id", "byte_size", "mtime_ns"):
        digest.update("\n".join(map(str, table.column(name).to_pylist())).encode() + b"\0")
    return digest.hexdigest()


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
