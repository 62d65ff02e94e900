"""Responses on duplicates: groups, pairs and decisions."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


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


class DuplicateGroup(BaseModel):
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
    groups: list[DuplicateGroup]
    next: str | None = Field(description="Cursor of the next page.")
    left_out: list[str] = Field(description="Files that are gone, changed or unreadable; a hundred at most.")
    decisions: DecisionCounts
