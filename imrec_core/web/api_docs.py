"""The HTTP API as an HTML page.

FastAPI's own `/docs` loads its scripts from a CDN. This page works offline and under the content security policy.
"""

from __future__ import annotations

from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>imrec: HTTP API</title>
<link rel="stylesheet" href="/static/style.css">
<main>
<h1>HTTP API</h1>
<p>Machine-readable: <a href="/openapi.json">/openapi.json</a>. Back to <a href="/">the page</a>.</p>
"""


def render_api_docs(document: dict[str, Any]) -> str:
    """Render the routes of an OpenAPI document, with their parameters, as HTML."""
    parts = [_HEAD]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>\n")
            parts.append(f"<p>{escape(route.get('description') or route.get('summary', ''))}</p>\n")
            parts.append(_render_parameters(route.get("parameters", ())))
            parts.append(_render_body(route, document["components"]["schemas"]))
    return "".join([*parts, "</main>\n</html>\n"])


def _render_parameters(parameters: Any) -> str:
    return _render_list((p["name"], p.get("schema", {}), p.get("required", False)) for p in parameters)


def _render_body(route: dict[str, Any], schemas: dict[str, Any]) -> str:
    content = route.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    schema = schemas.get(reference.rpartition("/")[2], {})
    required = schema.get("required", ())
    return _render_list((name, of, name in required) for name, of in schema.get("properties", {}).items())


def _render_list(fields: Any) -> str:
    lines = []
    for name, schema, required in fields:
        sentences = [schema.get("description", "")]
        if required:
            sentences.append("Required.")
        elif schema.get("default") is not None:
            sentences.append(f"Default: {schema['default']}.")
        lines.append(f"<li><code>{escape(name)}</code> {escape(' '.join(filter(None, sentences)))}</li>\n")
    return "<ul>\n" + "".join(lines) + "</ul>\n" if lines else ""
