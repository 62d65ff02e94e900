"""Assign rows to the images of a generation: an image keeps its row while it is unchanged, new images are appended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.catalog import user_columns
from imrec_core.catalog.former_ids import former_ids, renamed_ids
from imrec_core.catalog.user_columns import Joined
from imrec_core.errors import LakeError, SchemaMismatch
from imrec_core.index.generation import Generation
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake

Rows = NDArray[np.int64]

_IMAGES = [name for name in schemas.IMAGES.names if name in schemas.ROWS.names]


@dataclass(frozen=True)
class HeldShards:
    """Shards whose rows are carried over from a generation.

    Attributes:
        keys: Key of each shard in the generation, by its key now.
    """

    generation: Generation
    keys: Mapping[str, str]


@dataclass(frozen=True)
class RowAssignment:
    """The rows of a generation.

    Attributes:
        table: All rows, as `rows.parquet` holds them: the columns of `schemas.ROWS`, then user columns.
        kept: Number of rows of the previous generation, which keep their numbers; 0 without one.
        dropped: Rows of the previous generation whose image was removed or has changed since, ascending.
        added: For each shard with new rows: its name, its number of readable images, and the positions of the new
            images among these.
        held: Rows of the current generation whose vectors are appended after those of `added`, ascending.
        joined: Result of joining each file of user columns.
    """

    table: pa.Table
    kept: int
    dropped: Rows
    added: tuple[tuple[str, int, Rows], ...]
    held: Rows
    joined: Sequence[Joined]

    @property
    def removed(self) -> int:
        """Number of rows whose image was removed or has changed."""
        return int(pc.sum(self.table["removed"]).as_py() or 0)


def assign_rows(
    lake: Lake, shards: Sequence[str], previous: Generation | None = None, held: HeldShards | None = None
) -> RowAssignment:
    """Assign a row to every image of the shards, and to those of held shards.

    Args:
        shards: Shards whose images are read from their tables.
        previous: Generation to extend. An image keeps its row while its content is the same.
        held: Further shards, whose images are those of the current generation. An image that is also in one of
            `shards` is taken from there.

    Raises:
        BadColumns: A file of user columns cannot be joined.
        LakeError: There is no readable image.
        SchemaMismatch: A shard's image table does not match its manifest.
    """
    former = lake.settings().former_names
    parts = [schemas.empty_table(schemas.ROWS), *(_read_shard(lake, shard) for shard in shards)]
    held_rows, held_images = _held_images(held, former, pa.concat_tables(parts)["image_id"])
    images = pa.concat_tables([*parts, held_images])
    if not len(images):
        raise LakeError("no image has been read yet, or all failed; see: imrec failures")
    images, joined = user_columns.join(images, lake.settings())
    if previous is None:
        rows, kept, table, dropped = np.arange(len(images)), 0, images, np.empty(0, np.int64)
    else:
        rows, kept = _match_rows(images, previous, former), len(previous)
        table = _merge_rows(images, previous.rows, rows)
        dropped = np.setdiff1d(previous.live, rows, assume_unique=True)
    table = table.set_column(0, schemas.ROWS.field("row"), pa.array(np.arange(len(table)), pa.int64()))
    is_new = rows >= kept
    added = tuple(_added_rows(shards, parts[1:], is_new))
    return RowAssignment(table, kept, dropped, added, held_rows[is_new[len(images) - len(held_images) :]], joined)


def _held_images(held: HeldShards | None, former: Mapping[str, str], taken: pa.ChunkedArray) -> tuple[Rows, pa.Table]:
    """Return the live rows of held shards in their generation, and their images in the form of `_read_shard`.

    Args:
        taken: Ids of images to leave out.
    """
    if held is None:
        return np.empty(0, np.int64), schemas.empty_table(schemas.ROWS)
    generation = held.generation
    names = [name for name in schemas.ROWS.names if name in generation.column_names]
    is_held = pc.is_in(generation.columns("shard")["shard"], pa.array(held.keys.values(), pa.string()))
    at = np.flatnonzero(is_held.to_numpy() & generation.is_live)
    found = generation.columns(*names).take(at)
    images = pa.concat_tables([schemas.empty_table(schemas.ROWS), found], promote_options="default").combine_chunks()
    removed = schemas.ROWS.get_field_index("removed")
    images = images.set_column(removed, schemas.ROWS.field("removed"), pa.repeat(False, len(images)))
    for old, new in former.items():
        images = _with_new_source(images, old, new)
    is_left = pc.invert(pc.is_in(images["image_id"], taken.combine_chunks()))
    return at[is_left.to_numpy()], images.filter(is_left).select(schemas.ROWS.names).cast(schemas.ROWS)


def _with_new_source(images: pa.Table, old: str, new: str) -> pa.Table:
    """Give images of a renamed source their new source, id and shard."""
    is_old = pc.equal(images["source"], old).combine_chunks()
    count = pc.sum(is_old).as_py() or 0
    if not count:
        return images
    some = images.filter(is_old)
    shards = pc.binary_replace_slice(some["shard"], 0, len(old.encode()), new)
    values = {"image_id": renamed_ids(some, old, new), "source": pa.repeat(new, count), "shard": shards}
    for name, new_values in values.items():
        column = images[name].combine_chunks()
        replaced = pc.replace_with_mask(column, is_old, pa.array(new_values.to_pylist(), pa.string()))
        images = images.set_column(images.schema.get_field_index(name), name, replaced)
    return images


def _read_shard(lake: Lake, shard: str) -> pa.Table:
    """Read the rows of a shard's readable images; row numbers are set later.

    Columns that an images table of an earlier version lacks are null.
    """
    files = lake.read_table(lake.catalog_path(shard))
    images = lake.read_table(lake.images_path(shard))
    images = pa.concat_tables([schemas.empty_table(schemas.IMAGES), images], promote_options="default")
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
