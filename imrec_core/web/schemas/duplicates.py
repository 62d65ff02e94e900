"""Response models of duplicates: groups, pairs and decisions."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Outcome(BaseModel):
    """What the plan would do with a file of a group.

    It moves the file, unless `is_kept` is true or `left` says why the file stays all the same. `moves_with` are names
    of companions that the plan moves along.
    """

    is_kept: bool
    left: str
    moves_with: list[str]


class DuplicateFile(Outcome):
    """One file of a group. The first file of a group is kept.

    `rank` is its position by the rule alone, from 0. `decided` is true if a file with its content is always kept.
    `taken` is the time when the image was taken, `frames` the number of its pages, frames or images. These and the
    facts between them are null where they are not known. `companions` are names of files in its folder that belong to
    it.
    """

    image_id: str
    source: str
    path: str
    content_hash: str
    width: int
    height: int
    byte_size: int
    mtime_ns: int
    format: str | None
    taken: str | None
    camera: str | None
    color_profile: str | None
    bit_depth: int | None
    has_alpha: bool | None
    frames: int | None
    damaged: bool | None
    latitude: float | None
    longitude: float | None
    companions: list[str]
    rank: int
    decided: bool


class DuplicatePair(BaseModel):
    """Two contents of a group, with the result of their comparison.

    `original` is the content that the other one was made from, as far as the pixels tell, and `change` what was done to
    it: framed, enlarged, compressed or converted. Both are null otherwise.
    """

    contents: tuple[str, str]
    tier: str
    agreement: float
    how: str
    original: str | None
    change: str | None


class DuplicateGroup(BaseModel):
    """Files that are copies of each other; `why` says why the first is kept, as a predicate."""

    tier: str
    why: str
    copies: list[DuplicateFile]
    pairs: list[DuplicatePair]


class OutcomesResponse(BaseModel):
    """What the plan would do with some images; null while the search runs. Images in no group are not in it."""

    outcomes: dict[str, Outcome] | None


class DecisionCounts(BaseModel):
    """Number of contents that are always kept, and of pairs that are no duplicates."""

    keep: int
    apart: int


class DecisionsResponse(BaseModel):
    """The number of decisions after a change."""

    decisions: DecisionCounts


class DuplicatesResponse(BaseModel):
    """A page of groups, or the progress of the search for them."""

    state: Literal["ready", "running", "cancelled"]
    progress: str
    done: int = Field(description="Comparisons finished in this step of a running search.")
    planned: int = Field(description="Comparisons planned in this step.")
    seconds_left: float | None = Field(description="Estimated time left in this step; null if unknown.")
    generation: str
    total: int
    groups: list[DuplicateGroup]
    next: str | None = Field(description="Cursor of the next page.")
    left_out: list[str] = Field(description="Files that are missing, changed or unreadable; at most 100.")
    decisions: DecisionCounts
