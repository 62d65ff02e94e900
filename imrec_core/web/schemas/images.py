"""Response models of one image."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ExactCopy(BaseModel):
    """A file with the same bytes."""

    image_id: str
    source: str
    path: str


class ImageDecisions(BaseModel):
    """Decisions about an image: whether it is always kept, and which images are no duplicates of it."""

    keep: bool
    apart: list[str]


class ImageDetail(BaseModel):
    """Properties of an image, its exact copies, its tags, and decisions about it."""

    image_id: str
    source: str
    path: str
    absolute_path: str | None  # null unless the server is for this machine only
    facts: dict[str, Any]
    copies: list[ExactCopy]
    tags: list[str]
    decided: ImageDecisions
