"""Threads that read and decode images ahead of the consumer: how many there are, and how much may wait."""

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
from imrec_core.images.hashing import content_hash
from imrec_core.lake import schemas
from imrec_core.lake.settings import Source
from imrec_core.lake.storage import files, object_store
from imrec_core.runtime.cpu import cpu_count

T = TypeVar("T")

Row: TypeAlias = dict[str, Any]
"""Of a manifest or an images table, by column name."""

Seconds: TypeAlias = defaultdict[str, float]
"""Spent in each stage."""


@dataclass(frozen=True)
class ReadBatch:
    """A few images that one thread reads.

    Attributes:
        number: Of the batch, from 0.
        places: Their rows of the manifest.
        reads: For each of them what gives the bytes, or raises as `read_image`.
    """

    number: int
    places: Sequence[Row]
    reads: Sequence[Callable[[], bytes]]


def default_workers() -> int:
    """Return the default number of threads that read and decode."""
    return cpu_count() + 1  # one more, for when one waits for the disk


def read_ahead(
    source: Source,
    places: Sequence[Row],
    work: Callable[[ReadBatch], T],
    *,
    batch_size: int,
    workers: int | None = None,
) -> Generator[T, None, None]:
    """Yield what `work` returns for each batch of images, in order, called in threads ahead of the consumer.

    At most `2 · workers` batches are under way. Objects of a store are requested as soon as their batch is.

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
        finally:  # an error or Ctrl-C starts nothing more
            if requests:
                requests.shutdown(wait=False, cancel_futures=True)
            pool.shutdown(wait=True, cancel_futures=True)


def _reads(source: Source, places: Sequence[Row], requests: ThreadPoolExecutor | None) -> Sequence[Callable[[], bytes]]:
    """What gives the bytes of each image; those of an object store are on their way from now on."""
    reads = [partial(read_image, source, place) for place in places]
    return [requests.submit(read).result for read in reads] if requests else reads


@dataclass(frozen=True)
class Decoder:
    """Decodes images one by one and fills their rows of the images table.

    Attributes:
        max_pixels, min_side: As for `decode`.
        is_known: Whether an image, by its id and the hash of its content, need not be decoded.
    """

    max_pixels: int
    min_side: int
    is_known: Callable[[str, str], bool]

    def decode(self, place: Row, read: Callable[[], bytes], seconds: Seconds) -> tuple[Row, DecodedImage | None]:
        """Read and decode one image.

        Args:
            place: Its row of the manifest.
            seconds: To which the time of reading and of decoding is added.

        Returns:
            Its row of the images table, and the picture unless it failed or its content is known.

        Raises:
            StorageFault: The object store failed, or the disk went away.
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
            picture = decode(data, max_pixels=self.max_pixels, min_side=self.min_side)
        except ImageError as error:
            row |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            return row, None
        except StorageFault:  # says nothing of the image: it would be taken for broken
            raise
        except Exception as error:  # the one place: whatever one image does, the others go on
            row |= {"status": "failed", "error": f"UnreadableImage: {type(error).__name__}: {error}"}
            return row, None
        finally:
            ended = time.perf_counter()
            seconds["read"] += decoding - started
            seconds["decode"] += ended - decoding
        return row | _columns_of(picture), picture


def _columns_of(picture: DecodedImage) -> Row:
    return {
        "format": picture.format,
        "width": picture.width,
        "height": picture.height,
        "orientation": picture.orientation,
        "aspect": picture.width / picture.height,
        "has_alpha": picture.has_alpha,
        "camera": picture.shot.camera,
        "taken": picture.shot.taken,
        "status": "ok",
    }
