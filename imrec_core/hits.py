"""The results of a search, and the forms that they can be had in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import polars as pl
import pyarrow as pa
from PIL import Image

from imrec_core.contact_sheet import Cell, draw


@dataclass(frozen=True)
class Part:
    """What one feature says of a hit: its distance, and the score that it means in this gallery."""

    distance: float
    score: float


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        rank: From 1.
        path: Of the file, to be opened.
        score: 1 for identical, 0 for as far as random images are; see `Calibration.score`.
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
    """The results of a search, best first.

    Attributes:
        plan: How they were found: scan or graph, and how many candidates.
        generation: Id of the generation that answered.
    """

    hits: tuple[Hit, ...]
    plan: str
    generation: str
    query: Path | Image.Image | None = None

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
        """A row per hit: rank, image_id, source, path, score, then `<feature>_distance` and `<feature>_score`."""
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
        for name in self.hits[0].parts if self.hits else ():
            columns[f"{name}_distance"] = pa.array([h.parts[name].distance for h in self])
            columns[f"{name}_score"] = pa.array([h.parts[name].score for h in self])
        return pa.table(columns)

    def to_json(self) -> str:
        """The hits as one JSON document, with the generation that answered and the plan."""
        answer = {"generation": self.generation, "plan": self.plan, "hits": self.to_dicts()}
        return json.dumps(answer, ensure_ascii=False)

    def contact_sheet(self, path: str | os.PathLike[str], *, title: str = "") -> None:
        """Write a picture of the query and its hits, with the scores."""
        draw([(title, self.cells())]).save(path)

    def cells(self) -> list[Cell]:
        """The query and its hits as cells of a contact sheet."""
        query = [Cell(self.query, ("query",), framed=True)] if self.query is not None else []
        return query + [Cell(Path(h.path), (f"{h.score:.3f}", Path(h.path).name)) for h in self]
