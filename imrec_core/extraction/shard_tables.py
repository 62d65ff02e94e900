"""Write the tables of one shard from kept rows, rows of copies, and rows computed by this run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.errors import ImageTooLarge, TruncatedImage
from imrec_core.extraction.content_cache import ContentMatches
from imrec_core.extraction.failures import failure_reason
from imrec_core.extraction.incremental import Expected, UnchangedRows, contents_digest, merge_rows, rows_digest
from imrec_core.extraction.read_ahead import Row
from imrec_core.extraction.staleness import PIXELS, REREAD, images_made_from, manifest_version
from imrec_core.features import Feature
from imrec_core.features.feature import Columns
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings

Computed: TypeAlias = tuple[NDArray[Any], Columns]
"""Vectors `(n, width)` of a feature, and its other columns."""


@dataclass(frozen=True)
class Manifest:
    """Manifest of a shard, the images that the last scan found."""

    shard: str
    version: str
    table: pa.Table

    @classmethod
    def read(cls, lake: Lake, shard: str) -> Manifest:
        """Read the manifest of a shard.

        Raises:
            MissingTable: The shard has no manifest.
        """
        version = manifest_version(lake, shard)  # before the table: a scan in between then makes the tables stale
        return cls(shard, version, lake.read_table(lake.catalog_path(shard)))

    def last_reread(self) -> int:
        """Return the last time at which a scan asked to read a file again; 0 if there is none."""
        if "reread_ns" not in self.table.column_names:
            return 0
        return pc.max(self.table["reread_ns"]).as_py() or 0


@dataclass(frozen=True)
class ShardTables:
    """Images table of a shard and tables of some features.

    Attributes:
        expected: Metadata of the table of each feature, by name.
        unchanged: Rows that are kept.
        copies: Images whose rows are copied from other images.
    """

    lake: Lake
    manifest: Manifest
    features: Sequence[Feature]
    expected: Expected
    unchanged: UnchangedRows
    copies: ContentMatches

    def rows(self, made: Sequence[Row]) -> list[Row]:
        """Return all rows of the images table, in the order of the manifest.

        Args:
            made: Rows that this run made; those of copies have only their own columns.
        """
        rows = self.unchanged.rows | {row["image_id"]: row for row in made}
        rows |= self.copies.rows(rows)
        return [rows[image_id] for image_id in self.manifest.table["image_id"].to_pylist()]

    def write(
        self, rows: Sequence[Row], made: Sequence[Row], vectors: Mapping[str, Sequence[Computed]], settings: Settings
    ) -> dict[str, int]:
        """Write all tables; the images table last, because its metadata covers the tables of the features.

        Args:
            rows: All rows of the images table.
            made: Rows that this run made.
            vectors: Vectors that this run computed, by feature, in the order of `made`.
            settings: Settings by which images were refused; they are recorded, to try again after a change.

        Returns:
            The size of each table in bytes, by feature, and that of `images`.

        Raises:
            StorageFull: The disk is full.
        """
        shard, version = self.manifest.shard, self.manifest.version
        computed = [row["image_id"] for row in made if row["status"] == "ok" and row["image_id"] not in self.copies]
        ids = pa.array([row["image_id"] for row in rows if row["status"] == "ok"], pa.string())
        pixels = (self.lake.made_from(self.lake.images_path(shard)) or {}).get(PIXELS, "")
        which = {"rows": rows_digest(ids.to_pylist(), pixels), "contents": contents_digest(rows, pixels)}
        written: dict[str, int] = {}
        for feature in self.features:
            made_from = {**self.expected[feature.name], **images_made_from(shard, version), **which}
            table = self._feature_table(feature, ids, computed, vectors.get(feature.name, []))
            written[feature.name] = self.lake.write_table(self.lake.feature_path(feature.name, shard), table, made_from)
        images = pa.Table.from_pylist(rows, schema=schemas.IMAGES)
        made_from = images_made_from(shard, version) | which | ({PIXELS: pixels} if pixels else {})
        if reread := self.manifest.last_reread():
            made_from[REREAD] = str(reread)
        reasons = {failure_reason(row["error"]) for row in rows if row["error"]}
        if ImageTooLarge.__name__ in reasons:
            made_from["refused_above"] = str(settings.max_pixels)
        if TruncatedImage.__name__ in reasons and not settings.allow_truncated:
            made_from["refused_truncated"] = "true"
        written["images"] = self.lake.write_table(self.lake.images_path(shard), images, made_from)
        return written

    def _feature_table(
        self, feature: Feature, ids: pa.Array, computed: Sequence[str], parts: Sequence[Computed]
    ) -> pa.Table:
        """Build the table of a feature: of images computed by this run, unchanged images, and copies."""
        new = _computed_table(feature, pa.array(computed, pa.string()), parts)
        return merge_rows([new, self.unchanged.vectors(feature), *self.copies.vectors(feature, new)], ids)


def _computed_table(feature: Feature, ids: pa.Array, parts: Sequence[Computed]) -> pa.Table:
    """Build the table of a feature from batches."""
    matrix = np.concatenate([np.empty((0, feature.width), feature.dtype), *(vectors for vectors, _ in parts)])
    columns = [
        pa.array(np.concatenate([np.empty(0, kind), *(others[name] for _, others in parts)]))
        for name, kind in feature.columns.items()
    ]
    return pa.table([ids, schemas.to_vectors(matrix, is_variable=feature.is_variable), *columns], schema=feature.schema)
