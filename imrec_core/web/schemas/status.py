"""Responses on the state of the lake."""

from __future__ import annotations

from pydantic import BaseModel


class SourceStatus(BaseModel):
    """A source, with its shards that are up to date and those that are not."""

    name: str
    reachable: bool
    images: int
    shards: int
    fresh: int
    stale: int


class FeatureState(BaseModel):
    """How many shards have a feature, and why others lack it."""

    name: str
    fresh: int
    stale: int
    why: str


class Reason(BaseModel):
    """Why images failed, with some of them."""

    error: str
    count: int
    examples: list[str]


class Failures(BaseModel):
    """Images that cannot be read or decoded."""

    total: int
    reasons: list[Reason]


class Run(BaseModel):
    """Something that was done in the lake; `stages` are seconds."""

    when: str | None
    kind: str | None
    what: str | None
    seconds: float | None
    rows: int | None
    stages: dict[str, float | None]


class Status(BaseModel):
    """The state of the lake."""

    generation: str
    built: str
    rows: int
    sources: list[SourceStatus]
    features: list[FeatureState]
    failures: Failures
    runs: list[Run]
    maps: list[str]
