"""Response models of the state of the lake."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SourceStatus(BaseModel):
    """A source, and the number of its shards that are up to date (`fresh`) and that are not (`stale`)."""

    name: str
    reachable: bool
    images: int
    shards: int
    fresh: int
    stale: int


class FeatureStatus(BaseModel):
    """The number of shards whose feature is up to date and of those whose is not, with the reasons.

    `about` is what the feature describes.
    """

    name: str
    about: str
    fresh: int
    stale: int
    why: str


class FailureReason(BaseModel):
    """An error, the number of images that failed with it, and some of them."""

    error: str
    count: int
    examples: list[str]


class FailureKindCount(BaseModel):
    """A kind of failure in plain words, and the number of its files."""

    kind: str
    title: str
    files: int


class Failures(BaseModel):
    """Images that cannot be read or decoded, and folders that cannot be listed."""

    total: int
    marked: int = Field(description="Number of images that the next build tries again.")
    kinds: list[FailureKindCount]
    reasons: list[FailureReason]


class WaitingImages(BaseModel):
    """Images that wait for a build: all, those that cannot be searched yet, and those of a source that is away."""

    images: int
    new: int
    away: int


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
    """The state of the lake.

    `scanned` is the time of the last scan of all sources; null if none is recorded. `runs` are those of builds and
    commands; searches are not among them.
    """

    generation: str
    built: str
    rows: int
    sources: list[SourceStatus]
    features: list[FeatureStatus]
    up_to_date: bool
    scanned: str | None
    waiting: WaitingImages
    failures: Failures
    not_read: list[NotReadFiles]
    runs: list[RunInfo]
    maps: list[str]
