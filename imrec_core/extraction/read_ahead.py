"""Read and decode images in threads, a bounded number of batches ahead of the consumer."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from imrec_core.errors import ImageError, StorageFault
from imrec_core.extraction.reader import read_image
from imrec_core.images.decode import DecodedImage, decode
from imrec_core.images.gps_position import Position
from imrec_core.images.hashing import content_hash
from imrec_core.lake import schemas
from imrec_core.lake.settings import Source
from imrec_core.lake.storage import files, object_store
from imrec_core.runtime.cpu import cpu_count

T = TypeVar("T")

Row: TypeAlias = dict[str, Any]
"""Row of a manifest or an images table, by column name."""

Seconds: TypeAlias = defaultdict[str, float]
"""Seconds spent in each stage."""


@dataclass(frozen=True)
class ReadBatch:
    """Images that one thread reads and decodes.

    Attributes:
        number: Number of the batch, from 0.
        places: Rows of the manifest.
        reads: Functions that return the bytes of each image, or raise the errors of `read_image`.
    """

    number: int
    places: Sequence[Row]
    reads: Sequence[Callable[[], bytes]]


def default_workers() -> int:
    """Return the default number of threads that read and decode."""
    return cpu_count() + 1  # one more, because one may wait for the disk


def read_ahead(
    source: Source,
    places: Sequence[Row],
    work: Callable[[ReadBatch], T],
    *,
    batch_size: int,
    workers: int | None = None,
) -> Generator[T, None, None]:
    """Yield what `work` returns for each batch of images, in order, called in threads ahead of the consumer.

    At most `2 · workers` batches are in progress. Objects of a store are requested as soon as their batch starts.

    Args:
        places: Rows of the manifest.
        workers: Number of threads; None for `default_workers()`.
    """
    workers = default_workers() if workers is None else workers
    waiting: deque[Future[T]] = deque()
    requests: ThreadPoolExecutor | None = None
    if files.is_remote(source.root):
        requests = ThreadPoolExecutor(object_store.CONNECTIONS, thread_name_prefix="imrec-read")
    with ThreadPoolExecutor(workers, thread_name_prefix="imrec-decode") as pool:
        try:
            for number, first in enumerate(range(0, len(places), batch_size)):
                some = places[first : first + batch_size]
                waiting.append(pool.submit(work, ReadBatch(number, some, _reads(source, some, requests))))
                if len(waiting) == 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # after an error or Ctrl-C no other batch starts
            if requests:
                requests.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=True, cancel_futures=True)


def _reads(source: Source, places: Sequence[Row], requests: ThreadPoolExecutor | None) -> Sequence[Callable[[], bytes]]:
    """Return functions that return the bytes of each image; objects of a store are requested now."""
    reads = [partial(read_image, source, place) for place in places]
    return [requests.submit(read).result for read in reads] if requests else reads


@dataclass(frozen=True)
class Decoder:
    """Decodes images and makes their rows of the images table.

    Attributes:
        max_pixels, min_side, allow_truncated: See `decode`.
        is_known: Called with an image id and a content hash; tells whether the features of this content are known.
    """

    max_pixels: int
    min_side: int
    is_known: Callable[[str, str], bool]
    allow_truncated: bool = False

    def decode(self, place: Row, read: Callable[[], bytes], seconds: Seconds) -> tuple[Row, DecodedImage | None]:
        """Read and decode one image.

        Args:
            place: Row of the manifest.
            seconds: Updated with the time of reading and of decoding.

        Returns:
            The row of the images table, and the decoded image. None instead of the image if it failed or its content is
            known.

        Raises:
            StorageFault: The object store failed, or the source went away.
        """
        row: Row = dict.fromkeys(schemas.IMAGES.names)
        row |= {name: place[name] for name in ("image_id", "byte_size", "mtime_ns")}
        started = time.perf_counter()
        decoding = started
        try:
            data = read()
            row["content_hash"] = content_hash(data)
            decoding = time.perf_counter()
            if self.is_known(place["image_id"], row["content_hash"]):
                return row, None
            image = decode(
                data, max_pixels=self.max_pixels, min_side=self.min_side, allow_truncated=self.allow_truncated
            )
        except ImageError as error:
            row |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            return row, None
        except StorageFault:  # says nothing about the image, which must not be recorded as failed
            raise
        except Exception as error:  # only here: a decoder may raise anything, and one image must not stop the others
            row |= {"status": "failed", "error": f"UnreadableImage: {type(error).__name__}: {error}"}
            return row, None
        finally:
            ended = time.perf_counter()
            seconds["read"] += decoding - started
            seconds["decode"] += ended - decoding
        return row | _columns_of(image), image


def position_columns(position: Position | None) -> Row:
    """Return the columns of a position in the images table."""
    latitude, longitude = position or (None, None)
    return {"latitude": latitude, "longitude": longitude}


def _columns_of(image: DecodedImage) -> Row:
    return {
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "orientation": image.orientation,
        "aspect": image.width / image.height,
        "has_alpha": image.has_alpha,
        "frames": image.frames,
        "color_profile": image.color_profile,
        "bit_depth": image.bit_depth,
        "damaged": image.is_damaged,
        "camera": image.shot.camera,
        "taken": image.shot.taken,
        **position_columns(image.shot.position),
        "status": "ok",
    }
