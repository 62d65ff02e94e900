"""Response models of selections: handles, and ids of the hits of a search."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SelectionResponse(BaseModel):
    """A selection that the server keeps for later requests.

    Attributes and limits of its zip: a zip has at most `max_zip_bytes` bytes of files.
    """

    selection: str = Field(description="Handle of 32 hex digits.")
    images: int = Field(description="Number of images that the lake has.")
    unknown: list[str] = Field(description="Ids of images that the lake does not have, or no longer.")
    byte_size: int = Field(description="Size of all files.")
    max_zip_bytes: int = Field(description="Size of files that a zip may have.")
    seconds: float = Field(description="Time after the last request with the handle for which it is kept.")


class HitIdsResponse(BaseModel):
    """The ids of the hits of a search, best first."""

    generation: str
    images: list[str]
    more: bool = Field(description="Whether the search has further hits.")
