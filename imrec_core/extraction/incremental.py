"""Rows of a shard that need not be computed again: those of images that are as they were when they were extracted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.errors import ImageTooLarge, SchemaMismatch
from imrec_core.extraction.staleness import WHICH_IMAGES
from imrec_core.features import Feature
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings

Expected = Mapping[str, Mapping[str, str]]
"""What the tables of features must say that they were made from, by name."""


def contents_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """A digest of which images have vectors and of what bytes; tables with the same one go together, row by row."""
    digest = hashlib.blake2b(digest_size=8)
    for row in rows:
        if row["status"] == "ok":
            digest.update(f"{row['image_id']} {row['content_hash']}\n".encode())
    return digest.hexdigest()


def can_be_extended(lake: Lake, shard: str, feature: Feature, expected: Mapping[str, str]) -> bool:
    """Whether vectors in a feature's table of a shard are as they would be computed now.

    The images table says what bytes an image had. A feature's table of another run may have seen others: a file that
    has changed since, whether or not a scan has noticed.
    """
    images = lake.made_from(lake.images_path(shard)) or {}
    found = lake.made_from(lake.feature_path(feature.name, shard)) or {}
    return _are_current(images) and is_reusable(images, found, expected)


def has_current_images(lake: Lake, shard: str) -> bool:
    """Whether the rows of a shard's images table, whichever they are, are as they would be made now."""
    return _are_current(lake.made_from(lake.images_path(shard)) or {})


def _are_current(images: Mapping[str, str]) -> bool:
    return images.get("images_version") == str(schemas.IMAGES_VERSION)


def is_reusable(images: Mapping[str, str], found: Mapping[str, str], expected: Mapping[str, str]) -> bool:
    """Whether a feature's table is of the same bytes as the images table, and made as is expected.

    Args:
        images, found: What the images table and the feature's table say that they were made from.
    """
    how = {key: value for key, value in expected.items() if key not in WHICH_IMAGES}
    is_same = "contents" in images and found.get("contents") == images["contents"]
    return bool(how) and how.items() <= found.items() and is_same


class UnchangedRows:
    """The rows of a shard whose files are as they were when they were described.

    Args:
        features: That are to be computed. All of them are there for each row, or none is of use.
        expected: What their tables must say.
        retry: Files that failed are tried again, even where they are as they were.

    Attributes:
        rows: Of the images table, by image id.
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
    ) -> None:
        self._lake, self._shard = lake, shard
        self.rows: dict[str, dict[str, Any]] = {}
        if not has_current_images(lake, shard):
            return
        if not all(can_be_extended(lake, shard, f, expected[f.name]) for f in features):
            return
        refused_above = (lake.made_from(lake.images_path(shard)) or {}).get("refused_above", settings.max_pixels)
        places = {row["image_id"]: row for row in manifest.to_pylist()}
        for row in lake.read_table(lake.images_path(shard)).to_pylist():
            place = places.get(row["image_id"])
            if place is None or (row["byte_size"], row["mtime_ns"]) != (place["byte_size"], place["mtime_ns"]):
                continue
            if row["status"] == "failed":
                # What could not even be read may be there again; too large is a question of the limit.
                is_too_large = str(row["error"]).startswith(ImageTooLarge.__name__)
                if retry or not row["content_hash"] or (is_too_large and int(refused_above) < settings.max_pixels):
                    continue
            self.rows[row["image_id"]] = row

    def vectors(self, feature: Feature) -> pa.Table:
        """The rows of a feature's table that stay."""
        if not self.rows:
            return feature.schema.empty_table()
        found = self._lake.read_table(self._lake.feature_path(feature.name, self._shard))
        return found.filter(pc.is_in(found["image_id"], pa.array(list(self.rows)))).cast(feature.schema)


def in_order(parts: Sequence[pa.Table], ids: pa.Array) -> pa.Table:
    """The rows of several tables with one schema as one, in the order of the ids."""
    joined = pa.concat_tables(parts)
    at = pc.index_in(ids, value_set=joined["image_id"].combine_chunks())
    if at.null_count:  # the tables were written by another run while this one read them
        raise SchemaMismatch(f"{at.null_count} images have no vector; another run was at it; run: imrec build")
    return joined.take(at)
