"""The response model of errors."""

from __future__ import annotations

from pydantic import BaseModel


class ErrorResponse(BaseModel):
    """An error: a message for people, and the name of the error for programs."""

    error: str
    kind: str
