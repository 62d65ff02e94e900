"""A bounded queue: so many requests are computed at a time, so many wait, more are sent away at once."""

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


class Gone(Exception):
    """The client hung up before it was answered."""


class AdmissionQueue:
    """Threads that compute, and a queue before them that cannot grow without bound.

    Args:
        name: Of its threads.
        at_work: Requests that are computed at a time.
        waiting: Requests that may wait for them.
    """

    def __init__(self, name: str, at_work: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(at_work, thread_name_prefix=name)
        self._free = asyncio.Semaphore(at_work)
        self._most_waiting = waiting
        self.waiting = 0

    async def run(self, request: Request, work: Callable[[], T]) -> T:
        """What `work` returns, done in a thread once there is room.

        A client that hangs up while it waits frees its place. What has begun for one that hangs up ends where it next
        looks, `raise_if_cancelled`; until then its place is taken, as its thread is.

        Raises:
            Refused: 503, the queue is full.
            Gone: The client hung up.
        """
        gone = asyncio.ensure_future(_hung_up(request))
        token = CancellationToken()
        try:
            await self._enter(gone)
            done = asyncio.get_running_loop().run_in_executor(self._pool, _run, token, work)
            done.add_done_callback(self._leave)
            await _either(done, gone)
            if done.done():
                return done.result()
            gone.result()
            raise Gone
        finally:
            token.cancel()
            gone.cancel()

    async def _enter(self, gone: asyncio.Future[None]) -> None:
        """Take a place, at once or when it is the turn."""
        if not self._free.locked():
            await self._free.acquire()
            return
        if self.waiting >= self._most_waiting:
            words = f"{self.waiting} requests are waiting, which is all that there is room for; try again in a moment"
            raise ApiError(503, "Overloaded", words, {"Retry-After": str(_RETRY_AFTER)})
        self.waiting += 1
        place = asyncio.ensure_future(self._free.acquire())
        is_taken = False
        try:
            await _either(place, gone)
            is_taken = place.done() and not gone.done()
        finally:
            self.waiting -= 1
            if not is_taken and not place.cancel():  # it came at the moment when the client hung up
                self._free.release()
        if not is_taken:
            gone.result()
            raise Gone

    def _leave(self, done: asyncio.Future[Any]) -> None:
        self._free.release()
        if not done.cancelled():
            done.exception()  # of a client that is gone nobody else takes it

    def close(self) -> None:
        """Let threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _either(one: asyncio.Future[Any], other: asyncio.Future[Any]) -> None:
    await asyncio.wait({one, other}, return_when=asyncio.FIRST_COMPLETED)


def _run(token: CancellationToken, work: Callable[[], T]) -> T:
    with cancellable_by(token):
        return work()


async def _hung_up(request: Request) -> None:
    """Returns when the client has hung up; a body that was not read before is passed over.

    Raises:
        Refused: 413, that is too large.
    """
    while (await request.receive())["type"] != "http.disconnect":
        pass
