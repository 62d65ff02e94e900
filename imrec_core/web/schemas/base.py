"""The response model of errors."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class FilterFault(BaseModel):
    """What is wrong with a filter or an order, in plain words; `details` is the message of DuckDB."""

    field: Literal["where", "order_by"]
    problem: str
    details: str
    unknown: str = Field(description="Column that does not exist; empty if the error is another one.")


class ErrorResponse(BaseModel):
    """An error: a message for people, and the name of the error for programs; `filter` is that of a `BadFilter`."""

    error: str
    kind: str
    filter: FilterFault | None = None
