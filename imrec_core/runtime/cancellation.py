"""Cooperative cancellation.

A request handler cancels its token when the client disconnects. Long computations call `raise_if_cancelled` between
blocks, and stop there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Cancelled(Exception):
    """The work was cancelled. No `ImrecError`: nothing is wrong, and nobody waits for a message."""


class CancellationToken:
    """Cancels the work that runs within `cancellable_by`, from another thread."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._interrupts: list[Callable[[], None]] = []
        self.is_cancelled = False

    def cancel(self) -> None:
        """Cancel the work, once or more often, and interrupt what can be interrupted."""
        with self._changing:
            self.is_cancelled = True
            for interrupt in self._interrupts:
                interrupt()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Call `interrupt` if the token is cancelled within."""
        with self._changing:
            self._interrupts.append(interrupt)
        try:
            yield
        finally:
            with self._changing:
                self._interrupts.remove(interrupt)


_token: ContextVar[CancellationToken | None] = ContextVar("token", default=None)


@contextmanager
def cancellable_by(token: CancellationToken) -> Iterator[None]:
    """Let a token cancel what this thread does within."""
    before = _token.set(token)
    try:
        yield
    finally:
        _token.reset(before)


def raise_if_cancelled() -> None:
    """Return, unless this thread works for a token that was cancelled.

    Raises:
        Cancelled: It was.
    """
    token = _token.get()
    if token is not None and token.is_cancelled:
        raise Cancelled


@contextmanager
def interrupt_on_cancel(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call `interrupt` if this thread's token is cancelled within; what that raises is `Cancelled` outside.

    Raises:
        Cancelled: The token was cancelled.
    """
    token = _token.get()
    if token is None:
        yield
        return
    with token.interrupting(interrupt):
        raise_if_cancelled()
        try:
            yield
        except Exception:
            raise_if_cancelled()
            raise
