"""Responses of a search and of an upload."""

from __future__ import annotations

from pydantic import BaseModel, Field


class PartOfHit(BaseModel):
    """What one feature says of a hit."""

    distance: float | None
    score: float | None
    false_match_rate: float | None
    rank: int
    unlike: float | None


class HitResponse(BaseModel):
    """One result; without a query it has neither score nor parts."""

    rank: int
    image_id: str
    source: str
    path: str = Field(description="Below the root of its source.")
    width: int
    height: int
    score: float | None
    parts: dict[str, PartOfHit]


class UploadResponse(BaseModel):
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
    reached: int = Field(description="Hits that pages are cut from: as many as `reach`, or all; without a query rows.")
    more: bool = Field(description="Whether the next page has hits, too.")
    hits: list[HitResponse]
    uploads: list[UploadResponse]
    seconds: float
