"""Response models of searches and uploads."""

from __future__ import annotations

from pydantic import BaseModel, Field


class HitPart(BaseModel):
    """Distance and score of a hit by one feature."""

    distance: float | None
    score: float | None
    false_match_rate: float | None
    rank: int
    unlike: float | None = Field(description="Score that the unlikes take away.")
    note: str = Field("", description="Why there is nothing to compare by the feature; empty if there is.")


class HitResponse(BaseModel):
    """One hit. Without a query it has no score and no parts."""

    rank: int
    image_id: str
    source: str
    path: str = Field(description="Relative to the root of its source.")
    width: int
    height: int
    score: float | None
    likeness: str = Field(
        description="How close the hit is: same image, very close, close, related or weak; empty if not known."
    )
    parts: dict[str, HitPart]


class UploadResponse(BaseModel):
    """An uploaded image, and the handle that names it in later requests."""

    upload: str
    name: str
    width: int
    height: int


class SearchResponse(BaseModel):
    """The hits of a search."""

    generation: str
    plan: str = Field(description="Description of how the search ran.")
    cut: int = Field(description="Number of images excluded by the threshold `max_false_match_rate`.")
    no_good_match: bool
    features: list[str]
    notes: list[str] = Field(description="Remarks on the query.")
    offset: int
    reached: int = Field(description="Number of hits from which pages are taken; without a query, of rows.")
    total: int | None = Field(
        description="Number of hits on all pages, without the limit of offset + k: with a `reach` the number reached, "
        "without a query the rows that pass the filter. Null for a query with `max_false_match_rate` or `distinct`."
    )
    shape: float | None = Field(
        description="Mean aspect ratio (width / height) of the images that pass the filter, or with a query of all. "
        "Null after the first page. A grid can choose its number of columns by it."
    )
    more: bool = Field(description="Whether the next page has hits.")
    hits: list[HitResponse]
    uploads: list[UploadResponse]
    seconds: float
