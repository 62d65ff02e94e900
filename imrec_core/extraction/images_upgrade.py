"""Upgrade of images tables of versions 3 and 4, so that a build decodes only files whose pixels are read otherwise now.

Version 4 applies colour profiles, scales grey of more than 8 bits by another rule, and has columns that stand in the
headers of the files. Version 5 has the position in addition. So each file is read, but not decoded, and its row is kept
with the new columns. Rows of version 3 of files whose pixels changed, and of files that failed, are marked as changed:
the next extraction decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from imrec_core.errors import ImageError
from imrec_core.extraction.read_ahead import ReadBatch, Row, position_columns, read_ahead
from imrec_core.extraction.report import OnImages
from imrec_core.extraction.staleness import HAS_MARKED, PIXELS
from imrec_core.images.hashing import content_hash
from imrec_core.images.header import read_header
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Source

MARKED = -1
"""Modification time of a row whose image must be decoded again."""

_PIXELS = "4"  # version since which pixels are read otherwise
_BATCH = 64  # files that a thread reads together

_ColumnsOf = Callable[[Row, Callable[[], bytes]], Row]
"""Return the changed columns of a row; the function reads the file."""


def is_upgradable(lake: Lake, shard: str) -> bool:
    """Check whether the images table of a shard is of a version before."""
    made_from = lake.made_from(lake.images_path(shard)) or {}
    return made_from.get("images_version") in {str(version) for version in schemas.UPGRADABLE_VERSIONS}


def upgrade_images(lake: Lake, shard: str, source: Source, on_images: OnImages) -> None:
    """Upgrade the images table of a shard; the caller holds its lock.

    Args:
        on_images: Called with the numbers of images whose rows are kept.

    Raises:
        StorageFault: The object store failed, or the source went away.
    """
    path = lake.images_path(shard)
    made_from = dict(lake.made_from(path) or {})
    rows = {row["image_id"]: row for row in lake.read_table(path).to_pylist()}
    places = [
        {**place, **_stamp(rows[place["image_id"]])}
        for place in lake.read_table(lake.catalog_path(shard)).to_pylist()
        if place["image_id"] in rows and _stamp(place) == _stamp(rows[place["image_id"]])
    ]
    for row in rows.values():
        row.update({name: None for name in schemas.IMAGES.names if name not in row})
    columns_of = _all_columns if made_from["images_version"] == "3" else _columns_of_version_5
    for batch in _read_columns(source, places, rows, columns_of):
        for columns in batch:
            rows[columns["image_id"]].update(columns)
        on_images(sum("mtime_ns" not in columns for columns in batch), 0)
    made_from["images_version"] = str(schemas.IMAGES_VERSION)
    if any(row["mtime_ns"] == MARKED for row in rows.values()):
        made_from |= {HAS_MARKED: "true", PIXELS: _PIXELS}
    lake.write_table(path, pa.Table.from_pylist(list(rows.values()), schema=schemas.IMAGES), made_from)


def _stamp(row: Row) -> Row:
    return {name: row[name] for name in ("byte_size", "mtime_ns")}


def _read_columns(
    source: Source, places: list[Row], rows: dict[str, Row], columns_of: _ColumnsOf
) -> Iterable[list[Row]]:
    """Yield the changed columns of each row, by batch."""

    def work(batch: ReadBatch) -> list[Row]:
        return [
            columns_of(rows[place["image_id"]], read) for place, read in zip(batch.places, batch.reads, strict=True)
        ]

    return read_ahead(source, places, work, batch_size=_BATCH)


def _marked(row: Row) -> Row:
    return {"image_id": row["image_id"], "mtime_ns": MARKED}


def _all_columns(row: Row, read: Callable[[], bytes]) -> Row:
    """Return the columns that version 3 lacks."""
    if row["status"] != "ok":
        return _marked(row)
    try:
        data = read()
        header = read_header(data)
    except ImageError:
        return _marked(row)
    if content_hash(data) != row["content_hash"] or not header.is_plain or header.orientation != row["orientation"]:
        return _marked(row)
    return {
        "image_id": row["image_id"],
        "frames": header.frames,
        "color_profile": header.color_profile,
        "bit_depth": header.bit_depth,
        "damaged": header.is_damaged,
        **position_columns(header.position),
    }


def _columns_of_version_5(row: Row, read: Callable[[], bytes]) -> Row:
    """Return the columns that version 4 lacks; it decoded and refused files as this version does."""
    if row["status"] != "ok":
        return {"image_id": row["image_id"]}
    try:
        data = read()
    except ImageError:
        return _marked(row)
    if content_hash(data) != row["content_hash"]:
        return _marked(row)
    try:
        position = read_header(data).position
    except ImageError:  # decoding repaired the file
        position = None
    return {"image_id": row["image_id"], **position_columns(position)}
