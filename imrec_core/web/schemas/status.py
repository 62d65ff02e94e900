"""Response models of the state of the lake."""

from __future__ import annotations

from pydantic import BaseModel


class SourceStatus(BaseModel):
    """A source, and the number of its shards that are up to date (`fresh`) and that are not (`stale`)."""

    name: str
    reachable: bool
    images: int
    shards: int
    fresh: int
    stale: int


class FeatureStatus(BaseModel):
    """The number of shards whose feature is up to date and of those whose is not, with the reasons."""

    name: str
    fresh: int
    stale: int
    why: str


class FailureReason(BaseModel):
    """An error, the number of images that failed with it, and some of them."""

    error: str
    count: int
    examples: list[str]


class Failures(BaseModel):
    """Images that cannot be read or decoded, and folders that cannot be listed."""

    total: int
    reasons: list[FailureReason]


class NotReadFiles(BaseModel):
    """Files of one kind that the last scan passed over, and what would help; the hint may be empty."""

    kind: str
    files: int
    hint: str


class RunInfo(BaseModel):
    """An entry of the run log; `stages` are in seconds."""

    when: str | None
    kind: str | None
    what: str | None
    seconds: float | None
    rows: int | None
    stages: dict[str, float | None]


class StatusResponse(BaseModel):
    """The state of the lake."""

    generation: str
    built: str
    rows: int
    sources: list[SourceStatus]
    features: list[FeatureStatus]
    failures: Failures
    not_read: list[NotReadFiles]
    runs: list[RunInfo]
    maps: list[str]
