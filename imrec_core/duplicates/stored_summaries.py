"""Summaries of images, stored in the lake by content hash, so that a later search decodes only new images.

A summary takes about 1 kB on disk, with the keypoints for tier `edited` 16 kB: 20,000 images take 0.3 GB.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.duplicates.screening import Summary
from imrec_core.errors import LakeError, MissingTable
from imrec_core.images.keypoints import FewKeypoints
from imrec_core.lake import parquet
from imrec_core.lake.storage import files

VERSION = "3"
"""Version of the summaries. Increment it when an image may get another summary."""

_SCHEMA = pa.schema(
    [
        ("content", pa.string()),
        ("levels", pa.binary()),  # float32
        ("marks", pa.binary()),  # int16
        ("width", pa.int32()),
        ("positions", pa.binary()),  # float32
        ("descriptors", pa.binary()),  # uint8
    ]
)
_MADE_FROM = {"summaries": VERSION}
_SUFFIX = ".parquet"
_FULL = 512  # summaries of a file, 8 MB; smaller files are merged

log = logging.getLogger(__name__)


class StoredSummaries:
    """Files of summaries in a folder. Damaged files and those of another version are ignored, and removed by `save`.

    Attributes:
        folder: Local folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._new: dict[str, Summary] = {}
        self._counts: dict[Path, int] = {}  # summaries of files that were read; a file never changes

    def load(self, contents: Collection[str]) -> Iterator[tuple[str, Summary]]:
        """Yield the summaries of some contents, as far as they are stored; those of one file are in memory."""
        wanted = pa.array(sorted(contents), pa.string())
        for path in self._paths() if contents else []:
            table = self._read(path)
            if table is not None:
                yield from _from_table(table.filter(pc.is_in(table["content"], wanted)))

    def add(self, content: str, summary: Summary) -> None:
        """Add a summary; it is written by `save`, or before if there are many."""
        self._new[content] = summary
        if len(self._new) >= _FULL:
            self.save()

    def save(self) -> None:
        """Write new summaries, together with those of small files; log a warning if that fails."""
        if not self._new:
            return
        tables, merged = [_to_table(self._new)], []
        for path in self._paths():
            room = _FULL - sum(map(len, tables))
            if self._counts.get(path, 0) > room:  # not read again: that would take time quadratic in the images
                continue
            table = self._read(path)
            if table is None or len(table) <= room:
                merged.append(path)
                tables += [] if table is None else [table]
        try:
            parquet.write_table(self.folder / f"{uuid4().hex}{_SUFFIX}", pa.concat_tables(tables), _MADE_FROM)
            for path in merged:
                path.unlink(missing_ok=True)
        except (LakeError, OSError) as error:
            log.warning("summaries of images cannot be stored, so the next search computes them again: %s", error)
        self._new.clear()

    def _paths(self) -> list[Path]:
        names = files.list_names(self.folder)
        return [self.folder / name for name in names if name.endswith(_SUFFIX) and not files.is_temporary(name)]

    def _read(self, path: Path) -> pa.Table | None:
        """Read a file; None if it is damaged, of another version, or was merged by another process."""
        try:
            table = parquet.read_table(path)
        except MissingTable:
            return None
        except (LakeError, pa.ArrowException, ValueError) as error:
            log.warning("stored summaries are ignored and made again: %s", error)
            return None
        is_current = parquet.made_from_of(table) == _MADE_FROM
        table = table.replace_schema_metadata(None)
        if not is_current or not table.schema.equals(_SCHEMA):
            return None
        self._counts[path] = len(table)
        return table


def _to_table(summaries: Mapping[str, Summary]) -> pa.Table:
    rows = []
    for content, summary in summaries.items():
        marks, found = summary.marks, summary.keypoints
        row: dict[str, Any] = {"content": content, "levels": summary.levels.tobytes()}
        if marks is not None:
            row["marks"] = marks.tobytes()
        if found is not None:
            row |= {"width": found.width, "positions": found.positions.tobytes()}
            row |= {"descriptors": found.descriptors.tobytes()}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _from_table(table: pa.Table) -> Iterator[tuple[str, Summary]]:
    for row in table.to_pylist():
        levels = np.frombuffer(row["levels"], np.float32)
        marks = None if row["marks"] is None else np.frombuffer(row["marks"], np.int16)
        found = None
        if row["width"] is not None:
            positions = np.frombuffer(row["positions"], np.float32).reshape(-1, 2)
            descriptors = np.frombuffer(row["descriptors"], np.uint8).reshape(-1, 128)
            found = FewKeypoints(row["width"], positions, descriptors)
        yield row["content"], Summary.of_parts(levels, marks, found)
