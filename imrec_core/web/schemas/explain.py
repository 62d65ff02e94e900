"""Responses that explain a hit."""

from __future__ import annotations

from pydantic import BaseModel, Field

from imrec_core.web.schemas.search import PartOfHit


class QuerySize(BaseModel):
    """The picture of a query, at full size; `entry` counts the likes from 0."""

    width: int
    height: int
    entry: int


class HitSize(BaseModel):
    """The picture of a hit, at full size."""

    width: int
    height: int


class ColourShared(BaseModel):
    """A colour that both pictures have much of, and its share of each."""

    rgb: tuple[int, int, int]
    in_query: float
    in_hit: float


class Explanation(BaseModel):
    """Why a hit is one; rank, score and parts are missing where it is none of the hits asked for."""

    rank: int | None
    score: float | None
    parts: dict[str, PartOfHit]
    query: QuerySize | None
    hit: HitSize
    alike: int = Field(description="Keypoints that look alike.")
    agree: int = Field(description="Those of them that are arranged alike.")
    mirrored: bool
    points: list[tuple[float, float, float, float]] = Field(
        description="Of those that agree, at most 200: x and y in the query, then in the hit."
    )
    colours: list[ColourShared]
