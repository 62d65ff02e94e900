"""create_app: the ASGI application, from routers, middleware, error handlers and static files."""

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
from imrec_core.web import metrics
from imrec_core.web.admission import ClientDisconnected
from imrec_core.web.api_docs import render_api_docs
from imrec_core.web.limits import Limits
from imrec_core.web.metrics import MetricsMiddleware
from imrec_core.web.responses import ApiError, to_api_error
from imrec_core.web.routes import (
    curation,
    duplicates,
    explain,
    facets,
    failures,
    images,
    lake,
    maps,
    neighbours,
    search,
    selection,
    status,
    tags,
)
from imrec_core.web.routes.curation import TagChange
from imrec_core.web.routes.duplicates import Decision, SearchControl
from imrec_core.web.routes.facets import FacetsRequest, FoldersRequest
from imrec_core.web.routes.failures import RetryChange
from imrec_core.web.routes.selection import HitIdsRequestBody, Selection
from imrec_core.web.routes.tags import TagRemoval, TagUndo
from imrec_core.web.search_request import ExplainRequestBody, SearchRequestBody, validation_error
from imrec_core.web.security import HEADERS, SecurityMiddleware, is_for_this_machine
from imrec_core.web.state import AppState

log = logging.getLogger(__name__)

BODIES = (
    *(SearchRequestBody, HitIdsRequestBody, ExplainRequestBody, FacetsRequest, FoldersRequest, Selection),
    *(Decision, SearchControl, TagChange, TagRemoval, TagUndo, RetryChange),
)
ROUTERS = (
    *(search, facets, explain, lake, images, selection, duplicates),
    *(curation, neighbours, tags, failures, status, maps),
)
_STATIC = Path(__file__).parent / "static"
_CURATION = ("/issues", "/issues/outliers", "/issues/labels", "/issues/tags", "/issues/failures")
_VIEWS = ("/", "/duplicates", *_CURATION, "/status", "/map")
_REVALIDATE = {"Cache-Control": "no-cache"}


def create_app(
    lake: Lake,
    *,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    limits: Limits | None = None,
    warm_up: bool = False,
) -> FastAPI:
    """Create the HTTP API and the page over a lake, as an ASGI application.

    Args:
        token: Token that every request must have. Default: None, requests need no token.
        hosts: Accepted values of the `Host` header, without ports. Default: None, any; safe only with a token.
        limits: Limits of requests, uploads and queues.
        warm_up: Load the models at startup, in the background, instead of at the first search.

    Raises:
        MissingTable: The lake was never built.
        StaleIndex: No generation can be read.
    """
    limits = limits or Limits()
    state = AppState(lake, limits, is_local=is_for_this_machine(token, hosts))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if warm_up:
            threading.Thread(target=state.warm_up, daemon=True).start()
        yield
        state.close()

    app = FastAPI(
        title="imrec",
        version=version("imrec"),
        summary="Finds the images most like yours in a large collection.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(SecurityMiddleware, token=token, hosts=hosts, limits=limits)
    app.add_middleware(MetricsMiddleware, metrics=state.metrics)
    for module in ROUTERS:
        app.include_router(module.create_router(state))
    app.include_router(metrics.create_router(state.metrics))
    _add_error_handlers(app, state)
    _add_static_files(app)
    _complete_openapi(app)
    return app


def _add_error_handlers(app: FastAPI, state: AppState) -> None:
    """Return all errors as `ErrorResponse`, without paths of the server; to browsers an unknown address as a page."""

    def on_api_error(request: Request, error: Any) -> Response:
        return error.to_response()  # type: ignore[no-any-return]

    def on_imrec_error(request: Request, error: Any) -> Response:
        return to_api_error(error, state.redact_paths).to_response()

    def on_validation_error(request: Request, error: Any) -> Response:
        return validation_error(error.errors()).to_response()

    def on_http_error(request: Request, error: Any) -> Response:
        if error.status_code == 404 and _is_navigation(request):
            return FileResponse(_STATIC / "not_found.html", 404, {"Vary": "Accept", **_REVALIDATE})
        message = f"{request.url.path}: {error.detail}"
        return ApiError(error.status_code, "HTTP", message, error.headers).to_response()

    def on_disconnect(request: Request, error: Any) -> Response:
        return Response(status_code=499)

    def on_other_error(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        message = "internal server error; see the log of the server for the cause"
        return ApiError(500, type(error).__name__, message, HEADERS).to_response()

    for kind, handler in (
        (ApiError, on_api_error),
        (ImrecError, on_imrec_error),
        (RequestValidationError, on_validation_error),
        (HTTPException, on_http_error),
        (ClientDisconnected, on_disconnect),
        (ClientDisconnect, on_disconnect),
        (Exception, on_other_error),
    ):
        app.add_exception_handler(kind, handler)


def _is_navigation(request: Request) -> bool:
    """Test whether a request wants a page: a browser opens an address that is not of the API."""
    accepted = (part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(","))
    is_api = request.url.path == "/api" or request.url.path.startswith("/api/")
    return request.method in ("GET", "HEAD") and not is_api and "text/html" in accepted


def _add_static_files(app: FastAPI) -> None:
    """Add the page, which is one HTML file for all views, and the files that it loads."""

    def page() -> Response:
        return FileResponse(_STATIC / "index.html", headers=_REVALIDATE)

    for path in _VIEWS:
        app.get(path, include_in_schema=False)(page)

    @app.get("/static/vendor/deck.js", include_in_schema=False)
    def deck() -> Response:
        """Return deck.gl, as packaged by pydeck."""
        return FileResponse(_find_deck(), media_type="text/javascript", headers=_REVALIDATE)

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        """Return the documentation of the API."""
        return HTMLResponse(render_api_docs(app.openapi()))

    app.mount("/static", _RevalidatedFiles(directory=_STATIC))


def _find_deck() -> Path:
    spec = importlib.util.find_spec("pydeck")
    if spec is None or spec.origin is None:
        raise MissingDependency("pydeck", extra="web")
    return Path(spec.origin).parent / "nbextension" / "static" / "index.js"


class _RevalidatedFiles(StaticFiles):
    """Static files that a browser revalidates each time, mostly with a 304."""

    def file_response(self, *args: Any, **named: Any) -> Response:
        response = super().file_response(*args, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _complete_openapi(app: FastAPI) -> None:
    """Add the schemas of bodies that routes parse themselves to the OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for kind in BODIES:
                schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[kind.__name__] = schema
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
