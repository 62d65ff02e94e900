"""Thumbnails of many images, written in parts, so that an interrupted export keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imrec_core.images.thumbnails import encode_jpeg
from imrec_core.index.generation import Generation
from imrec_core.index.image_files import thumbnail
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import moved_into_place
from imrec_core.runtime.cpu import cpu_count

PART = 2_000  # thumbnails per file
_QUALITY = 80


def write_thumbnails(
    lake: Lake, generation: Generation, ids: Sequence[str], side: int, folder: Path, progress: Callable[[str], None]
) -> None:
    """Write the missing parts. Images that cannot be decoded become nulls, and their number is reported.

    Args:
        ids: Image ids, in order.
        side: Side of the square that a thumbnail fits in, in pixels.
    """
    paths = _paths(folder, len(ids))
    missing = [(number, path) for number, path in enumerate(paths) if not path.exists()]
    with ThreadPoolExecutor(cpu_count()) as pool:
        for number, path in missing:
            some = ids[number * PART : (number + 1) * PART]
            pictures = list(pool.map(lambda image_id: _jpeg(lake, generation, image_id, side), some))
            with moved_into_place(path) as temporary:
                pq.write_table(pa.table({"jpeg": pa.array(pictures, pa.binary())}), temporary, compression="none")
            progress(f"thumbnails, part {number + 1} of {len(paths)}")
    if gaps := sum(pq.read_table(path, partitioning=None)["jpeg"].null_count for path in paths):
        progress(f"{gaps} of {len(ids)} images cannot be decoded; their thumbnails are blank")


def read_thumbnails(folder: Path, count: int) -> Iterator[bytes | None]:
    """Yield the thumbnails as JPEG, in order; None for images that cannot be decoded."""
    for path in _paths(folder, count):
        yield from (value.as_py() for value in pq.read_table(path, partitioning=None)["jpeg"])


def remove_thumbnails(folder: Path) -> None:
    """Remove the parts, once the export has written their contents elsewhere."""
    for path in folder.glob("pictures-*.parquet"):
        path.unlink()


def _paths(folder: Path, count: int) -> list[Path]:
    return [folder / f"pictures-{part:05d}.parquet" for part in range(-(-count // PART))]


def _jpeg(lake: Lake, generation: Generation, image_id: str, side: int) -> bytes | None:
    picture = thumbnail(lake, generation, image_id, side)
    return None if picture is None else encode_jpeg(picture, _QUALITY)
