"""AdmissionQueue: a thread pool behind a queue of limited length."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import Request

from imrec_core.runtime.cancellation import CancellationToken, cancellable_by
from imrec_core.web.responses import ApiError

T = TypeVar("T")

_RETRY_AFTER = 2  # seconds


class ClientDisconnected(Exception):
    """The client closed the connection before it got a response."""


def overloaded(reason: str) -> ApiError:
    """Create a 503 that asks the client to try again soon."""
    message = f"{reason}; try again in {_RETRY_AFTER} seconds"
    return ApiError(503, "Overloaded", message, {"Retry-After": str(_RETRY_AFTER)})


class UploadBudget:
    """Total size of the forms that may be received at the same time, before any of them is stored."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._reserved = 0

    @contextmanager
    def reserve(self, byte_size: int) -> Iterator[None]:
        """Reserve the size of a form within a block.

        Raises:
            ApiError: 503, the forms that are being received leave too little.
        """
        if self._reserved + byte_size > self._max_bytes:
            raise overloaded(f"uploads of {self._reserved / 1e6:.0f} MB are being received")
        self._reserved += byte_size
        try:
            yield
        finally:
            self._reserved -= byte_size


class ZipSlots:
    """Zips that are sent at the same time, up to a number, because each holds a file in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a slot within a block.

        Raises:
            ApiError: 503, all are taken.
        """
        if self._taken >= self._most:
            raise overloaded(f"{self._taken} zips are being sent")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class AdmissionQueue:
    """Threads that handle requests, and a queue of limited length before them.

    A request that takes longer than `slow_seconds` no longer counts as one of `workers`, up to `max_slow` of them. So a
    file that blocks its thread holds up no other request.

    Args:
        name: Prefix of the names of the threads.
        workers: Number of requests that are handled at the same time.
        max_waiting: Maximum number of requests that wait for a thread.
        slow_seconds, max_slow: See above.
    """

    def __init__(
        self, name: str, workers: int, max_waiting: int, *, slow_seconds: float = 10.0, max_slow: int = 0
    ) -> None:
        self._pool = ThreadPoolExecutor(workers + max_slow, thread_name_prefix=name)
        self._free = asyncio.Semaphore(workers)
        self._max_waiting = max_waiting
        self._slow_seconds, self._max_slow = slow_seconds, max_slow
        self._slow: set[asyncio.Future[Any]] = set()
        self.waiting = 0

    async def run(self, request: Request, work: Callable[[], T], *, seconds: float | None = None) -> T:
        """Run `work` in a thread, as soon as one is free, and return its result.

        If the client disconnects while its request waits, the request leaves the queue. If it disconnects later, `work`
        is cancelled and stops at its next `raise_if_cancelled()`; its thread is busy until then.

        Args:
            seconds: Time limit of `work`; None for none.

        Raises:
            ApiError: 503, the queue is full; 504, `work` took longer than `seconds`.
            ClientDisconnected: The client disconnected.
        """
        disconnect = asyncio.ensure_future(_wait_for_disconnect(request))
        token = CancellationToken()
        try:
            await self._acquire(disconnect)
            result = asyncio.get_running_loop().run_in_executor(self._pool, _run_cancellable, token, work)
            result.add_done_callback(self._release)
            slow = asyncio.get_running_loop().call_later(self._slow_seconds, self._set_aside, result)
            result.add_done_callback(lambda _: slow.cancel())
            await _wait_for_either(result, disconnect, seconds)
            if result.done():
                return result.result()
            if not disconnect.done():
                raise ApiError(504, "Timeout", f"the request took more than {seconds:g} s, and was given up")
            disconnect.result()
            raise ClientDisconnected
        finally:
            token.cancel()
            disconnect.cancel()

    async def _acquire(self, disconnect: asyncio.Future[None]) -> None:
        """Take a thread at once if one is free; else wait for one."""
        if not self._free.locked():
            await self._free.acquire()
            return
        if self.waiting >= self._max_waiting:
            raise overloaded(f"the queue is full: {self.waiting} requests are waiting")
        self.waiting += 1
        acquiring = asyncio.ensure_future(self._free.acquire())
        is_acquired = False
        try:
            await _wait_for_either(acquiring, disconnect)
            is_acquired = acquiring.done() and not disconnect.done()
        finally:
            self.waiting -= 1
            if not is_acquired and not acquiring.cancel():  # acquired at the moment of the disconnect
                self._free.release()
        if not is_acquired:
            disconnect.result()
            raise ClientDisconnected

    def _set_aside(self, result: asyncio.Future[Any]) -> None:
        """Stop counting a slow request as one of the workers."""
        if not result.done() and len(self._slow) < self._max_slow:
            self._slow.add(result)
            self._free.release()

    def _release(self, result: asyncio.Future[Any]) -> None:
        if result in self._slow:
            self._slow.remove(result)
        else:
            self._free.release()
        if not result.cancelled():
            result.exception()  # else asyncio logs the error as never retrieved, if the client has disconnected

    def close(self) -> None:
        """Shut down the threads, without waiting for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _wait_for_either(one: asyncio.Future[Any], other: asyncio.Future[Any], seconds: float | None = None) -> None:
    await asyncio.wait({one, other}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def _run_cancellable(token: CancellationToken, work: Callable[[], T]) -> T:
    with cancellable_by(token):
        return work()


async def _wait_for_disconnect(request: Request) -> None:
    """Return when the client disconnects; skip what is left of the body.

    Raises:
        ApiError: 413, the rest of the body is too large.
    """
    while (await request.receive())["type"] != "http.disconnect":
        pass
