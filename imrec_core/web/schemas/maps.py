"""Responses on maps: clusters, points and colours."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class MapListed(BaseModel):
    """A map; `is_current` where it is of the generation in use."""

    name: str
    feature: str
    method: str
    rows: int
    clusters: int
    generation: str
    is_current: bool


class Maps(BaseModel):
    """The maps of a lake, and what they can be coloured by."""

    maps: list[MapListed]
    colours: list[str]


class ClusterOnMap(BaseModel):
    """Pictures that lie together; `image_id` is the one in their midst."""

    cluster: int
    size: int
    x: float
    y: float
    image_id: str


class MapPoints(BaseModel):
    """Where images lie; arrays are base64 of little-endian numbers."""

    name: str
    feature: str
    method: str
    generation: str
    count: int
    x: str = Field(description="float32")
    y: str = Field(description="float32")
    cluster: str = Field(description="int32; -1 for none")
    ids: str = Field(description="uint64, whose 16 hex digits are the image_id")
    clusters: list[ClusterOnMap]


class MapColours(BaseModel):
    """What the images of a map are coloured by, in its order: `codes` of `labels`, or `values`."""

    by: str
    kind: Literal["category", "number", "date"]
    labels: list[str]
    codes: str | None = Field(description="uint8")
    values: str | None = Field(description="float32; NaN where it is not known; dates in days since 1970")
    low: float | None
    high: float | None
