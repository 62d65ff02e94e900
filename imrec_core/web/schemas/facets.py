"""Response models of facets."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field


class FacetValueInfo(BaseModel):
    """A value of a facet, the condition for it, and its number of images."""

    label: str
    where: str
    images: int


class FacetInfo(BaseModel):
    """A facet with its most frequent values; the others are counted."""

    name: str
    values: list[FacetValueInfo]
    further_values: int
    further_images: int


class DateBinInfo(BaseModel):
    """A bar of the histogram: its images were taken from `start` until the day before `end`."""

    start: date
    end: date
    images: int


class DatesInfo(BaseModel):
    """Histogram of the dates on which the images were taken, and the numbers of images that are not in it."""

    unit: Literal["year", "month", "day"]
    bins: list[DateBinInfo]
    missing: FacetValueInfo
    outside: int = Field(description="Images with a date outside the bins.")


class FolderInfo(BaseModel):
    """A folder, or a source, with the number of images in it and below; `folder` is its path in the source."""

    name: str
    source: str
    folder: str
    where: str
    images: int
    has_folders: bool


class FoldersResponse(BaseModel):
    """Folders of one level by name; folders that are not listed are counted."""

    generation: str
    folders: list[FolderInfo]
    further_folders: int
    further_images: int


class FacetsResponse(BaseModel):
    """Images counted by facet, each facet under the conditions of the others; `images` satisfy all conditions."""

    generation: str
    images: int
    sources: list[FolderInfo]
    taken: DatesInfo | None
    facets: list[FacetInfo]
