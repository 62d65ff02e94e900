"""Response models of the explanation of a hit."""

from __future__ import annotations

from pydantic import BaseModel, Field

from imrec_core.web.schemas.search import HitPart


class QuerySize(BaseModel):
    """Full size of the query image; `entry` is its index in `like`, from 0."""

    width: int
    height: int
    entry: int


class HitSize(BaseModel):
    """Full size of the image of the hit."""

    width: int
    height: int


class SharedColour(BaseModel):
    """A colour that both images share, and the part of each that has it."""

    rgb: tuple[int, int, int]
    in_query: float
    in_hit: float


class ExplanationResponse(BaseModel):
    """Keypoints and colours that a hit shares with the query.

    `rank` and `score` are null and `parts` is empty if the image is not among the hits of the search.
    """

    rank: int | None
    score: float | None
    parts: dict[str, HitPart]
    query: QuerySize | None
    hit: HitSize
    alike: int = Field(description="Number of matching keypoints.")
    agree: int = Field(description="Number of matches that agree with one translation, rotation and scale.")
    mirrored: bool
    points: list[tuple[float, float, float, float]] = Field(
        description="Matches that agree, at most 200: x and y in the query, then in the hit."
    )
    colours: list[SharedColour]
