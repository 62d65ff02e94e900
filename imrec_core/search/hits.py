"""The results of a search, and the forms that they can be had in."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias, overload

import polars as pl
import pyarrow as pa
from PIL import Image

from imrec_core.images.matching import explain, explain_best
from imrec_core.lake.storage.files import AnyPath, place
from imrec_core.plots import explanation_sheet
from imrec_core.plots.contact_sheet import Cell, save
from imrec_core.plots.html_grid import grid

_IN_NOTEBOOK = 30  # hits that are shown: 150 kB

Shown: TypeAlias = "AnyPath | Image.Image"
"""A query as a contact sheet shows it."""


@dataclass(frozen=True)
class Part:
    """What one feature says of a hit.

    Attributes:
        distance: To the likes, pooled.
        score: What that distance means in this gallery, 0 to 1; see `Calibration.score`.
        false_match_rate: Share of random pairs of the gallery that are as near by this feature.
        rank: By that distance among the images that were ranked, from 1; equal ones share theirs.
        unlike: Score of its distance to the nearest unlike, times the weight of that; 0 without unlikes.
    """

    distance: float
    score: float
    false_match_rate: float
    rank: int
    unlike: float = 0.0


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        rank: From 1, the best; `order_by` changes the order of the hits, not this.
        path: Of the file, to be opened.
        score: 1 for identical, 0 for as far as random images are, or as near to an unlike as to the likes.
        parts: By feature as it was asked for.
    """

    rank: int
    image_id: str
    source: str
    path: str
    score: float
    parts: Mapping[str, Part]


@dataclass(frozen=True)
class Hits(Sequence[Hit]):
    """The results of a search, best first or as `order_by` says.

    Attributes:
        plan: How they were found: scan or graph, how many candidates, how many of them a cut left.
        generation: Id of the generation that answered.
        cut: Images that were ranked and are farther than `max_false_match_rate` allows. Without hits, and with more
            than 0 here, there is no good match.
        likes, unlikes: The queries as a contact sheet shows them; words and vectors are left out.
        features: What the hits have parts of, as it was asked for.
        more: Whether a search for more would find more.
    """

    hits: tuple[Hit, ...]
    plan: str
    generation: str
    cut: int = 0
    likes: tuple[Shown, ...] = ()
    unlikes: tuple[Shown, ...] = ()
    features: tuple[str, ...] = ()
    more: bool = False

    @property
    def query(self) -> Shown | None:
        """The first of the likes that can be shown."""
        return self.likes[0] if self.likes else None

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The hits as plain data; what `imrec search --json` prints."""
        return [asdict(hit) for hit in self.hits]

    def to_polars(self) -> pl.DataFrame:
        """A row per hit: rank, image_id, source, path, score, then `<feature>_distance` and so on for each `Part`."""
        return pl.DataFrame(self.to_arrow())

    def to_arrow(self) -> pa.Table:
        """The same as an Arrow table."""
        columns: dict[str, Any] = {
            "rank": pa.array([h.rank for h in self], pa.int64()),
            **{
                name: pa.array([getattr(h, name) for h in self], pa.string()) for name in ("image_id", "source", "path")
            },
            "score": pa.array([h.score for h in self], pa.float64()),
        }
        for name in self.features:
            for field in fields(Part):
                kind = pa.int64() if field.name == "rank" else pa.float64()
                columns[f"{name}_{field.name}"] = pa.array([getattr(h.parts[name], field.name) for h in self], kind)
        return pa.table(columns)

    def to_json(self) -> str:
        """The hits as one JSON document, with the generation that answered, the plan and what was cut."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"generation": self.generation, "plan": self.plan, "cut": self.cut, "hits": self.to_dicts()}

    def contact_sheet(self, path: str | os.PathLike[str], *, title: str = "") -> None:
        """Write a picture of the queries and the hits, with the scores; `.svg`, or a format of Pillow's such as `.png`.

        Raises:
            OSError, ValueError: It cannot be written, or no format has that ending.
        """
        save([(title, self.cells())], path)

    def cells(self) -> list[Cell]:
        """The queries and the hits as cells of a contact sheet."""
        asked = [Cell(like, ("query",), framed=True) for like in self.likes]
        asked += [Cell(unlike, ("unlike",), framed=True) for unlike in self.unlikes]
        return asked + [Cell(place(h.path), (f"{h.score:.3f}", h.path.rpartition("/")[2])) for h in self]

    def _repr_html_(self) -> str:
        """How a notebook shows them: small pictures of the queries and of the first hits, with the scores."""
        found = "hit" if len(self) == 1 else "hits"
        said = f"{len(self)} {found}"
        if not self:
            said = "no good match" if self.cut else "no image left to compare with"
        asked = len(self.likes) + len(self.unlikes)
        headings = (f"{said} by {', '.join(self.features)}", f"generation {self.generation}: {self.plan}")
        return grid(headings, self.cells(), most=asked + _IN_NOTEBOOK)

    def explain(self, index: int, *, like: int | None = None) -> Image.Image:
        """A picture of why a hit is one: the keypoints and colours that it shares with the query, and its parts.

        Args:
            index: As of a sequence.
            like: Which of `likes` is shown; by default that with most matched keypoints.

        Raises:
            IndexError: There is no such hit, or no such like.
            ImageError: The file of the hit or of a like is gone or broken by now; the message names it.
        """
        hit, which = self.hits[_place(index, len(self), "hit")], 0
        if like is not None:
            which = _place(like, len(self.likes), "like that can be shown")
            why = explain(self.likes[which], place(hit.path))
        elif self.likes:
            which, why = explain_best(self.likes, place(hit.path))
        else:
            why = explain(None, place(hit.path))
        asked = f"query {which + 1} of {len(self.likes)}" if len(self.likes) > 1 else "query"
        bars = [
            explanation_sheet.Bar(name, part.score, f"distance {part.distance:.4g}   rank {part.rank}", part.unlike)
            for name, part in hit.parts.items()
        ]
        return explanation_sheet.draw(why, titles=(asked, f"hit {hit.rank}   score {hit.score:.3f}"), bars=bars)


def _place(index: int, count: int, what: str) -> int:
    """The index from the front.

    Raises:
        IndexError: There is nothing at it.
    """
    place = operator.index(index)
    if not -count <= place < count:
        raise IndexError(f"no {what} at {place}; there are {count}, counted from 0")
    return place % count
