"""Whoever asked has left: their work ends where it next looks, instead of going on for nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Abandoned(Exception):
    """Nobody waits for the answer any more. No `ImrecError`: nothing is wrong, and nobody is there to be told."""


class Asker:
    """Who waits for an answer, and may leave at any time, said from another thread."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._interrupts: list[Callable[[], None]] = []
        self.has_left = False

    def leave(self) -> None:
        """Say so, once or more often, and interrupt what can be interrupted."""
        with self._changing:
            self.has_left = True
            for interrupt in self._interrupts:
                interrupt()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Within, `interrupt` is called when they leave."""
        with self._changing:
            self._interrupts.append(interrupt)
        try:
            yield
        finally:
            with self._changing:
                self._interrupts.remove(interrupt)


_asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


@contextmanager
def asked_by(asker: Asker) -> Iterator[None]:
    """What this thread does within is for them alone."""
    token = _asker.set(asker)
    try:
        yield
    finally:
        _asker.reset(token)


def go_on() -> None:
    """Returns where somebody waits, or where that is not known.

    Raises:
        Abandoned: Whoever asked has left.
    """
    asker = _asker.get()
    if asker is not None and asker.has_left:
        raise Abandoned


@contextmanager
def interrupted(interrupt: Callable[[], None]) -> Iterator[None]:
    """Within, `interrupt` is called when whoever asked leaves; whatever that raises is `Abandoned` outside.

    Raises:
        Abandoned: They have left.
    """
    asker = _asker.get()
    if asker is None:
        yield
        return
    with asker.interrupting(interrupt):
        go_on()
        try:
            yield
        except Exception:
            go_on()
            raise
