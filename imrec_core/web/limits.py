"""Limits of requests, uploads and queues."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field

from imrec_core.runtime.cpu import cpu_count

MAX_HITS = 1000
"""Hits in one response."""

MAX_REACH = 10_000
"""`offset + k` of a search with a query."""

MAX_ROWS = 1_000_000_000
"""`offset` without a query."""

MAX_ENTRIES = 100
"""Positive examples in a search, and as many negative ones."""

MAX_SELECTED = 10_000
"""Images in a selection."""

MAX_FILES = 16
"""Files in one request."""


def _max_connections() -> int:
    """Return 512, or half of the files that this process may have open, if that is less."""
    return min(512, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes:
        upload_bytes: Size of a request with files.
        json_bytes: Size of any other request.
        max_pixels: Pixels of an uploaded image.
        cache_bytes: Total size of uploads that are kept for further searches.
        cache_seconds: Time for which unused uploads and selections are kept.
        zip_bytes: Size of the files in a zip.
        max_zips: Zips that are sent at the same time; further requests for one get a 503.
        filter_seconds: Time that a filter or an order may take.
        workers: Searches that run at the same time, and as many requests for images.
        max_waiting_searches, max_waiting_images: Requests that wait for a worker; further ones get a 503.
        slow_seconds: Time after which a search no longer counts as one of `workers`, so that others go on beside it.
        slow_image_seconds: The same for a request for an image, whose file may be on a disk that does not answer.
        max_slow: Requests beyond these times, in each queue, that do not count as one of `workers`.
        image_seconds: Time after which a request for an image gets a 504.
        health_seconds: Time that `/health` waits for the lake; then it returns the generation in use.
        max_connections: Open connections. A new one takes the place of the one that has been idle longest.
        head_seconds: Time for the head of a request.
        body_seconds, body_bytes_per_second: Time for a body: so many seconds, and one more for so many bytes received.
        write_seconds: Time that a client may leave a response unread.
    """

    upload_bytes: int = 64_000_000
    json_bytes: int = 1_000_000
    max_pixels: int = 100_000_000
    cache_bytes: int = 256_000_000
    cache_seconds: float = 3600.0
    zip_bytes: int = 4_000_000_000
    max_zips: int = 4
    filter_seconds: float = 5.0
    workers: int = field(default_factory=cpu_count)
    max_waiting_searches: int = 64
    max_waiting_images: int = 512
    slow_seconds: float = 10.0
    slow_image_seconds: float = 2.0
    max_slow: int = 16
    image_seconds: float = 30.0
    health_seconds: float = 1.0
    max_connections: int = field(default_factory=_max_connections)
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    body_bytes_per_second: int = 50_000
    write_seconds: float = 30.0

    @property
    def upload_bytes_at_once(self) -> int:
        """Total size of the forms that are received at the same time: four of the largest."""
        return 4 * self.upload_bytes
