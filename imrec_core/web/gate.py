"""A bounded queue: so many requests are computed at a time, so many wait, more are sent away at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

from imrec_core.web.replies import Refused

T = TypeVar("T")

_RETRY_AFTER = 2  # seconds


class Gone(Exception):
    """The client hung up while its request waited."""


class Gate:
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

        A client that hangs up while it waits frees its place.

        Raises:
            Refused: 503, the queue is full.
            Gone: The client hung up while it waited.
        """
        if self._free.locked():
            await self._wait(request)
        else:
            await self._free.acquire()
        # What has begun cannot be stopped: its place is free when the thread is.
        done = asyncio.get_running_loop().run_in_executor(self._pool, work)
        done.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(done)

    async def _wait(self, request: Request) -> None:
        if self.waiting >= self._most_waiting:
            words = f"{self.waiting} requests are waiting, which is all that there is room for; try again in a moment"
            raise Refused(503, "Overloaded", words, {"Retry-After": str(_RETRY_AFTER)})
        self.waiting += 1
        place = asyncio.ensure_future(self._free.acquire())
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait({place, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not place.done():
                raise Gone
        finally:
            self.waiting -= 1
            gone.cancel()
            if not place.done():
                place.cancel()

    def close(self) -> None:
        """Let threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _hung_up(request: Request) -> None:
    """Returns when the client has hung up; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
