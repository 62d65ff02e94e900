"""What a server takes, and how much of it at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from imrec_core.runtime.cpu import cpu_count

MOST_HITS = 1000
MOST_REACH = 10_000
MOST_FILES = 16


@dataclass(frozen=True)
class Limits:
    """What is refused, and what waits.

    Attributes:
        upload_bytes: Of a request with pictures.
        json_bytes: Of any other.
        pixels: Of a picture that is sent.
        kept_bytes, kept_seconds: Of pictures that were sent, for searches to come.
        filter_seconds: That a condition or an order may take.
        at_work: Requests that are computed at a time; pictures and searches each.
        searches_waiting, pictures_waiting: Requests that wait for them; more are sent away.
    """

    upload_bytes: int = 64_000_000
    json_bytes: int = 1_000_000
    pixels: int = 100_000_000
    kept_bytes: int = 256_000_000
    kept_seconds: float = 3600.0
    filter_seconds: float = 5.0
    at_work: int = field(default_factory=cpu_count)
    searches_waiting: int = 64
    pictures_waiting: int = 512
