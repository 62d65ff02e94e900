"""Timing of the stages of a search or of a generation. A cancelled search starts no further stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from imrec_core.runtime.cancellation import raise_if_cancelled

STAGES = ("decode", "encode", "candidates", "re-rank", "fetch")
"""Stages of a search in order: query pixels, query vectors, candidate rows, their exact order, columns of the hits."""

_timings: ContextVar[dict[str, float] | None] = ContextVar("timings", default=None)


@contextmanager
def record_timings() -> Iterator[dict[str, float]]:
    """Yield the seconds per stage of this thread, which accumulate inside the block; an outer block gets them too."""
    seconds: dict[str, float] = {}
    outer = _timings.get()
    token = _timings.set(seconds)
    try:
        yield seconds
    finally:
        _timings.reset(token)
        if outer is not None:
            for name, taken in seconds.items():
                outer[name] = outer.get(name, 0.0) + taken


class timed:
    """Time one stage. The time of an outer stage includes the stages inside it.

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
