"""Which row each image of a generation has: that which it had before, or a new one at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.catalog import user_columns
from imrec_core.catalog.user_columns import Joined
from imrec_core.errors import LakeError, SchemaMismatch
from imrec_core.index.generation import Generation
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake

Rows = NDArray[np.int64]

_IMAGES = ["image_id", "status", *(n for n in schemas.IMAGES.names if n in schemas.ROWS.names and n != "image_id")]


@dataclass(frozen=True)
class RowAssignment:
    """The rows of a generation.

    Attributes:
        table: All of them, as `rows.parquet` holds them: the columns of `tables.ROWS`, then the user's.
        kept: Rows that the generation before has too, at the same numbers; 0 without one.
        dropped: Those of them whose image was removed or has changed since, ascending.
        added: Of each shard with new rows: its images that are ok, and the positions of the new ones among them.
        joined: What came of each file of user columns.
    """

    table: pa.Table
    kept: int
    dropped: Rows
    added: tuple[tuple[str, int, Rows], ...]
    joined: Sequence[Joined]

    @property
    def removed(self) -> int:
        """Rows that are no image any more."""
        return int(pc.sum(self.table["removed"]).as_py() or 0)


def assign_rows(lake: Lake, shards: Sequence[str], before: Generation | None = None) -> RowAssignment:
    """Give every image of the shards a row.

    Args:
        before: The generation that is to be extended. An image keeps its row while its content is the same.

    Raises:
        BadColumns: A file of user columns cannot be joined.
        LakeError: There is no image.
        SchemaMismatch: A shard's images are not those of its manifest.
    """
    parts = [_of_shard(lake, shard) for shard in shards]
    if not sum(map(len, parts)):
        raise LakeError("no image has been read yet, or all failed; see: imrec failures")
    now, joined = user_columns.join(pa.concat_tables(parts), lake.settings())
    if before is None:
        rows, kept, table, dropped = np.arange(len(now)), 0, now, np.empty(0, np.int64)
    else:
        rows, kept = _rows_of(now, before), len(before)
        table, dropped = _merged(now, before.rows, rows), np.setdiff1d(before.live, rows, assume_unique=True)
    table = table.set_column(0, schemas.ROWS.field("row"), pa.array(np.arange(len(table)), pa.int64()))
    return RowAssignment(table, kept, dropped, tuple(_added(shards, parts, rows >= kept)), joined)


def _of_shard(lake: Lake, shard: str) -> pa.Table:
    """The images of a shard that are ok; their row numbers are set later."""
    places = lake.read_table(lake.catalog_path(shard))
    images = lake.read_table(lake.images_path(shard), _IMAGES)
    if not places["image_id"].equals(images["image_id"]):
        raise SchemaMismatch(f"the images of shard {shard!r} are not those of its manifest; run: imrec build")
    ok = pc.equal(images["status"], "ok")
    count = pc.sum(ok).as_py() or 0
    known = {name: places[name].filter(ok) for name in schemas.CATALOG.names}
    known |= {name: images[name].filter(ok) for name in _IMAGES if name in schemas.ROWS.names}
    known |= {"row": pa.repeat(pa.scalar(0, pa.int64()), count), "shard": pa.repeat(shard, count)}
    known |= {"removed": pa.repeat(False, count)}
    return pa.table([known[name] for name in schemas.ROWS.names], schema=schemas.ROWS)


def _rows_of(now: pa.Table, before: Generation) -> Rows:
    """The row of each image: that of the same place and content, or the next at the end."""
    images = before.live_table(["image_id", "content_hash"])
    at = pc.index_in(now["image_id"], value_set=images["image_id"].combine_chunks())
    is_same = np.asarray(pc.equal(now["content_hash"], images["content_hash"].take(at)).fill_null(False))
    rows = np.empty(len(now), np.int64)
    rows[is_same] = before.live[np.asarray(at.filter(is_same), np.int64)]
    rows[~is_same] = len(before) + np.arange(np.count_nonzero(~is_same))
    return rows


def _merged(now: pa.Table, before: pa.Table, rows: Rows) -> pa.Table:
    """What is now at its rows, and what was before, as removed, at the others."""
    total = max(len(before), int(rows.max()) + 1)
    left = before.select(schemas.ROWS.names)
    left = left.set_column(
        schemas.ROWS.get_field_index("removed"), schemas.ROWS.field("removed"), pa.repeat(True, len(left))
    )
    source = np.arange(total)
    source[rows] = len(before) + np.arange(len(now))
    return pa.concat_tables([left, now], promote_options="default").take(source)


def _added(
    shards: Sequence[str], parts: Sequence[pa.Table], is_new: NDArray[np.bool_]
) -> Iterator[tuple[str, int, Rows]]:
    first = 0
    for shard, part in zip(shards, parts, strict=True):
        new = np.flatnonzero(is_new[first : first + len(part)])
        if len(new):
            yield shard, len(part), new
        first += len(part)
