"""What a server counts and measures, for Prometheus."""

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
    """The figures of one server; several in a process do not mix theirs."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "imrec_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "imrec_request_seconds", "From request to answer.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self._stages = Histogram(
            "imrec_stage_seconds", "Stages of a search.", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self._waiting = Gauge("imrec_requests_waiting", "Requests in a queue.", ["queue"], registry=self.registry)

    def watch(self, queue: str, waiting: Callable[[], int]) -> None:
        """Say of a queue how long it is, whenever somebody asks."""
        self._waiting.labels(queue).set_function(waiting)

    def stages(self, seconds: Mapping[str, float]) -> None:
        """Note how long the stages of a search took."""
        for name, of_stage in seconds.items():
            self._stages.labels(name).observe(of_stage)

    def request(self, scope: Scope, status: int, seconds: float) -> None:
        """Note a request that was answered."""
        # Not the path as it was asked for, of which there are as many as anybody likes.
        route = getattr(scope.get("route"), "path", "other") or "other"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class Counting:
    """Middleware that counts every request, those that are refused, too."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            self._metrics.request(scope, status, time.perf_counter() - started)


def routes(metrics: Metrics) -> APIRouter:
    """The figures as Prometheus reads them."""
    router = APIRouter()

    @router.get("/metrics", include_in_schema=False)
    def figures() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
