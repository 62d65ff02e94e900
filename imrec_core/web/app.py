"""The app: routes, guard, errors and files put together."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from imrec_core.errors import ImrecError, MissingDependency
from imrec_core.lake.lake import Lake
from imrec_core.web import api_docs, metrics
from imrec_core.web.admission import Gone
from imrec_core.web.limits import Limits
from imrec_core.web.metrics import Counting
from imrec_core.web.responses import ApiError, refused
from imrec_core.web.routes import duplicates, explain, images, lake, maps, search, status
from imrec_core.web.routes.duplicates import Decision
from imrec_core.web.search_request import Explained, SearchRequestBody, in_words
from imrec_core.web.security import HEADERS, SecurityMiddleware
from imrec_core.web.state import AppState

log = logging.getLogger(__name__)

_ROUTES = (search, explain, lake, images, duplicates, status, maps)
_STATIC = Path(__file__).parent / "static"
_PAGES = ("/", "/duplicates", "/status", "/map")
_REVALIDATED = {"Cache-Control": "no-cache"}


def create_app(
    lake: Lake,
    *,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    limits: Limits | None = None,
    warm_up: bool = False,
) -> FastAPI:
    """The HTTP API and the page over a lake, as an ASGI application.

    Args:
        token: What every request must show; None where all who can reach the server may ask.
        hosts: Names by which it may be called; None for any, which is safe with a token alone.
        limits: What is refused, and what waits.
        warm_up: Load networks at once, not when they are first needed.

    Raises:
        MissingTable: The lake was never built.
        StaleIndex: No generation can be read.
    """
    limits = limits or Limits()
    serving = AppState(lake, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if warm_up:
            threading.Thread(target=serving.warm_up, daemon=True).start()
        yield
        serving.close()

    app = FastAPI(
        title="imrec",
        version=version("imrec"),
        summary="Finds the images most like yours in a large collection.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(SecurityMiddleware, token=token, hosts=hosts, limits=limits)
    app.add_middleware(Counting, metrics=serving.metrics)
    for module in _ROUTES:
        app.include_router(module.routes(serving))
    app.include_router(metrics.routes(serving.metrics))
    _add_errors(app, serving)
    _add_files(app)
    _describe(app)
    return app


def _add_errors(app: FastAPI, serving: AppState) -> None:
    """Every refusal has the same shape, and names no place on this machine."""

    def of_refused(request: Request, error: Any) -> Response:
        return error.response()  # type: ignore[no-any-return]

    def of_core(request: Request, error: Any) -> Response:
        return refused(error, serving.without_paths(" ".join(str(error).split()))).response()

    def of_parameters(request: Request, error: Any) -> Response:
        return ApiError(422, "BadRequest", in_words(error.errors())).response()

    def of_http(request: Request, error: Any) -> Response:
        return ApiError(error.status_code, "HTTP", f"{request.url.path}: {error.detail}", error.headers).response()

    def of_gone(request: Request, error: Any) -> Response:
        return Response(status_code=499)

    def of_anything(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        return ApiError(500, type(error).__name__, "the server failed; its log says why", HEADERS).response()

    for kind, handler in (
        (ApiError, of_refused),
        (ImrecError, of_core),
        (RequestValidationError, of_parameters),
        (HTTPException, of_http),
        (Gone, of_gone),
        (ClientDisconnect, of_gone),
        (Exception, of_anything),
    ):
        app.add_exception_handler(kind, handler)


def _add_files(app: FastAPI) -> None:
    """The page, which is one file, and what it is made of."""

    def page() -> Response:
        return FileResponse(_STATIC / "index.html", headers=_REVALIDATED)

    for path in _PAGES:
        app.get(path, include_in_schema=False)(page)

    @app.get("/static/vendor/deck.js", include_in_schema=False)
    def deck() -> Response:
        """deck.gl, as pydeck brings it."""
        return FileResponse(_deck(), media_type="text/javascript", headers=_REVALIDATED)

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        """The API to read."""
        return HTMLResponse(api_docs.page(app.openapi()))

    app.mount("/static", _Static(directory=_STATIC))


def _deck() -> Path:
    spec = importlib.util.find_spec("pydeck")
    if spec is None or spec.origin is None:
        raise MissingDependency("pydeck", extra="web")
    return Path(spec.origin).parent / "nbextension" / "static" / "index.js"


class _Static(StaticFiles):
    """Files that a browser asks for again each time, and mostly has."""

    def file_response(self, *args: Any, **named: Any) -> Response:
        response = super().file_response(*args, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _describe(app: FastAPI) -> None:
    """Add to the OpenAPI description what requests hold that routes read by themselves."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            description = made()
            schemas = description.setdefault("components", {}).setdefault("schemas", {})
            for kind in (SearchRequestBody, Explained, Decision):
                schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[kind.__name__] = schema
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
