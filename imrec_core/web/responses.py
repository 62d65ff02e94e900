"""JSON responses, and errors with an HTTP status."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from starlette.responses import Response

from imrec_core.errors import (
    BadFilter,
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
        more: Further fields of the body.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, dict(headers or {})
        self.more = dict(more or {})

    def to_response(self) -> Response:
        """Convert to a response with an `ErrorResponse` as its body."""
        body = {"error": self.message, "kind": self.kind, **self.more}
        return json_response(body, status=self.status, headers=self.headers)


def to_api_error(error: ImrecError, redact: Callable[[str], str]) -> ApiError:
    """Convert an error of the core; `redact` removes paths of the server from its texts."""
    kind, message = type(error).__name__, redact(" ".join(str(error).split()))
    if isinstance(error, BadFilter):
        texts = {"problem": redact(error.problem), "details": redact(error.details), "unknown": error.unknown}
        return ApiError(400, kind, message, more={"filter": {"field": error.field, **texts}})
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
