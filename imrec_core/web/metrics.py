"""Metrics of a server for Prometheus, and the middleware that counts requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Metrics of one server. Each instance has its own registry, so that several can share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "imrec_requests", "Completed requests.", ["method", "route", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "imrec_request_seconds",
            "Seconds from request to response.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "imrec_stage_seconds", "Seconds of a search by stage.", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self._waiting = Gauge("imrec_requests_waiting", "Requests in a queue.", ["queue"], registry=self.registry)

    def add_queue(self, queue: str, waiting: Callable[[], int]) -> None:
        """Report the length of a queue, which `waiting` returns."""
        self._waiting.labels(queue).set_function(waiting)

    def observe_stages(self, seconds: Mapping[str, float]) -> None:
        """Record the seconds of each stage of a search."""
        for stage, duration in seconds.items():
            self._stage_seconds.labels(stage).observe(duration)

    def observe_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Record a completed request."""
        # The route, not the path: clients may send any number of different paths.
        route = getattr(scope.get("route"), "path", "other") or "other"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)


class MetricsMiddleware:
    """Middleware that records every request, including refused ones."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def send_and_read_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_read_status)
        finally:
            self._metrics.observe_request(scope, status, time.perf_counter() - started)


def create_router(metrics: Metrics) -> APIRouter:
    """Create the route of the metrics in the text format of Prometheus."""
    router = APIRouter()

    @router.get("/metrics", include_in_schema=False)
    def prometheus() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
