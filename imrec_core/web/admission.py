"""AdmissionQueue: a thread pool behind a queue of limited length."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

from imrec_core.runtime.cancellation import CancellationToken, cancellable_by
from imrec_core.web.responses import ApiError

T = TypeVar("T")

_RETRY_AFTER = 2  # seconds


class ClientDisconnected(Exception):
    """The client closed the connection before it got a response."""


class AdmissionQueue:
    """Threads that handle requests, and a queue of limited length before them.

    Args:
        name: Prefix of the names of the threads.
        workers: Number of requests that are handled at the same time.
        max_waiting: Maximum number of requests that wait for a thread.
    """

    def __init__(self, name: str, workers: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._free = asyncio.Semaphore(workers)
        self._max_waiting = max_waiting
        self.waiting = 0

    async def run(self, request: Request, work: Callable[[], T]) -> T:
        """Run `work` in a thread, as soon as one is free, and return its result.

        If the client disconnects while its request waits, the request leaves the queue. If it disconnects later, `work`
        is cancelled and stops at its next `raise_if_cancelled()`; its thread is busy until then.

        Raises:
            ApiError: 503, the queue is full.
            ClientDisconnected: The client disconnected.
        """
        disconnect = asyncio.ensure_future(_wait_for_disconnect(request))
        token = CancellationToken()
        try:
            await self._acquire(disconnect)
            result = asyncio.get_running_loop().run_in_executor(self._pool, _run_cancellable, token, work)
            result.add_done_callback(self._release)
            await _wait_for_either(result, disconnect)
            if result.done():
                return result.result()
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
            message = f"the queue is full: {self.waiting} requests are waiting; try again in {_RETRY_AFTER} seconds"
            raise ApiError(503, "Overloaded", message, {"Retry-After": str(_RETRY_AFTER)})
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

    def _release(self, result: asyncio.Future[Any]) -> None:
        self._free.release()
        if not result.cancelled():
            result.exception()  # else asyncio logs the error as never retrieved, if the client has disconnected

    def close(self) -> None:
        """Shut down the threads, without waiting for them."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _wait_for_either(one: asyncio.Future[Any], other: asyncio.Future[Any]) -> None:
    await asyncio.wait({one, other}, return_when=asyncio.FIRST_COMPLETED)


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
