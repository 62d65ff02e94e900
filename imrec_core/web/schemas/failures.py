"""Response models of files that could not be read."""

from __future__ import annotations

from pydantic import BaseModel, Field


class FailureKindInfo(BaseModel):
    """A kind of failure in plain words, what a user can do, and the number of files."""

    kind: str
    title: str
    advice: str
    may_recover: bool = Field(description="Whether another try of the unchanged files may succeed.")
    files: int


class SourceFailures(BaseModel):
    """A source, and the number of its files that could not be read."""

    source: str
    files: int


class FailedFileInfo(BaseModel):
    """A file that could not be read; `image_id` is null for a folder."""

    image_id: str | None
    source: str
    path: str
    kind: str
    error: str
    byte_size: int | None
    is_marked: bool = Field(description="Whether the next build tries it again.")


class FailuresResponse(BaseModel):
    """Files that could not be read, by source and path.

    `kinds` and `sources` count all files, `total` those that the request asked for, `marked` those of them that the
    next build tries again.
    """

    kinds: list[FailureKindInfo]
    sources: list[SourceFailures]
    total: int
    marked: int
    failures: list[FailedFileInfo]
    next: int | None = Field(description="`offset` of the next page.")


class RetryResponse(BaseModel):
    """The number of files whose mark a request has changed, and of all files that the next build tries again."""

    changed: int
    marked: int
