"""Features of content that was extracted before, under another image id: of copies, and of renamed or moved files."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.errors import LakeError
from imrec_core.extraction.incremental import Expected, can_be_extended, has_current_images, is_reusable
from imrec_core.features import Feature
from imrec_core.lake.lake import Lake, made_from_of

_OWN = ("image_id", "byte_size", "mtime_ns")  # what an image has for itself, whatever its content is


class ContentIndex:
    """Where in a lake the content of a file was described already.

    Some 60 bytes per image of the lake are held.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._shards: list[str] = []
        self._hashes = np.empty(0, "S32")
        self._ids = np.empty(0, "S16")
        self._shard_of = np.empty(0, np.int32)
        for shard in lake.live_shards():
            self._append(shard)
        self._sort()

    def renew(self, shard: str) -> None:
        """Learn what a shard holds now."""
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
        if shard not in self._shards:
            self._shards.append(shard)
        found = self._lake.read_table(self._lake.images_path(shard), ["image_id", "content_hash", "status"])
        found = found.filter(pc.equal(found["status"], "ok"))
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
        """Shard and image id of every image with that content."""
        wanted = content_hash.encode()
        at = int(np.searchsorted(self._hashes, wanted))
        while at < len(self._hashes) and self._hashes[at] == wanted:
            yield self._shards[self._shard_of[at]], self._ids[at].decode()
            at += 1


@dataclass(frozen=True)
class _Taken:
    """Rows of one shard: of its images table by image id, of its features' tables by name."""

    rows: Mapping[str, Mapping[str, Any]]
    vectors: Mapping[str, pa.Table]


class ContentMatches:
    """Images of one run whose content is described already, or is by another image of the run.

    Args:
        features, expected: As for `Unchanged`; a shard without one of them is of no use.
    """

    def __init__(self, lake: Lake, known: ContentIndex, features: Sequence[Feature], expected: Expected) -> None:
        self._lake, self._known, self._features, self._expected = lake, known, features, expected
        self._usable: dict[str, bool] = {}  # by shard
        self._first: dict[str, str] = {}  # content to the first image of the run that has it
        self._of: dict[str, tuple[str, str]] = {}  # image id to shard and id of another; the run has no name
        self._hashes: dict[str, str] = {}
        self._taken: dict[str, _Taken] = {}  # by shard
        self._is_settled = False
        self._lock = threading.Lock()

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._of

    def has(self, image_id: str, content_hash: str) -> bool:
        """Whether an image is a copy of another; if it is not, it is the first with that content from now on."""
        with self._lock:  # two threads may have copies of one file
            self._hashes[image_id] = content_hash
            for shard, other in self._known.find(content_hash):
                if not self._is_settled and self._is_usable(shard):
                    self._of[image_id] = shard, other
                    return True
            first = self._first.setdefault(content_hash, image_id)
            if first != image_id:
                self._of[image_id] = "", first
            return first != image_id

    def _is_usable(self, shard: str) -> bool:
        if shard not in self._usable:
            self._usable[shard] = all(
                can_be_extended(self._lake, shard, f, self._expected[f.name]) for f in self._features
            )
        return self._usable[shard]

    def settle(self) -> list[str]:
        """Read what they take from shards; from now on only images of the run itself have copies.

        Returns:
            The ids of those whose original went meanwhile, by another run. They are no copies, and must be decoded.
        """
        gone: list[str] = []
        if self._is_settled:
            return gone
        for shard, others in self._by_shard().items():
            if not shard:
                continue
            taken = self._take(shard, others)
            if taken is None:
                gone += others
            else:
                self._taken[shard] = taken
        self._is_settled = True
        for image_id in gone:
            del self._of[image_id]
        return gone

    def _take(self, shard: str, others: Mapping[str, str]) -> _Taken | None:
        """The rows of originals in a shard; None where its tables are others than they were."""
        try:
            images = self._lake.read_table(self._lake.images_path(shard))
            vectors = {f.name: self._lake.read_table(self._lake.feature_path(f.name, shard)) for f in self._features}
        except LakeError:
            return None
        wanted = pa.array(others.values(), pa.string())
        rows = {row["image_id"]: row for row in images.filter(pc.is_in(images["image_id"], wanted)).to_pylist()}
        if any(rows.get(other, {}).get("content_hash") != self._hashes[copy] for copy, other in others.items()):
            return None
        said = made_from_of(images) or {}
        if not all(is_reusable(said, made_from_of(vectors[name]) or {}, self._expected[name]) for name in vectors):
            return None
        return _Taken(rows, {n: table.filter(pc.is_in(table["image_id"], wanted)) for n, table in vectors.items()})

    def rows(self, known: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Their rows of the images table, by image id.

        Args:
            known: The rows of the run, with the places of the copies.
        """
        rows: dict[str, dict[str, Any]] = {}
        for shard, others in self._by_shard().items():
            of_shard = self._taken[shard].rows if shard else known
            for image_id, other in others.items():
                rows[image_id] = {**of_shard[other], **{name: known[image_id][name] for name in _OWN}}
        return rows

    def vectors(self, feature: Feature, described: pa.Table) -> Iterator[pa.Table]:
        """Their rows of a feature's table; of those without any, copies of what failed, there are none.

        Args:
            described: The rows of the run.
        """
        for shard, others in self._by_shard().items():
            found = self._taken[shard].vectors[feature.name] if shard else described
            at = pc.index_in(pa.array(others.values(), pa.string()), value_set=found["image_id"].combine_chunks())
            ids = pa.array(others.keys(), pa.string()).filter(at.is_valid())
            taken = found.take(at.drop_null()).cast(feature.schema)
            yield taken.set_column(0, feature.schema.field("image_id"), ids)

    def _by_shard(self) -> dict[str, dict[str, str]]:
        """Shard to image id to the id there."""
        by_shard: dict[str, dict[str, str]] = {}
        for image_id, (shard, other) in self._of.items():
            by_shard.setdefault(shard, {})[image_id] = other
        return by_shard
