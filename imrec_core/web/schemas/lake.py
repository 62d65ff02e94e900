"""Responses on features, columns, limits and health."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class FeatureInfo(BaseModel):
    """A feature that can be searched by; the first metric is the default."""

    name: str
    kind: str
    about: str
    metric: str
    metrics: list[str]
    understands_text: bool


class MixInfo(BaseModel):
    """Features with weights that go by one name."""

    name: str
    weights: dict[str, float]


class ColumnInfo(BaseModel):
    """A column that a condition may use; of text the most common values, at most 20."""

    name: str
    type: str
    values: list[str]


class LimitsInfo(BaseModel):
    """The most that a request may have."""

    upload_bytes: int
    files: int
    k: int


class Features(BaseModel):
    """What can be asked for."""

    generation: str
    rows: int
    default: str
    features: list[FeatureInfo]
    mixes: list[MixInfo]
    columns: list[ColumnInfo]
    sources: list[str]
    limits: LimitsInfo


class CopyOf(BaseModel):
    """A file with the same bytes."""

    image_id: str
    source: str
    path: str


class DecidedOf(BaseModel):
    """What was decided about an image: that it stays, and which images are no duplicates of it."""

    keep: bool
    apart: list[str]


class ImageDetail(BaseModel):
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
