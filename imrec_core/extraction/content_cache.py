"""Reuse of features by content: of copies, and of renamed or moved files."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.errors import LakeError, SchemaMismatch
from imrec_core.extraction.images_upgrade import MARKED
from imrec_core.extraction.incremental import Expected, has_current_images, is_extendable, is_reusable
from imrec_core.extraction.kept_shards import kept_shards
from imrec_core.features import Feature
from imrec_core.lake.lake import Lake, made_from_of

_OWN_COLUMNS = ("image_id", "byte_size", "mtime_ns")  # not determined by the content


class ContentIndex:
    """Index of the images of a lake by content hash, with those of `lost_content`.

    Takes about 60 bytes of memory per image.

    Args:
        is_empty: Whether to index no image, so that nothing is reused.
    """

    def __init__(self, lake: Lake, *, is_empty: bool = False) -> None:
        self._lake = lake
        self._shards: list[str] = []
        self._hashes = np.empty(0, "S32")
        self._ids = np.empty(0, "S16")
        self._shard_of = np.empty(0, np.int32)
        self._is_empty = is_empty
        for shard in () if is_empty else (*lake.live_shards(), *kept_shards(lake)):
            self._append(shard)
        self._sort()

    def refresh(self, shard: str) -> None:
        """Read a shard again, after it was extracted."""
        if self._is_empty:
            return
        if shard in self._shards:
            others = self._shard_of != self._shards.index(shard)
            self._hashes, self._ids, self._shard_of = (
                values[others] for values in (self._hashes, self._ids, self._shard_of)
            )
        self._append(shard)
        self._sort()

    def _append(self, shard: str) -> None:
        if not has_current_images(self._lake, shard):
            return
        try:
            columns = ["image_id", "content_hash", "status", "mtime_ns"]
            found = self._lake.read_table(self._lake.images_path(shard), columns)
        except SchemaMismatch:  # damaged: its content is not reused
            return
        if shard not in self._shards:
            self._shards.append(shard)
        found = found.filter(pc.and_(pc.equal(found["status"], "ok"), pc.not_equal(found["mtime_ns"], MARKED)))
        self._hashes = np.concatenate([self._hashes, np.array(found["content_hash"].to_pylist(), "S32")])
        self._ids = np.concatenate([self._ids, np.array(found["image_id"].to_pylist(), "S16")])
        number = np.full(len(found), self._shards.index(shard), np.int32)
        self._shard_of = np.concatenate([self._shard_of, number])

    def _sort(self) -> None:
        order = np.argsort(self._hashes, kind="stable")
        self._hashes, self._ids, self._shard_of = (
            values[order] for values in (self._hashes, self._ids, self._shard_of)
        )

    def find(self, content_hash: str) -> Iterator[tuple[str, str]]:
        """Yield the shard and the image id of every image with some content."""
        key = content_hash.encode()
        at = int(np.searchsorted(self._hashes, key))
        while at < len(self._hashes) and self._hashes[at] == key:
            yield self._shards[self._shard_of[at]], self._ids[at].decode()
            at += 1


@dataclass(frozen=True)
class _Originals:
    """Rows of the originals in one shard: of its images table by image id, and of the feature tables by name."""

    rows: Mapping[str, Mapping[str, Any]]
    vectors: Mapping[str, pa.Table]


class ContentMatches:
    """Copies among the images of one run: their content was extracted before, or is by another image of the run.

    `add` may be called from several threads.

    Args:
        known: Content of the lake.
        features: Features to compute. Originals in a shard that lacks one of them are not used.
        expected: Metadata of up-to-date tables of the features.
    """

    def __init__(self, lake: Lake, known: ContentIndex, features: Sequence[Feature], expected: Expected) -> None:
        self._lake, self._known, self._features, self._expected = lake, known, features, expected
        self._usable: dict[str, bool] = {}  # by shard
        self._first: dict[str, str] = {}  # content hash to the first image of the run that has it
        self._original_of: dict[str, tuple[str, str]] = {}  # image id to shard and image id; shard "" is the run itself
        self._hashes: dict[str, str] = {}  # by image id
        self._originals: dict[str, _Originals] = {}  # by shard
        self._is_resolved = False
        self._lock = threading.Lock()

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._original_of

    def add(self, image_id: str, content_hash: str) -> bool:
        """Add an image of the run; return whether it is a copy of an image of the lake or of the run."""
        with self._lock:  # two threads may have copies of one file
            self._hashes[image_id] = content_hash
            for shard, original in self._known.find(content_hash):
                if not self._is_resolved and self._has_tables(shard):
                    self._original_of[image_id] = shard, original
                    return True
            first = self._first.setdefault(content_hash, image_id)
            if first != image_id:
                self._original_of[image_id] = "", first
            return first != image_id

    def _has_tables(self, shard: str) -> bool:
        """Check whether a shard has the current vectors of all features."""
        if shard not in self._usable:
            self._usable[shard] = all(
                is_extendable(self._lake, shard, f, self._expected[f.name]) for f in self._features
            )
        return self._usable[shard]

    def resolve(self) -> list[str]:
        """Read the rows of the originals from the lake. Images added later match only images of the run.

        Returns:
            Ids of the images whose original was changed by another run. They are no copies and must be decoded.
        """
        gone: list[str] = []
        if self._is_resolved:
            return gone
        for shard, copies in self._copies_by_shard().items():
            if not shard:
                continue
            originals = self._read_originals(shard, copies)
            if originals is None:
                gone += copies
            else:
                self._originals[shard] = originals
        self._is_resolved = True
        for image_id in gone:
            del self._original_of[image_id]
        return gone

    def _read_originals(self, shard: str, copies: Mapping[str, str]) -> _Originals | None:
        """Read the rows of the originals in a shard; None if its tables have changed.

        Args:
            copies: Id of the original by id of the copy.
        """
        try:
            images = self._lake.read_table(self._lake.images_path(shard))
            vectors = {f.name: self._lake.read_table(self._lake.feature_path(f.name, shard)) for f in self._features}
        except LakeError:
            return None
        ids = pa.array(copies.values(), pa.string())
        rows = {row["image_id"]: row for row in images.filter(pc.is_in(images["image_id"], ids)).to_pylist()}
        if any(rows.get(id_, {}).get("content_hash") != self._hashes[copy] for copy, id_ in copies.items()):
            return None
        made_from = made_from_of(images) or {}
        if not all(is_reusable(made_from, made_from_of(vectors[name]) or {}, self._expected[name]) for name in vectors):
            return None
        return _Originals(rows, {n: table.filter(pc.is_in(table["image_id"], ids)) for n, table in vectors.items()})

    def rows(self, own_rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the rows of the images table of all copies, by image id.

        Args:
            own_rows: Rows of all images of the run, by image id; those of copies have only their own columns.
        """
        rows: dict[str, dict[str, Any]] = {}
        for shard, copies in self._copies_by_shard().items():
            originals = self._originals[shard].rows if shard else own_rows
            for image_id, original in copies.items():
                own = {name: own_rows[image_id][name] for name in _OWN_COLUMNS}
                rows[image_id] = {**originals[original], **own}
        return rows

    def vectors(self, feature: Feature, computed: pa.Table) -> Iterator[pa.Table]:
        """Yield the rows of a feature's table of all copies, except copies of failed images.

        Args:
            computed: Rows that the run computed.
        """
        for shard, copies in self._copies_by_shard().items():
            table = self._originals[shard].vectors[feature.name] if shard else computed
            at = pc.index_in(pa.array(copies.values(), pa.string()), value_set=table["image_id"].combine_chunks())
            ids = pa.array(copies.keys(), pa.string()).filter(at.is_valid())
            rows = table.take(at.drop_null()).cast(feature.schema)
            yield rows.set_column(0, feature.schema.field("image_id"), ids)

    def _copies_by_shard(self) -> dict[str, dict[str, str]]:
        """Group the copies by the shard of the original: id of the original by id of the copy."""
        by_shard: dict[str, dict[str, str]] = {}
        for image_id, (shard, original) in self._original_of.items():
            by_shard.setdefault(shard, {})[image_id] = original
        return by_shard
