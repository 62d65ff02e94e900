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
    """The work was cancelled. Not an `ImrecError`, because it is no fault and no client waits for a message."""


class CancellationToken:
    """Cancels, from another thread, the work inside `cancellable_by`."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._interrupts: list[Callable[[], None]] = []
        self.is_cancelled = False

    def cancel(self) -> None:
        """Cancel the work, and call the registered interrupts. Idempotent."""
        with self._changing:
            self.is_cancelled = True
            for interrupt in self._interrupts:
                interrupt()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Call `interrupt` if the token is cancelled inside the block."""
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
    """Let a token cancel the work of this thread inside the block."""
    before = _token.set(token)
    try:
        yield
    finally:
        _token.reset(before)


def raise_if_cancelled() -> None:
    """Stop if the token of this thread was cancelled.

    Raises:
        Cancelled: The token was cancelled.
    """
    token = _token.get()
    if token is not None and token.is_cancelled:
        raise Cancelled


@contextmanager
def interrupt_on_cancel(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call `interrupt` if the token of this thread is cancelled inside the block, and raise `Cancelled` after it.

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
