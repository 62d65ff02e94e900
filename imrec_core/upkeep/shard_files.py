"""The tables of a shard: under another name of its source, and their removal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.catalog.former_ids import renamed_ids
from imrec_core.catalog.manifests import shard_version
from imrec_core.errors import MissingTable, SchemaMismatch
from imrec_core.extraction.incremental import contents_digest, rows_digest
from imrec_core.extraction.staleness import PIXELS, actual_fingerprint
from imrec_core.features import known_features
from imrec_core.lake.lake import Lake, made_from_of, number_of, source_of
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

_Renamed = Mapping[str, Mapping[str, str]]
"""For metadata keys of a table: the new value of each value that follows from the name of the source."""


def table_paths(lake: Lake, shard: str) -> Iterator[AnyPath]:
    """Yield the paths of all tables that a shard may have, that of the catalog first."""
    layout = lake.layout
    yield layout.catalog_path(shard)
    yield layout.images_path(shard)
    yield from (layout.feature_path(name, shard) for name in layout.stored_features())


def remove_tables(lake: Lake, shard: str) -> None:
    """Remove all tables of a shard, that of the catalog first: without it the others are not used."""
    for path in table_paths(lake, shard):
        files.remove(path)


def copy_renamed(lake: Lake, shard: str, name: str) -> int:
    """Write the tables of a shard as those of a source with another name; no image is read.

    Tables that are up to date stay so. Damaged ones are left out, and made again by the next build. The manifest is
    written last, so that an incomplete copy is not used.

    Returns:
        The number of images.

    Raises:
        SchemaMismatch: The manifest is damaged.
        LakeError: An id of the manifest is not that of its path.
    """
    new_shard = f"{name}-{number_of(shard):04d}"
    manifest = lake.read_table(lake.catalog_path(shard))
    ids = renamed_ids(manifest, source_of(shard), name)
    renamed = _Ids(manifest["image_id"], ids)
    new_manifest = manifest.set_column(0, "image_id", ids)
    new_manifest = new_manifest.set_column(1, "source", pa.repeat(name, len(manifest)))
    version = shard_version(new_manifest)
    old_version = (made_from_of(manifest) or {}).get("shard_version", "")
    changes: dict[str, Mapping[str, str]] = {"shard": {shard: new_shard}, "shard_version": {old_version: version}}
    changes |= _copy_images(lake, shard, new_shard, renamed, changes)
    _copy_features(lake, shard, new_shard, renamed, changes)
    made_from = {"shard": new_shard, "shard_version": version}
    lake.write_table(lake.catalog_path(new_shard), new_manifest, made_from)
    return len(manifest)


class _Ids:
    """New ids of images. Ids of images that the manifest no longer lists stay as they are."""

    def __init__(self, old: pa.ChunkedArray, new: pa.Array) -> None:
        self._old, self._new = old.combine_chunks(), new

    def applied(self, table: pa.Table) -> pa.Table:
        """Return a table with its first column, the ids, replaced."""
        ids = self._new.take(pc.index_in(table["image_id"], value_set=self._old))
        return table.set_column(0, "image_id", pc.coalesce(ids, table["image_id"]))


def _copy_images(lake: Lake, shard: str, new_shard: str, ids: _Ids, changes: _Renamed) -> _Renamed:
    """Copy the images table; return the changes of the digests that tables of features share with it."""
    table = _read(lake, lake.images_path(shard))
    if table is None:
        return {}
    found, new = made_from_of(table) or {}, ids.applied(table)
    rows = new.select(["image_id", "content_hash", "status"]).to_pylist()
    pixels = found.get(PIXELS, "")
    digests = {
        "rows": rows_digest((row["image_id"] for row in rows if row["status"] == "ok"), pixels),
        "contents": contents_digest(rows, pixels),
    }
    of_table = {key: {found[key]: value} for key, value in digests.items() if key in found}
    lake.write_table(lake.images_path(new_shard), new, _apply({**changes, **of_table}, found))
    return of_table


def _copy_features(lake: Lake, shard: str, new_shard: str, ids: _Ids, changes: _Renamed) -> None:
    """Copy the tables of all features, bases before the features that are derived from them."""
    known = known_features(lake)
    for name in sorted(lake.layout.stored_features(), key=lambda name: known[name].depth if name in known else 0):
        table = _read(lake, lake.feature_path(name, shard))
        if table is None:
            continue
        found = made_from_of(table) or {}
        made_from = _apply(changes, found)
        feature = known.get(name)
        if feature is not None and feature.bases and found.get("bases") == actual_fingerprint(lake, shard, feature):
            made_from["bases"] = actual_fingerprint(lake, new_shard, feature)
        lake.write_table(lake.feature_path(name, new_shard), ids.applied(table), made_from)


def _apply(changes: _Renamed, made_from: Mapping[str, str]) -> dict[str, str]:
    """Replace the values of the old name; a value of an older state stays, so that the table is still stale."""
    return {key: changes.get(key, {}).get(value, value) for key, value in made_from.items()}


def _read(lake: Lake, path: AnyPath) -> pa.Table | None:
    """Read a table; None if it is missing or damaged."""
    with suppress(MissingTable, SchemaMismatch):
        return lake.read_table(path)
    return None
