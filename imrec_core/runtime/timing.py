"""Timing of the stages of a search; no stage begins once the search is cancelled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from imrec_core.runtime.cancellation import raise_if_cancelled

STAGES = ("decode", "encode", "candidates", "re-rank", "fetch")
"""Of a search, in their order: pixels of the query, its vectors, rows that may be hits, their order, what is told."""

_timings: ContextVar[dict[str, float] | None] = ContextVar("timings", default=None)


@contextmanager
def record_timings() -> Iterator[dict[str, float]]:
    """Record the seconds of each stage that this thread passes within, summed up while it goes on."""
    seconds: dict[str, float] = {}
    token = _timings.set(seconds)
    try:
        yield seconds
    finally:
        _timings.reset(token)


class timed:
    """Time one stage. Of stages within each other the outer one includes the inner one.

    Raises:
        Cancelled: The search was cancelled before the stage began.
    """

    __slots__ = ("_name", "_seconds", "_started")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        raise_if_cancelled()
        self._seconds = _timings.get()
        if self._seconds is not None:
            self._started = time.perf_counter()

    def __exit__(self, *raised: object) -> None:
        if self._seconds is not None:
            taken = time.perf_counter() - self._started
            self._seconds[self._name] = self._seconds.get(self._name, 0.0) + taken
