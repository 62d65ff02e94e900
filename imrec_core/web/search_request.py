"""Bodies of search requests; the fields are named as the arguments of `Recommender.search`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from imrec_core.search.request import MOST_EXPANDED
from imrec_core.sql.nesting import nesting_error
from imrec_core.web.limits import MAX_ENTRIES, MAX_FILES, MAX_HITS, MAX_REACH, MAX_ROWS
from imrec_core.web.responses import ApiError

T = TypeVar("T", bound=BaseModel)

_NESTING = "nesting"
_Finite = Annotated[float, Field(allow_inf_nan=False)]


def _require_shallow(sql: str) -> str:
    error = nesting_error(sql)
    if error:
        raise PydanticCustomError(_NESTING, "{error}", {"error": error})
    return sql


Sql = Annotated[str, Field(max_length=4000), AfterValidator(_require_shallow)]
Name = Annotated[str, Field(max_length=200)]
By = Name | Annotated[list[Name], Field(max_length=50)] | Annotated[dict[Name, _Finite], Field(max_length=50)]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class QueryEntry(_StrictModel):
    """One query: exactly one of image_id, upload, text and file, with a weight, and with the crop of an image."""

    image_id: str | None = Field(default=None, pattern="^[0-9a-f]{16}$")
    upload: str | None = Field(default=None, pattern="^[0-9a-f]{32}$", description="Handle of an uploaded image.")
    text: str | None = Field(default=None, min_length=1, max_length=1000)
    file: int | None = Field(default=None, ge=0, lt=MAX_FILES, description="Index of a file in `images`, from 0.")
    weight: _Finite = Field(default=1.0, ge=0, le=1e6)
    crop: list[int | _Finite] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="Part of the image: x, y, width, height. Integers are pixels of the upright image; if any number "
        "has a point, all are fractions of its size.",
    )

    @model_validator(mode="after")
    def _require_one_query(self) -> QueryEntry:
        given = [name for name in ("image_id", "upload", "text", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"an entry has {' and '.join(given) or 'none'} of image_id, upload, text, file; expected exactly one"
            )
        if self.crop is not None and self.text is not None:
            raise ValueError("an entry has text and crop; a crop is a part of an image")
        return self


class MapArea(_StrictModel):
    """An area of a map: the inside of a polygon, given by its corners in order."""

    map: Name
    polygon: list[tuple[_Finite, _Finite]] = Field(min_length=3, max_length=2000)


class SearchRequestBody(_StrictModel):
    """A search. Without `like` and `unlike` it returns all images, in the order of `order_by`."""

    like: list[QueryEntry] = Field(default=[], max_length=MAX_ENTRIES)
    unlike: list[QueryEntry] = Field(default=[], max_length=MAX_ENTRIES)
    k: int = Field(default=60, ge=1, le=MAX_HITS)
    offset: int = Field(default=0, ge=0, le=MAX_ROWS, description=f"With a query, offset + k is at most {MAX_REACH}.")
    by: By | None = None
    pool: Name = "mean"
    fuse: Name = "score"
    max_false_match_rate: _Finite | None = None
    max_distance: _Finite | None = Field(
        default=None, ge=0, description="Only hits within this distance by the only feature, from an exact search."
    )
    where: Sql | None = None
    order_by: Sql | None = Field(
        default=None, description="Sorts the best hits, see `reach`; without a query, all images."
    )
    distinct: Name | None = None
    diversify: _Finite = 0.0
    exact: bool = False
    with_self: bool = Field(default=False, description="Whether a query, or an image with its bytes, may be a hit.")
    expand: int = Field(
        default=0,
        ge=0,
        le=MOST_EXPANDED,
        description="Maximum number of surely related images with which a like is averaged before the search.",
    )
    within: MapArea | None = None
    reach: int | None = Field(
        default=None,
        ge=1,
        le=MAX_HITS,
        description="Number of best hits that `order_by` and `diversify` apply to, and from which pages are taken. "
        "Use the same number for all pages. Required for further pages of sorted hits. Default: offset + k.",
    )


class ExplainRequestBody(SearchRequestBody):
    """A search, and the hit to explain."""

    hit: str = Field(pattern="^[0-9a-f]{16}$")


def parse_json(kind: type[T], text: bytes | str) -> T:
    """Parse and validate a JSON text.

    Raises:
        ApiError: 422, the text is not valid JSON, or does not match the schema.
    """
    with _as_api_error():
        return kind.model_validate_json(text or b"{}")


def json_body(kind: type[BaseModel]) -> dict[str, Any]:
    """Describe a body of JSON for the OpenAPI document; its model is one of `app.BODIES`."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def parse_fields(kind: type[T], **fields: Any) -> T:
    """Validate the fields of a body that a route has composed of its parameters.

    Raises:
        ApiError: 422, the fields do not match the schema.
    """
    with _as_api_error():
        return kind.model_validate(fields)


@contextmanager
def _as_api_error() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise validation_error(error.errors(include_url=False, include_input=False)) from error


def validation_error(errors: Any) -> ApiError:
    """Convert the first errors of pydantic to a 422 of one line; SQL that is nested too deep is a `BadFilter`."""
    messages, kind = [], "BadRequest"
    for error in list(errors)[:3]:
        field = ".".join(str(part) for part in error["loc"])
        messages.append(f"{field}: {error['msg']}" if field else str(error["msg"]))
        if error["type"] == _NESTING:
            kind = "BadFilter"  # the page shows it beside the filter
    return ApiError(422, kind, "; ".join(messages) or "the request is invalid")
