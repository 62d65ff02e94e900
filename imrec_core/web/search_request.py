"""What a search may be asked with, as JSON; the same words as in Python."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imrec_core.web.limits import MOST_FILES, MOST_HITS, MOST_REACH
from imrec_core.web.responses import ApiError

T = TypeVar("T", bound=BaseModel)

_MOST_ENTRIES = 100
_Finite = Annotated[float, Field(allow_inf_nan=False)]
Sql = Annotated[str, Field(max_length=4000)]
Name = Annotated[str, Field(max_length=200)]
By = Name | Annotated[list[Name], Field(max_length=50)] | Annotated[dict[Name, _Finite], Field(max_length=50)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Entry(_Strict):
    """One query: exactly one of the first four."""

    image_id: str | None = Field(default=None, pattern="^[0-9a-f]{16}$")
    upload: str | None = Field(default=None, pattern="^[0-9a-f]{32}$", description="Handle of a picture that was sent.")
    text: str | None = Field(default=None, min_length=1, max_length=1000)
    file: int | None = Field(default=None, ge=0, lt=MOST_FILES, description="Which of `images` sent along, from 0.")
    weight: _Finite = Field(default=1.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _is_one(self) -> Entry:
        given = [name for name in ("image_id", "upload", "text", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"an entry has {' and '.join(given) or 'none'} of image_id, upload, text, file; give one")
        return self


class Within(_Strict):
    """A part of a map: the images inside of a polygon, whose corners are given in turn."""

    map: Name
    polygon: list[tuple[_Finite, _Finite]] = Field(min_length=3, max_length=2000)


class SearchRequestBody(_Strict):
    """A search; without like and unlike the rows in their order."""

    like: list[Entry] = Field(default=[], max_length=_MOST_ENTRIES)
    unlike: list[Entry] = Field(default=[], max_length=_MOST_ENTRIES)
    k: int = Field(default=60, ge=1, le=MOST_HITS)
    offset: int = Field(default=0, ge=0, le=MOST_REACH)
    by: By | None = None
    pool: Name = "mean"
    fuse: Name = "score"
    max_false_match_rate: _Finite | None = None
    where: Sql | None = None
    order_by: Sql | None = Field(
        default=None, description="The best hits in another order, see `reach`; without a query all rows."
    )
    distinct: Name | None = None
    diversify: _Finite = 0.0
    exact: bool = False
    within: Within | None = None
    reach: int | None = Field(
        default=None,
        ge=1,
        le=MOST_HITS,
        description="How many of the best hits are ordered, or chosen to differ, as a whole: pages are cut from them, "
        "and fit together where each is asked for with the same. Needed for a page of ordered hits beyond the first. "
        "Default: offset + k.",
    )

    @model_validator(mode="after")
    def _is_in_reach(self) -> SearchRequestBody:
        if self.offset + self.k > MOST_REACH:
            raise ValueError(f"offset + k is {self.offset + self.k}; it must be at most {MOST_REACH}")
        return self


class Explained(SearchRequestBody):
    """A search, and the hit that is to be explained."""

    hit: str = Field(pattern="^[0-9a-f]{16}$")


def parsed(kind: type[T], text: bytes | str) -> T:
    """What JSON says.

    Raises:
        Refused: 422, it is no JSON, or not of that shape.
    """
    try:
        return kind.model_validate_json(text or b"{}")
    except ValidationError as error:
        raise ApiError(422, "BadRequest", in_words(error.errors(include_url=False, include_input=False))) from error


def in_words(faults: Any) -> str:
    """What pydantic found, as one sentence."""
    said = []
    for fault in list(faults)[:3]:
        place = ".".join(str(part) for part in fault["loc"])
        said.append(f"{place}: {fault['msg']}" if place else str(fault["msg"]))
    return "; ".join(said) or "the request is not understood"
