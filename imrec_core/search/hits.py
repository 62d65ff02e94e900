"""The results of a search, and their conversion to tables, JSON, contact sheets and plots."""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import pyarrow as pa

from imrec_core.lake.storage.files import AnyPath, place

if TYPE_CHECKING:
    import polars as pl
    from PIL import Image

    from imrec_core.plots.sheet_layout import Cell, Section

_IN_NOTEBOOK = 30  # hits shown in a notebook, about 150 kB

DisplayImage: TypeAlias = "AnyPath | Image.Image"
"""A query as a contact sheet shows it: a file or an image in memory."""


@dataclass(frozen=True)
class FeatureScore:
    """Distance and score of a hit by one feature.

    Attributes:
        distance: Distance to the likes in the unit of the metric, pooled. That of unrelated images if there is nothing
            to compare.
        score: Calibrated score of the distance, 0 to 1: 1 for identical images, 0 for the distance of random images.
        false_match_rate: Share of random pairs of images of the lake that are as near by this feature, 0 to 1.
        rank: Rank by that distance among the ranked images, from 1; equal distances have the same rank.
        unlike: Score that the unlikes take away: by how much the image is closer to one of them than to the likes,
            times its weight; 0 if it is not.
        note: Why there is nothing to compare, such as `the image has no keypoints`; empty if there is.
    """

    distance: float
    score: float
    false_match_rate: float
    rank: int
    unlike: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Hit:
    """An image found by a search.

    Attributes:
        rank: From 1, the best. `order_by` changes the order of the hits, not their ranks.
        image_id: Id of the image, 16 hexadecimal digits.
        source: Name of the source in `lake.toml` that the image belongs to.
        path: Full path or URL of the file.
        score: 0 to 1: 1 for an image identical to the query, 0 for one as far as random images.
        likeness: How rarely random images are as close to the likes, in a word from `same image` to `weak`; see
            `search.likeness`. Empty for text queries, for which that is not known.
        parts: Distance and score by each feature, by name as given in `by`.
    """

    rank: int
    image_id: str
    source: str
    path: str
    score: float
    likeness: str
    parts: Mapping[str, FeatureScore]


@dataclass(frozen=True)
class Hits(Sequence[Hit]):
    """The hits of a search, best first or in the order of `order_by`: an immutable sequence of `Hit`.

    Attributes:
        hits: The hits.
        plan: How they were found: exact search or HNSW graph, and the numbers of candidates and of matches.
        generation: Id of the generation that was searched.
        cut: Number of ranked images that `max_false_match_rate` excludes. If there are no hits and this is above 0,
            there is no good match.
        likes, unlikes: The queries as a contact sheet shows them, without texts and vectors.
        features: Names of the features of the search, as given in `by`.
        more: Whether a larger k would return more hits.
        notes: Remarks on the query, such as `sift_vlad: the query has no keypoints`.
        total: Number of hits with the largest k: of the images that pass the filter, without the queries. None with
            `max_false_match_rate` or `distinct`, where only a comparison with all images could tell.
    """

    hits: tuple[Hit, ...]
    plan: str
    generation: str
    cut: int = 0
    likes: tuple[DisplayImage, ...] = ()
    unlikes: tuple[DisplayImage, ...] = ()
    features: tuple[str, ...] = ()
    more: bool = False
    notes: tuple[str, ...] = ()
    total: int | None = None

    @property
    def query(self) -> DisplayImage | None:
        """The first like that has an image; None if there is none."""
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
        """Return the hits as dictionaries, as `imrec search --json` prints them."""
        return [asdict(hit) for hit in self.hits]

    def to_polars(self) -> pl.DataFrame:
        """Return a table of one row per hit; see `to_arrow`."""
        import polars as pl

        return pl.DataFrame(self.to_arrow())

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table of one row per hit.

        The columns are rank, image_id, source, path, score and likeness, and for each feature `<feature>_distance`,
        `_score`, `_false_match_rate`, `_rank`, `_unlike` and `_note`.
        """
        columns: dict[str, Any] = {
            "rank": pa.array([h.rank for h in self], pa.int64()),
            **{
                name: pa.array([getattr(h, name) for h in self], pa.string()) for name in ("image_id", "source", "path")
            },
            "score": pa.array([h.score for h in self], pa.float64()),
            "likeness": pa.array([h.likeness for h in self], pa.string()),
        }
        for name in self.features:
            for field in fields(FeatureScore):
                kind = {"rank": pa.int64(), "note": pa.string()}.get(field.name, pa.float64())
                columns[f"{name}_{field.name}"] = pa.array([getattr(h.parts[name], field.name) for h in self], kind)
        return pa.table(columns)

    def to_json(self) -> str:
        """Return `to_dict` as a JSON document."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary: generation, plan, number of excluded images (`cut`), notes on the query, and hits."""
        about = {"generation": self.generation, "plan": self.plan, "cut": self.cut, "notes": list(self.notes)}
        return {**about, "hits": self.to_dicts()}

    def contact_sheet(self, path: str | os.PathLike[str], *, title: str = "") -> None:
        """Write an image of the queries and the hits with their ranks and scores.

        Args:
            path: File to write; its suffix is `.svg`, or that of a format of Pillow such as `.png`.
            title: Heading above the images. Default: the names of the queries.

        Raises:
            OSError: The file cannot be written.
            ValueError: No format has that suffix.
        """
        from imrec_core.plots.contact_sheet import save

        save([self.section(title)], path)

    def section(self, title: str = "") -> Section:
        """Return a section of a contact sheet: a heading, what was searched, and the cells of `cells`.

        Args:
            title: As for `contact_sheet`.
        """
        from imrec_core.plots.sheet_layout import Section

        names = [_display_name(like) for like in self.likes], [_display_name(unlike) for unlike in self.unlikes]
        likes, unlikes = (", ".join(name for name in side if name) for side in names)
        of = f"Most similar to {likes or 'the query'}" + (f", less like {unlikes}" if unlikes else "")
        parts = [f"by {', '.join(self.features)}", f"{len(self)} {'hit' if len(self) == 1 else 'hits'}"]
        if self.cut:
            parts.append(f"{self.cut:,} more beyond the threshold")
        return Section(title or of, self.cells(), "  ·  ".join([*parts, f"generation {self.generation}"]))

    def cells(self) -> list[Cell]:
        """Return the queries and the hits as cells of a contact sheet."""
        from imrec_core.plots.sheet_layout import Cell

        queries = [Cell(like, ("query", _display_name(like)), "like") for like in self.likes]
        queries += [Cell(unlike, ("unlike", _display_name(unlike)), "unlike") for unlike in self.unlikes]
        return queries + [Cell(place(h.path), (_score_text(h), h.path.rpartition("/")[2]), rank=h.rank) for h in self]

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: small images of the queries and the first hits, with the scores."""
        from imrec_core.plots.html_grid import grid

        count = f"{len(self)} {'hit' if len(self) == 1 else 'hits'}"
        if not self:
            count = "no good match" if self.cut else "no image left to compare with"
        headings = (f"{count} by {', '.join(self.features)}", f"generation {self.generation}: {self.plan}")
        return grid(headings, self.cells(), most=len(self.likes) + len(self.unlikes) + _IN_NOTEBOOK)

    def explain(self, index: int, *, like: int | None = None) -> Image.Image:
        """Draw why an image is a hit: keypoints and colours it shares with the query, and its scores.

        Args:
            index: Position of the hit, from 0; negative from the end.
            like: Position in `likes` of the query to compare with. Default: the one with most matching keypoints.

        Returns:
            An RGB image; without likes that have an image, it shows only the hit and the scores.

        Raises:
            IndexError: There is no such hit or like.
            ImageError: The file of the hit or of the like cannot be read any more.
        """
        from imrec_core.images.matching import explain, explain_best
        from imrec_core.plots import explanation_sheet

        hit, position = self.hits[_from_front(index, len(self), "hit")], 0
        if like is not None:
            position = _from_front(like, len(self.likes), "like that can be shown")
            why = explain(self.likes[position], place(hit.path))
        elif self.likes:
            position, why = explain_best(self.likes, place(hit.path))
        else:
            why = explain(None, place(hit.path))
        query = f"query {position + 1} of {len(self.likes)}" if len(self.likes) > 1 else "query"
        bars = [
            explanation_sheet.Bar(
                name, part.score, part.note or f"distance {part.distance:.4g}   rank {part.rank}", part.unlike
            )
            for name, part in hit.parts.items()
        ]
        return explanation_sheet.draw(why, titles=(query, f"hit {hit.rank}   score {_score_text(hit)}"), bars=bars)


def _display_name(image: DisplayImage) -> str:
    """Return the name of a file; empty for an image in memory."""
    from PIL import Image

    return "" if isinstance(image, Image.Image) else str(image).rpartition("/")[2]


def _score_text(hit: Hit) -> str:
    return f"{hit.score:.3f} {hit.likeness}".rstrip()


def _from_front(index: int, count: int, kind: str) -> int:
    """Return the index of an item counted from the front.

    Raises:
        IndexError: There is no such item.
    """
    position = operator.index(index)
    if not -count <= position < count:
        raise IndexError(f"no {kind} at {position}; there are {count}, counted from 0")
    return position % count
