"""How a server says what it found, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from starlette.responses import Response

from imrec_core.errors import (
    DeclarationError,
    ImageError,
    ImrecError,
    LakeError,
    QueryError,
    StaleIndex,
)


class ApiError(Exception):
    """A request that is not answered.

    Args:
        status: Of HTTP.
        kind: Name of the error.
        words: What was found, what was expected, what to do.
    """

    def __init__(self, status: int, kind: str, words: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(words)
        self.status, self.kind, self.words, self.headers = status, kind, words, dict(headers or {})

    def response(self) -> Response:
        return answer({"error": self.words, "kind": self.kind}, status=self.status, headers=self.headers)


def refused(error: ImrecError, words: str) -> ApiError:
    """An error of the core as a server says it, in words without paths of the server."""
    kind = type(error).__name__
    if isinstance(error, StaleIndex):
        return ApiError(409, kind, words)
    if isinstance(error, QueryError | DeclarationError | ImageError):
        return ApiError(400, kind, words)
    return ApiError(503, kind, words, {"Retry-After": "10"} if isinstance(error, LakeError) else {})


def answer(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain data as JSON; numbers that JSON lacks are null."""
    try:
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError):
        text = json.dumps(_plain(content), allow_nan=False, separators=(",", ":"))
    return Response(text.encode(), status, dict(headers or {}), "application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(of) for name, of in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(of) for of in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)
