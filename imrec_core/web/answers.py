"""The shape of every answer, for the description of the API."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class Error(BaseModel):
    """Why a request is refused, for a person, and the name of the error, for a program."""

    error: str
    kind: str


# -- searching ----------------------------------------------------------------------------------------------


class PartOfHit(BaseModel):
    """What one feature says of a hit."""

    distance: float | None
    score: float | None
    false_match_rate: float | None
    rank: int
    unlike: float | None


class HitFound(BaseModel):
    """One result; without a query it has neither score nor parts."""

    rank: int
    image_id: str
    source: str
    path: str = Field(description="Below the root of its source.")
    width: int
    height: int
    score: float | None
    parts: dict[str, PartOfHit]


class UploadKept(BaseModel):
    """A picture that was sent, with the handle by which later requests name it."""

    upload: str
    name: str
    width: int
    height: int


class SearchAnswer(BaseModel):
    """The hits of a search."""

    generation: str
    plan: str = Field(description="How they were found, in words.")
    cut: int = Field(description="Images that are farther than `max_false_match_rate` allows.")
    no_good_match: bool
    features: list[str]
    offset: int
    reached: int = Field(description="Hits that pages are cut from: as many as `reach`, or all; without a query rows.")
    more: bool = Field(description="Whether the next page has hits, too.")
    hits: list[HitFound]
    uploads: list[UploadKept]
    seconds: float


# -- looking ------------------------------------------------------------------------------------------------


class FeatureKnown(BaseModel):
    """A feature that can be searched by; the first metric is the default."""

    name: str
    kind: str
    about: str
    metric: str
    metrics: list[str]
    understands_text: bool


class MixKnown(BaseModel):
    """Features with weights that go by one name."""

    name: str
    weights: dict[str, float]


class ColumnKnown(BaseModel):
    """A column that a condition may use; of text the most common values, at most 20."""

    name: str
    type: str
    values: list[str]


class LimitsKnown(BaseModel):
    """The most that a request may have."""

    upload_bytes: int
    files: int
    k: int


class Features(BaseModel):
    """What can be asked for."""

    generation: str
    rows: int
    default: str
    features: list[FeatureKnown]
    mixes: list[MixKnown]
    columns: list[ColumnKnown]
    sources: list[str]
    limits: LimitsKnown


class CopyOf(BaseModel):
    """A file with the same bytes."""

    image_id: str
    source: str
    path: str


class DecidedOf(BaseModel):
    """What was decided about an image: that it stays, and which images are no duplicates of it."""

    keep: bool
    apart: list[str]


class ImageKnown(BaseModel):
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


# -- duplicates ---------------------------------------------------------------------------------------------


class CopyInGroup(BaseModel):
    """One file of a group; the first of a group is kept.

    `rank`: its place by the rule alone, from 0. `decided`: a file of its content is always to stay.
    """

    image_id: str
    source: str
    path: str
    content_hash: str
    width: int
    height: int
    byte_size: int
    mtime_ns: int
    is_kept: bool
    rank: int
    decided: bool


class PairInGroup(BaseModel):
    """Two contents of a group, and what verified them."""

    contents: tuple[str, str]
    tier: str
    agreement: float
    how: str


class GroupFound(BaseModel):
    """Files that are copies of each other."""

    tier: str
    copies: list[CopyInGroup]
    pairs: list[PairInGroup]


class DecisionCounts(BaseModel):
    """How many contents are always kept, and how many pairs are no duplicates."""

    keep: int
    apart: int


class Decided(BaseModel):
    """What is decided by now."""

    decisions: DecisionCounts


class DuplicateGroups(BaseModel):
    """A page of groups, or that they are still looked for."""

    state: Literal["ready", "running"]
    progress: str
    generation: str
    total: int
    groups: list[GroupFound]
    next: str | None = Field(description="Cursor of the next page.")
    left_out: list[str] = Field(description="Files that are gone, changed or unreadable; a hundred at most.")
    decisions: DecisionCounts


# -- status -------------------------------------------------------------------------------------------------


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


# -- explaining ---------------------------------------------------------------------------------------------


class QuerySize(BaseModel):
    """The picture of a query, at full size; `entry` counts the likes from 0."""

    width: int
    height: int
    entry: int


class HitSize(BaseModel):
    """The picture of a hit, at full size."""

    width: int
    height: int


class ColourShared(BaseModel):
    """A colour that both pictures have much of, and its share of each."""

    rgb: tuple[int, int, int]
    in_query: float
    in_hit: float


class Explanation(BaseModel):
    """Why a hit is one; rank, score and parts are missing where it is none of the hits asked for."""

    rank: int | None
    score: float | None
    parts: dict[str, PartOfHit]
    query: QuerySize | None
    hit: HitSize
    alike: int = Field(description="Keypoints that look alike.")
    agree: int = Field(description="Those of them that are arranged alike.")
    mirrored: bool
    points: list[tuple[float, float, float, float]] = Field(
        description="Of those that agree, at most 200: x and y in the query, then in the hit."
    )
    colours: list[ColourShared]


# -- maps ---------------------------------------------------------------------------------------------------


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
