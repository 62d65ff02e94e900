"""Table of the routes of `imrec serve` for `docs/reference/http-api.md`, generated from the application."""

from __future__ import annotations

from typing import Any, cast

from docs.markdown import cell, table


def route_table() -> str:
    """Generate a row per route of the OpenAPI document, with the first sentence of its description."""
    from fastapi import FastAPI

    from imrec_core.web.app import ROUTERS
    from imrec_core.web.state import AppState

    app = FastAPI()
    for module in ROUTERS:
        app.include_router(module.create_router(cast(AppState, None)))  # only requests use the state
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    rows = [
        (f"`{method.upper()} {path}`", _first_sentence(route["description"]))
        for path, methods in paths.items()
        for method, route in methods.items()
    ]
    return table(("route", "what it does"), rows)


def _first_sentence(text: str) -> str:
    return cell(text.partition(". ")[0]).removesuffix(".") + "."
