"""Response models of features, columns, limits and health."""

from __future__ import annotations

from pydantic import BaseModel


class FeatureInfo(BaseModel):
    """A feature of the generation; `metric` is the default among `metrics`."""

    name: str
    kind: str
    about: str
    metric: str
    metrics: list[str]
    understands_text: bool


class MixInfo(BaseModel):
    """Features with weights, under one name."""

    name: str
    weights: dict[str, float]


class ColumnInfo(BaseModel):
    """A column for filters; `values` are the most common ones of a text column or of the tags, at most 20."""

    name: str
    type: str
    values: list[str]


class LimitsInfo(BaseModel):
    """Limits of a request."""

    upload_bytes: int
    files: int
    k: int
    reach: int
    entries: int


class LikenessInfo(BaseModel):
    """A match word, and the largest false match rate of hits that have it."""

    word: str
    max_false_match_rate: float


class FeaturesResponse(BaseModel):
    """Features, mixes, columns and sources that a search may name; `likeness` has the match words, closest first."""

    generation: str
    rows: int
    default: str
    features: list[FeatureInfo]
    mixes: list[MixInfo]
    columns: list[ColumnInfo]
    sources: list[str]
    likeness: list[LikenessInfo]
    limits: LimitsInfo


class HealthResponse(BaseModel):
    """The current generation, its number of images, and its age."""

    generation: str
    rows: int
    age_seconds: float
