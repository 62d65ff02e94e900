"""create_waiting_app: the page of a lake before its first generation, which shows that a build is at work."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from imrec_core.lake.lake import Lake
from imrec_core.web.limits import Limits
from imrec_core.web.responses import ApiError, json_response
from imrec_core.web.security import SecurityMiddleware

_STATIC = Path(__file__).parent / "static"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def create_waiting_app(lake: Lake, *, hosts: Collection[str], limits: Limits) -> Starlette:
    """Create the ASGI application of a lake that a build is creating.

    Browsers get a page that shows how many images wait, and opens the search page once `create_app` serves the same
    address. All other requests are answered 503 until then.

    Args:
        hosts: Accepted values of the `Host` header, without ports.
    """

    async def building(request: Request) -> Response:
        return json_response({"images": await run_in_threadpool(_count_images, lake)})

    async def other(request: Request) -> Response:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return FileResponse(_STATIC / "waiting.html", headers={"Vary": "Accept"})
        message = "the lake has no generation yet; a build is at work, try again soon"
        return ApiError(503, "NoGeneration", message, {"Retry-After": "5"}).to_response()

    return Starlette(
        routes=[
            Route("/building", building),
            Mount("/static", StaticFiles(directory=_STATIC)),
            Route("/{path:path}", other, methods=_METHODS),
        ],
        middleware=[Middleware(SecurityMiddleware, token=None, hosts=hosts, limits=limits)],
    )


def _count_images(lake: Lake) -> int:
    """Count the images that the last scan found."""
    return sum(lake.row_count(lake.catalog_path(shard)) for shard in lake.live_shards())
