"""Shard manifests: comparison with a scan of the sources, and assignment of new images to shards.

No file is opened here. An image keeps its shard; new images fill the last shard of their source and then new shards,
so that other shards stay as they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from imrec_core.catalog.scan import scan_source
from imrec_core.errors import BadSource, LakeError
from imrec_core.lake.lake import Lake, number_of, source_of
from imrec_core.lake.schemas import CATALOG


@dataclass(frozen=True)
class ShardManifest:
    """The images of one shard by a scan."""

    shard: str
    table: pa.Table
    version: str


@dataclass(frozen=True)
class CatalogDiff:
    """Difference between a scan and the manifests in the lake.

    Attributes:
        manifests: New manifests of the shards that change, sorted by shard.
        new, changed, removed, unchanged: Numbers of images.
        unavailable: Names of the sources that could not be listed, with the reason. Their manifests do not change.
    """

    manifests: tuple[ShardManifest, ...] = ()
    new: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    unavailable: tuple[tuple[str, str], ...] = ()

    def apply(self, lake: Lake) -> None:
        """Write the changed manifests. Report them to others before, so that a crash loses no change."""
        for manifest in self.manifests:
            lake.write_table(
                lake.catalog_path(manifest.shard),
                manifest.table,
                {"shard": manifest.shard, "shard_version": manifest.version},
            )


def shard_version(table: pa.Table) -> str:
    """Hash the ids, sizes and times of a manifest. A new hash makes the tables of the shard stale."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("image_id", "byte_size", "mtime_ns"):
        digest.update("\n".join(map(str, table.column(name).to_pylist())).encode() + b"\0")
    return digest.hexdigest()


def diff(lake: Lake, sources: tuple[str, ...] | None = None) -> CatalogDiff:
    """Scan sources and compare them with the manifests.

    A source that cannot be listed, or that held images and now holds none, is unavailable and keeps its manifests: a
    disk that is not mounted must not look like an emptied folder.

    Args:
        sources: Names of sources; default: all in `lake.toml`.

    Raises:
        LakeError: Two files have the same `image_id`.
    """
    settings = lake.settings()
    total = CatalogDiff()
    for name in sources if sources is not None else tuple(settings.sources):
        known = _read_manifests(lake, name)
        try:
            found = scan_source(settings.source(name), settings, leave_out=lake.root)
            if found.is_empty() and not known.is_empty():
                raise BadSource(
                    f"source {name!r}: {settings.sources[name]} held {len(known)} images and holds none now; "
                    "if that is meant, remove the source from lake.toml"
                )
        except BadSource as error:
            total = _merge(total, CatalogDiff(unavailable=((name, str(error)),)))
            continue
        last = max((number_of(s) for s in lake.shards() if source_of(s) == name), default=0)
        total = _merge(total, _compare(name, found, known, last, settings.shard_size))
    return total


def _read_manifests(lake: Lake, source: str) -> pl.DataFrame:
    """Read the images of a source from its manifests, with their `shard` and without paths."""
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
    gone = known if len(kept) < len(known) else known.clear()  # otherwise the scan found all of them
    removed = gone.join(found.select("image_id"), on="image_id", how="anti")["shard"]
    new = _assign_shards(source, joined.filter(is_new).select(found.columns), kept, last, shard_size)
    manifests = []
    for shard in sorted({*changed, *removed, *new["shard"]}):
        old = joined.filter(pl.col("shard") == shard).select(found.columns)
        rows = pl.concat([old, new.filter(pl.col("shard") == shard).drop("shard")]).sort("path", "image_id")
        table = rows.to_arrow().cast(CATALOG)
        manifests.append(ShardManifest(shard, table, shard_version(table)))
    return CatalogDiff(tuple(manifests), len(new), len(changed), len(removed), len(kept) - len(changed))


def _assign_shards(source: str, new: pl.DataFrame, kept: pl.Series, last: int, shard_size: int) -> pl.DataFrame:
    """Append the column `shard` to new images: they fill the last shard, then new ones.

    Args:
        kept: Shards of the images that stay.
        last: Number of the last shard.
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


def _merge(a: CatalogDiff, b: CatalogDiff) -> CatalogDiff:
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
    with lake.exclusive_lock("catalog"):
        found = diff(lake)
        found.apply(lake)
    return found
