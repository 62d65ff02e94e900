"""Response models of maps: clusters and their names, points and colours."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class MapInfo(BaseModel):
    """A map; `is_current` is true for a map of the current generation."""

    name: str
    feature: str
    method: str
    rows: int
    clusters: int
    generation: str
    is_current: bool


class MapsResponse(BaseModel):
    """The maps of a lake, and the columns that can colour them."""

    maps: list[MapInfo]
    colours: list[str]


class ClusterInfo(BaseModel):
    """A cluster of images; `image_id` is its medoid."""

    cluster: int
    size: int
    x: float
    y: float
    image_id: str


class ClusterTerm(BaseModel):
    """What many images of a cluster have in common; `lift` is the ratio of `share` to the share on the whole map."""

    by: str = Field(description="folder, tag, file name, camera, source, or a user column")
    text: str
    count: int
    share: float
    lift: float


class ClusterNameInfo(BaseModel):
    """Name of a cluster, distinct on the map; empty, without terms, where none is true of the cluster."""

    cluster: int
    size: int
    name: str
    terms: list[ClusterTerm]


class MapNamesResponse(BaseModel):
    """Names of the clusters of a map."""

    name: str
    generation: str
    clusters: list[ClusterNameInfo]


class MapPointsResponse(BaseModel):
    """Positions of images on a map; arrays are base64 of little-endian numbers."""

    name: str
    feature: str
    method: str
    generation: str
    count: int
    x: str = Field(description="float32")
    y: str = Field(description="float32")
    cluster: str = Field(description="int32; -1 for none")
    ids: str = Field(description="uint64; its 16 hex digits are the image_id")
    clusters: list[ClusterInfo]


class MapHitsResponse(BaseModel):
    """Hits of a search on a map.

    `count` are the hits in the lake, `more` tells whether there are others after the last one, and `points` are the
    images on the map.
    """

    name: str
    generation: str
    points: int
    count: int
    more: bool
    places: str = Field(description="uint32; places of the hits in the arrays of the map, the best first")


class MapColoursResponse(BaseModel):
    """Values of a column in the order of the map: `codes` into `labels`, or `values`."""

    by: str
    kind: Literal["category", "number", "date"]
    labels: list[str]
    codes: str | None = Field(description="uint8")
    values: str | None = Field(description="float32; NaN for unknown; dates in days since 1970")
    low: float | None
    high: float | None
