"""Groups of files by their bytes, without a lake: as `find_duplicates` finds those of the tier `identical`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from imrec_core.duplicates import groups
from imrec_core.duplicates.comparison import SAME_PIXELS
from imrec_core.duplicates.contents import Contents
from imrec_core.duplicates.decisions import Decisions
from imrec_core.duplicates.groups import Duplicates
from imrec_core.images.hashing import content_hash
from imrec_core.lake.schemas import ROWS

IMAGES = (".jpg", ".png", ".cr2")


@dataclass
class Table:
    """Stands in for a generation: the images of folders, as a build would list them."""

    rows: list[dict[str, Any]]

    @property
    def is_live(self) -> np.ndarray:
        return np.ones(len(self.rows), np.bool_)

    @property
    def column_names(self) -> list[str]:
        return list(self.rows[0]) if self.rows else []

    def columns(self, *names: str) -> pa.Table:
        types = {name: ROWS.field(name).type for name in names}  # also of a table without rows
        return pa.table({name: pa.array([row.get(name) for row in self.rows], of) for name, of in types.items()})


def rows_of(sources: Mapping[str, Path]) -> list[dict[str, Any]]:
    """List the images in the folders of sources, all of one size in pixels."""
    rows = []
    for source, folder in sources.items():
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in IMAGES and path.is_file():
                stat, digest = path.stat(), content_hash(path.read_bytes())
                row = {"source": source, "path": str(path.relative_to(folder)), "content_hash": digest}
                rows.append({**row, "byte_size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "width": 1, "height": 1})
    return rows


def find_identical(
    sources: Mapping[str, Path],
    between: tuple[str, str] | None = None,
    rows: Sequence[dict[str, Any]] | None = None,
    kinds: Mapping[str, int] | None = None,
) -> Duplicates:
    """Group the images by content.

    Args:
        rows: Those of `rows_of`, or others that a listing might give.
        kinds: Content hashes that are copies of each other have one number; others have one content.
    """
    listed = rows_of(sources) if rows is None else rows
    generation: Any = Table([{**row, "image_id": f"{number:016x}"} for number, row in enumerate(listed)])
    contents, members = Contents(generation, sources, between), defaultdict(list)
    for i, name in enumerate(map(str, contents.names)):
        members[(kinds or {}).get(name, name)].append(i)
    found_pairs: Any = defaultdict(lambda: SAME_PIXELS)
    verifier: Any = SimpleNamespace(found=found_pairs, pairs_of=lambda some: list(combinations(sorted(some), 2)))
    found = [groups._group(contents, verifier, tuple(some), between) for some in members.values()]
    roots = {name: str(folder) for name, folder in sources.items()}
    keep = f"source:{between[0]}" if between else "largest"
    made = Duplicates(tuple(filter(None, found)), "identical", keep, between, "1", 0, (), roots)
    return made.with_rule(keep, Decisions())
