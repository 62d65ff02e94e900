"""Stages of a search: seconds of each, for whoever wants to know; none is begun for somebody who has left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from imrec_core.leaving import go_on

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
    """Around what belongs to one stage. Of stages within each other the outer holds the inner, too.

    Raises:
        Abandoned: Whoever asked has left before it was begun.
    """

    __slots__ = ("_name", "_seconds", "_started")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        go_on()
        self._seconds = _noted.get()
        if self._seconds is not None:
            self._started = time.perf_counter()

    def __exit__(self, *raised: object) -> None:
        if self._seconds is not None:
            taken = time.perf_counter() - self._started
            self._seconds[self._name] = self._seconds.get(self._name, 0.0) + taken
