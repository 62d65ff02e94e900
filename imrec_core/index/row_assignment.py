"""Assign rows to the images of a generation: an image keeps its row while it is unchanged, new images are appended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.catalog import user_columns
from imrec_core.catalog.former_ids import former_ids
from imrec_core.catalog.user_columns import Joined
from imrec_core.errors import LakeError, SchemaMismatch
from imrec_core.index.generation import Generation
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake

Rows = NDArray[np.int64]

_IMAGES = [name for name in schemas.IMAGES.names if name in schemas.ROWS.names]


@dataclass(frozen=True)
class RowAssignment:
    """The rows of a generation.

    Attributes:
        table: All rows, as `rows.parquet` holds them: the columns of `schemas.ROWS`, then user columns.
        kept: Number of rows of the previous generation, which keep their numbers; 0 without one.
        dropped: Rows of the previous generation whose image was removed or has changed since, ascending.
        added: For each shard with new rows: its name, its number of readable images, and the positions of the new
            images among these.
        joined: Result of joining each file of user columns.
    """

    table: pa.Table
    kept: int
    dropped: Rows
    added: tuple[tuple[str, int, Rows], ...]
    joined: Sequence[Joined]

    @property
    def removed(self) -> int:
        """Number of rows whose image was removed or has changed."""
        return int(pc.sum(self.table["removed"]).as_py() or 0)


def assign_rows(lake: Lake, shards: Sequence[str], previous: Generation | None = None) -> RowAssignment:
    """Assign a row to every image of the shards.

    Args:
        previous: Generation to extend. An image keeps its row while its content is the same.

    Raises:
        BadColumns: A file of user columns cannot be joined.
        LakeError: There is no readable image.
        SchemaMismatch: A shard's image table does not match its manifest.
    """
    parts = [_read_shard(lake, shard) for shard in shards]
    if not sum(map(len, parts)):
        raise LakeError("no image has been read yet, or all failed; see: imrec failures")
    images, joined = user_columns.join(pa.concat_tables(parts), lake.settings())
    if previous is None:
        rows, kept, table, dropped = np.arange(len(images)), 0, images, np.empty(0, np.int64)
    else:
        former = lake.settings().former_names
        rows, kept = _match_rows(images, previous, former), len(previous)
        table = _merge_rows(images, previous.rows, rows)
        dropped = np.setdiff1d(previous.live, rows, assume_unique=True)
    table = table.set_column(0, schemas.ROWS.field("row"), pa.array(np.arange(len(table)), pa.int64()))
    return RowAssignment(table, kept, dropped, tuple(_added_rows(shards, parts, rows >= kept)), joined)


def _read_shard(lake: Lake, shard: str) -> pa.Table:
    """Read the rows of a shard's readable images; row numbers are set later.

    Columns that an images table of an earlier version lacks are null.
    """
    files = lake.read_table(lake.catalog_path(shard))
    images = lake.read_table(lake.images_path(shard))
    images = pa.concat_tables([schemas.IMAGES.empty_table(), images], promote_options="default")
    if not files["image_id"].equals(images["image_id"]):
        raise SchemaMismatch(f"image table of shard {shard!r} does not match its manifest; run: imrec build")
    ok = pc.equal(images["status"], "ok")
    count = pc.sum(ok).as_py() or 0
    columns = {name: files[name].filter(ok) for name in schemas.CATALOG.names}
    columns |= {name: images[name].filter(ok) for name in _IMAGES}
    columns |= {"row": pa.repeat(pa.scalar(0, pa.int64()), count), "shard": pa.repeat(shard, count)}
    columns |= {"removed": pa.repeat(False, count)}
    return pa.table([columns[name] for name in schemas.ROWS.names], schema=schemas.ROWS)


def _match_rows(images: pa.Table, previous: Generation, former: Mapping[str, str]) -> Rows:
    """Return the row of each image: its previous row if path and content are the same, else the next at the end.

    Args:
        former: Name of each renamed source by its former name, which previous rows may have.
    """
    known = previous.live_table(["image_id", "content_hash"])
    at = pc.index_in(images["image_id"], value_set=known["image_id"].combine_chunks())
    if former and at.null_count:
        at = _find_former(at, images, known["image_id"], former)
    is_same = np.asarray(pc.equal(images["content_hash"], known["content_hash"].take(at)).fill_null(False))
    rows = np.empty(len(images), np.int64)
    rows[is_same] = previous.live[np.asarray(at.filter(is_same), np.int64)]
    rows[~is_same] = len(previous) + np.arange(np.count_nonzero(~is_same))
    return rows


def _find_former(
    at: pa.ChunkedArray, images: pa.Table, known: pa.ChunkedArray, former: Mapping[str, str]
) -> pa.ChunkedArray:
    """Fill in the places in `known` of images that are there under a former name of their source."""
    missing = np.flatnonzero(at.is_null().to_numpy())
    ids, positions = former_ids(images.take(missing), former)
    found = pc.index_in(ids, value_set=known.combine_chunks())
    is_found = found.is_valid().to_numpy(zero_copy_only=False)
    places = at.fill_null(-1).to_numpy().copy()
    places[missing[positions[is_found]]] = found.drop_null().to_numpy()
    return pa.chunked_array([pa.array(places, at.type, mask=places < 0)])


def _merge_rows(images: pa.Table, previous: pa.Table, rows: Rows) -> pa.Table:
    """Place each image at its row; all other rows are those of the previous generation, marked as removed."""
    total = max(len(previous), int(rows.max()) + 1)
    removed = previous.select(schemas.ROWS.names)
    removed = removed.set_column(
        schemas.ROWS.get_field_index("removed"), schemas.ROWS.field("removed"), pa.repeat(True, len(removed))
    )
    source = np.arange(total)
    source[rows] = len(previous) + np.arange(len(images))
    return pa.concat_tables([removed, images], promote_options="default").take(source)


def _added_rows(
    shards: Sequence[str], parts: Sequence[pa.Table], is_new: NDArray[np.bool_]
) -> Iterator[tuple[str, int, Rows]]:
    """Yield the entries of `RowAssignment.added`."""
    first = 0
    for shard, part in zip(shards, parts, strict=True):
        new = np.flatnonzero(is_new[first : first + len(part)])
        if len(new):
            yield shard, len(part), new
        first += len(part)
