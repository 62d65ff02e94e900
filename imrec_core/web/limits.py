"""Limits of requests, uploads and queues."""

from __future__ import annotations

from dataclasses import dataclass, field

from imrec_core.runtime.cpu import cpu_count

MAX_HITS = 1000
"""Hits in one response."""

MAX_REACH = 10_000
"""`offset + k` of a search."""

MAX_FILES = 16
"""Files in one request."""


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes:
        upload_bytes: Size of a request with files.
        json_bytes: Size of any other request.
        max_pixels: Pixels of an uploaded image.
        cache_bytes, cache_seconds: Total size and age of uploads that are kept for further searches.
        filter_seconds: Time that a filter or an order may take.
        workers: Searches that run at the same time, and as many requests for images.
        max_waiting_searches, max_waiting_images: Requests that wait for a worker; further ones get a 503.
    """

    upload_bytes: int = 64_000_000
    json_bytes: int = 1_000_000
    max_pixels: int = 100_000_000
    cache_bytes: int = 256_000_000
    cache_seconds: float = 3600.0
    filter_seconds: float = 5.0
    workers: int = field(default_factory=cpu_count)
    max_waiting_searches: int = 64
    max_waiting_images: int = 512
