"""Seconds of each stage of a search, for whoever wants to know; it costs nothing while nobody does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

STAGES = ("decode", "encode", "candidates", "re-rank", "fetch")
"""Of a search, in their order: pixels of the query, its vectors, rows that may be hits, their order, what is told."""

_noted: ContextVar[dict[str, float] | None] = ContextVar("noted", default=None)


@contextmanager
def noting() -> Iterator[dict[str, float]]:
    """Seconds by stage of what this thread does within, summed up while it goes on."""
    seconds: dict[str, float] = {}
    token = _noted.set(seconds)
    try:
        yield seconds
    finally:
        _noted.reset(token)


class stage:
    """Around what belongs to one stage. Of stages within each other the outer holds the inner, too."""

    __slots__ = ("_name", "_seconds", "_started")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._seconds = _noted.get()
        if self._seconds is not None:
            self._started = time.perf_counter()

    def __exit__(self, *raised: object) -> None:
        if self._seconds is not None:
            taken = time.perf_counter() - self._started
            self._seconds[self._name] = self._seconds.get(self._name, 0.0) + taken
