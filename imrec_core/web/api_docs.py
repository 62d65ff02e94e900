"""The API as a page to read: plain, as the usual ones load scripts of other hosts."""

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
<p>For programs: <a href="/openapi.json">/openapi.json</a>. To go back: <a href="/">the page</a>.</p>
"""


def page(description: dict[str, Any]) -> str:
    """Every route of an OpenAPI description with what it takes, in HTML."""
    parts = [_HEAD]
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>\n")
            parts.append(f"<p>{escape(route.get('description') or route.get('summary', ''))}</p>\n")
            parts.append(_fields(route.get("parameters", ())))
            parts.append(_body(route, description["components"]["schemas"]))
    return "".join([*parts, "</main>\n</html>\n"])


def _fields(parameters: Any) -> str:
    return _list((p["name"], p.get("schema", {}), p.get("required", False)) for p in parameters)


def _body(route: dict[str, Any], schemas: dict[str, Any]) -> str:
    content = route.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    schema = schemas.get(reference.rpartition("/")[2], {})
    required = schema.get("required", ())
    return _list((name, of, name in required) for name, of in schema.get("properties", {}).items())


def _list(fields: Any) -> str:
    lines = []
    for name, schema, required in fields:
        words = [schema.get("description", "")]
        if required:
            words.append("Needed.")
        elif schema.get("default") is not None:
            words.append(f"Default: {schema['default']}.")
        lines.append(f"<li><code>{escape(name)}</code> {escape(' '.join(filter(None, words)))}</li>\n")
    return "<ul>\n" + "".join(lines) + "</ul>\n" if lines else ""
