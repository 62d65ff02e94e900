"""Configuration of uvicorn: limits of connections, and of the time of headers and responses.

`SecurityMiddleware` limits bodies, and `AdmissionQueue` requests.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from imrec_core.web.limits import Limits

_MAX_HEADER_BYTES = 65_536


def server_config(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """Create the configuration of a server that no client can hold up.

    It writes no access log, which would contain tokens.
    """
    return uvicorn.Config(
        app,
        http=partial(BoundedProtocol, limits=limits),  # type: ignore[arg-type]  # uvicorn calls it like the class
        ws="none",
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        limit_concurrency=limits.max_connections + 1,  # a 503 beyond; idle connections are closed first, see below
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        log_level="warning",
        access_log=False,
        server_header=False,
    )


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 connection with time limits for request heads and unread responses.

    uvicorn itself keeps a connection with half a request open for ever, and counts it in `limit_concurrency`: 1,000 of
    them would take the place of all others. Here a new connection takes the place of the one that has waited longest
    without a complete request. h11 also limits the size of a head, which httptools does not (uvicorn 0.54).

    Args:
        limits: Limits of the server.
    """

    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self.waiting_since = self.loop.time()

    @property
    def has_request(self) -> bool:
        """Whether a request is being answered, whose head is complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()
        if len(self.connections) > self._limits.max_connections:
            idle = [other for other in self.connections if isinstance(other, BoundedProtocol) and not other.has_request]
            longest = min((other for other in idle if other is not self), key=lambda o: o.waiting_since, default=None)
            if longest is not None:
                longest.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.has_request:
            self._stop_head_timer()
        elif self._head_timer is None and not self.transport.is_closing():
            self._start_head_timer()

    def on_response_complete(self) -> None:
        self.waiting_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.write_seconds, self.close)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def close(self) -> None:
        """Close the connection at once, without sending what is left."""
        self.connections.discard(self)
        self.transport.abort()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._end_of_head_time)

    def _end_of_head_time(self) -> None:
        self._head_timer = None
        if not self.has_request:
            self.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
