"""Rows of a shard that are kept instead of computed again: those of images that are unchanged since extraction."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.errors import SchemaMismatch
from imrec_core.extraction.failures import failure_reason
from imrec_core.extraction.staleness import REREAD, WHICH_IMAGES, newly_accepted
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings

Expected = Mapping[str, Mapping[str, str]]
"""Metadata of up-to-date tables, by name of the feature."""


def rows_digest(ids: Iterable[str], pixels: str = "") -> str:
    """Return a digest of the ids of the images with vectors; the arguments are as for `contents_digest`."""
    return hashlib.blake2b("".join([pixels, *ids]).encode(), digest_size=8).hexdigest()


def contents_digest(rows: Iterable[Mapping[str, Any]], pixels: str = "") -> str:
    """Return a digest of the ids and content hashes of the images with vectors.

    Tables with equal digests match row by row.

    Args:
        pixels: See `staleness.PIXELS`.
    """
    digest = hashlib.blake2b(pixels.encode(), digest_size=8)
    for row in rows:
        if row["status"] == "ok":
            digest.update(f"{row['image_id']} {row['content_hash']}\n".encode())
    return digest.hexdigest()


def is_extendable(lake: Lake, shard: str, feature: Feature, expected: Mapping[str, str]) -> bool:
    """Check whether the vectors in a feature's table equal those that would be computed now for the same bytes.

    The images table records the content hash of each image. A feature's table of another run may be of other bytes,
    from a file that has changed since, even if no scan has found the change.
    """
    images = lake.made_from(lake.images_path(shard)) or {}
    found = lake.made_from(lake.feature_path(feature.name, shard)) or {}
    return _is_current(images) and is_reusable(images, found, expected)


def has_current_images(lake: Lake, shard: str) -> bool:
    """Check whether the images table of a shard, of whichever images, has the current version."""
    return _is_current(lake.made_from(lake.images_path(shard)) or {})


def _is_current(images: Mapping[str, str]) -> bool:
    return images.get("images_version") == str(schemas.IMAGES_VERSION)


def is_reusable(images: Mapping[str, str], found: Mapping[str, str], expected: Mapping[str, str]) -> bool:
    """Check whether a feature's table is of the same bytes as the images table, and was made as expected.

    Args:
        images: Metadata of the images table.
        found: Metadata of the feature's table.
        expected: Metadata of an up-to-date table of the feature.
    """
    how = {key: value for key, value in expected.items() if key not in WHICH_IMAGES}
    is_same = "contents" in images and found.get("contents") == images["contents"]
    return bool(how) and how.items() <= found.items() and is_same


class UnchangedRows:
    """Rows of a shard whose files are unchanged since extraction.

    Args:
        manifest: The current manifest of the shard.
        features: Features to compute. A row counts only if the tables of all of them can be extended.
        expected: Metadata of their up-to-date tables.
        retry: Whether to try failed images again, even if their files are unchanged.
        force: Whether to keep no row.

    Attributes:
        rows: Rows of the images table, by image id.
    """

    def __init__(
        self,
        lake: Lake,
        shard: str,
        manifest: pa.Table,
        features: Sequence[Feature],
        expected: Expected,
        settings: Settings,
        *,
        retry: bool = False,
        force: bool = False,
    ) -> None:
        self._lake, self._shard = lake, shard
        self.rows: dict[str, dict[str, Any]] = {}
        if force or not has_current_images(lake, shard):
            return
        if not all(is_extendable(lake, shard, f, expected[f.name]) for f in features):
            return
        made_from = lake.made_from(lake.images_path(shard)) or {}
        accepted, reread = newly_accepted(made_from, settings), int(made_from.get(REREAD, 0))
        places = {row["image_id"]: row for row in manifest.to_pylist()}
        for row in lake.read_table(lake.images_path(shard)).to_pylist():
            place = places.get(row["image_id"])
            if place is None or (row["byte_size"], row["mtime_ns"]) != (place["byte_size"], place["mtime_ns"]):
                continue
            if (place.get("reread_ns") or 0) > reread:
                continue  # the file was replaced, or is to be verified
            if row["status"] == "failed" and (retry or _may_succeed(row, accepted)):
                continue
            self.rows[row["image_id"]] = row

    def vectors(self, feature: Feature) -> pa.Table:
        """Read the rows of a feature's table that are kept."""
        if not self.rows:
            return schemas.empty_table(feature.schema)
        found = self._lake.read_table(self._lake.feature_path(feature.name, self._shard))
        return found.filter(pc.is_in(found["image_id"], pa.array(list(self.rows)))).cast(feature.schema)


def _may_succeed(row: Mapping[str, Any], accepted: Container[str]) -> bool:
    """Check whether a failed image with an unchanged file may be read now.

    A file that could not be read, such as of a share that was offline, has no content hash.

    Args:
        accepted: Reasons of failures that the settings no longer refuse.
    """
    return not row["content_hash"] or failure_reason(row["error"]) in accepted


def merge_rows(parts: Sequence[pa.Table], ids: pa.Array) -> pa.Table:
    """Concatenate tables of one schema, and order the rows by the given image ids.

    Raises:
        SchemaMismatch: An image has no row.
    """
    joined = pa.concat_tables(parts)
    at = pc.index_in(ids, value_set=joined["image_id"].combine_chunks())
    if at.null_count:  # another run wrote the tables while this one read them
        raise SchemaMismatch(
            f"{at.null_count} images have no vector because another run wrote the tables; run: imrec build"
        )
    return joined.take(at)
