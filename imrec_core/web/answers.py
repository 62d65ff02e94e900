"""What a server says: the shape of every answer, and of what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from imrec_core.errors import (
    DeclarationError,
    ImageError,
    ImrecError,
    LakeError,
    QueryError,
    StaleIndex,
)


class Error(BaseModel):
    """Why a request is refused, for a person, and the name of the error, for a program."""

    error: str
    kind: str


class Refused(Exception):
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


def refused(error: ImrecError, words: str) -> Refused:
    """An error of the core as a server says it, in words without paths of the server."""
    kind = type(error).__name__
    if isinstance(error, StaleIndex):
        return Refused(409, kind, words)
    if isinstance(error, QueryError | DeclarationError | ImageError):
        return Refused(400, kind, words)
    return Refused(503, kind, words, {"Retry-After": "10"} if isinstance(error, LakeError) else {})


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


# -- searching ----------------------------------------------------------------------------------------------


class PartOfHit(BaseModel):
    """What one feature says of a hit."""

    distance: float | None
    score: float | None
    false_match_rate: float | None
    rank: int
    unlike: float | None


class HitFound(BaseModel):
    """One result; without a query it has neither score nor parts."""

    rank: int
    image_id: str
    source: str
    path: str = Field(description="Below the root of its source.")
    width: int
    height: int
    score: float | None
    parts: dict[str, PartOfHit]


class UploadKept(BaseModel):
    """A picture that was sent, with the handle by which later requests name it."""

    upload: str
    name: str
    width: int
    height: int


class SearchAnswer(BaseModel):
    """The hits of a search."""

    generation: str
    plan: str = Field(description="How they were found, in words.")
    cut: int = Field(description="Images that are farther than `max_false_match_rate` allows.")
    no_good_match: bool
    features: list[str]
    offset: int
    more: bool = Field(description="Whether there are hits beyond these.")
    hits: list[HitFound]
    uploads: list[UploadKept]
    seconds: float


# -- looking ------------------------------------------------------------------------------------------------


class FeatureKnown(BaseModel):
    """A feature that can be searched by; the first metric is the default."""

    name: str
    kind: str
    about: str
    metric: str
    metrics: list[str]
    understands_text: bool


class MixKnown(BaseModel):
    """Features with weights that go by one name."""

    name: str
    weights: dict[str, float]


class ColumnKnown(BaseModel):
    """A column that a condition may use; of text the most common values, at most 20."""

    name: str
    type: str
    values: list[str]


class LimitsKnown(BaseModel):
    """The most that a request may have."""

    upload_bytes: int
    files: int
    k: int


class Features(BaseModel):
    """What can be asked for."""

    generation: str
    rows: int
    default: str
    features: list[FeatureKnown]
    mixes: list[MixKnown]
    columns: list[ColumnKnown]
    sources: list[str]
    limits: LimitsKnown


class CopyOf(BaseModel):
    """A file with the same bytes."""

    image_id: str
    source: str
    path: str


class DecidedOf(BaseModel):
    """What was decided about an image: that it stays, and which images are no duplicates of it."""

    keep: bool
    apart: list[str]


class ImageKnown(BaseModel):
    """All that is known of an image."""

    image_id: str
    source: str
    path: str
    facts: dict[str, Any]
    copies: list[CopyOf]
    decided: DecidedOf


class Health(BaseModel):
    """Which generation answers, how many images it has, and how long ago it was made."""

    generation: str
    rows: int
    age_seconds: float
