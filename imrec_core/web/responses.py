"""JSON responses, and errors with an HTTP status."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from starlette.responses import Response

from imrec_core.errors import (
    BadWeights,
    DeclarationError,
    ImageError,
    ImrecError,
    LakeError,
    QueryError,
    StaleIndex,
)


class ApiError(Exception):
    """An error response.

    Args:
        status: HTTP status.
        kind: Name of the error, for programs.
        message: What was found, what was expected, what to do.
    """

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, dict(headers or {})

    def to_response(self) -> Response:
        """Convert to a response with an `ErrorResponse` as its body."""
        return json_response({"error": self.message, "kind": self.kind}, status=self.status, headers=self.headers)


def to_api_error(error: ImrecError, message: str) -> ApiError:
    """Convert an error of the core, with a message that has no paths of the server."""
    kind = type(error).__name__
    if isinstance(error, StaleIndex):
        return ApiError(409, kind, message)
    if isinstance(error, BadWeights):
        return ApiError(422, kind, message)  # as pydantic answers a weight in a body
    if isinstance(error, QueryError | DeclarationError | ImageError):
        return ApiError(400, kind, message)
    return ApiError(503, kind, message, {"Retry-After": "10"} if isinstance(error, LakeError) else {})


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Create a JSON response; NaN and infinities become null."""
    try:
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError):
        text = json.dumps(_to_json(content), allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), "application/json")


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _to_json(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(of) for of in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)
