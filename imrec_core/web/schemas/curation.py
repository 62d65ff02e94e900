"""Response models of quality issues and tags."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class IssueInfo(BaseModel):
    """An issue, what is measured for it, and the number of images with it.

    Values below (`low`) or above (`high`) the limit are issues; `true` has no limit.
    """

    issue: str
    summary: str
    measure: str
    bad: Literal["low", "high", "true"]
    limit: float | None
    images: int


class IssuesResponse(BaseModel):
    """The issues of the images; outliers are among them once `imrec issues` has found them for this generation."""

    generation: str
    images: int
    has_outliers: bool
    issues: list[IssueInfo]


class IssueFinding(BaseModel):
    """An image with an issue; `image_id` is null for a file that failed. `severity` is 1 for the worst."""

    image_id: str | None
    source: str
    path: str
    severity: float
    value: float | None


class FindingsResponse(BaseModel):
    """Images with one issue, worst first."""

    issue: str
    generation: str
    total: int
    findings: list[IssueFinding]
    next: int | None = Field(description="`offset` of the next page.")


class TagInfo(BaseModel):
    """A tag, and the number of images that have it."""

    tag: str
    images: int


class TagsResponse(BaseModel):
    """All tags, by name. `changed` is the number of images whose tags a change has changed; `undo` takes it back."""

    tags: list[TagInfo]
    changed: int = 0
    undo: str | None = Field(default=None, description="Handle for `POST /api/tags/undo`.")


class _NeighbourResponse(BaseModel):
    """Results of a background search; while `state` is `running`, `done` of `planned` images are compared."""

    state: Literal["running", "done"]
    generation: str
    done: int
    planned: int
    seconds_left: float | None
    total: int
    next: int | None = Field(description="`offset` of the next page.")


class OutlierFinding(BaseModel):
    """An image with its mean distance to its 10 nearest; `ratio` is the distance divided by the median of the lake."""

    image_id: str
    source: str
    path: str
    distance: float
    ratio: float | None


class OutliersResponse(_NeighbourResponse):
    """The images least like any other, farthest first."""

    feature: str
    findings: list[OutlierFinding]


class LabelFinding(BaseModel):
    """An image whose neighbours mostly have another label, with the shares that have that and its own."""

    image_id: str
    source: str
    path: str
    label: str
    suggested: str
    confidence: float
    agreement: float


class LabelIssuesResponse(_NeighbourResponse):
    """Images whose neighbours mostly have another label, the surest first.

    `has_labels` is false if all images are in one folder.
    """

    has_labels: bool
    findings: list[LabelFinding]
