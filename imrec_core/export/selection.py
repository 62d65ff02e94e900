"""What is exported, block by block, so that its size does not matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core.errors import BadExport
from imrec_core.export.spaces import Space, check_target, space_of
from imrec_core.features import Feature
from imrec_core.features.feature_metric import split_name
from imrec_core.generation import Generation
from imrec_core.metrics import Metric
from imrec_core.scan import Matrix, Rows

BLOCK_BYTES = 16_000_000
"""Size of a block of vectors, counted as 4 bytes for each number; text and Python's numbers take blocks of a tenth."""

_MOST_ROWS = 8192  # in a block, whose rows take memory beside their vectors


@dataclass(frozen=True)
class Column:
    """A feature that is exported.

    Attributes:
        metric: By which it is compared; None where a target compares nothing.
    """

    feature: Feature
    metric: Metric | None
    space: Space

    @property
    def name(self) -> str:
        return self.feature.name

    @property
    def width(self) -> int:
        """Numbers in a vector as the target holds it."""
        return int(self.space.map(np.ones((1, self.feature.width), self.feature.dtype)).shape[1])

    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        facts = {"dims": self.feature.dims, "dtype": self.feature.dtype}
        return facts | ({"metric": self.metric.name, "distance": self.space.distance} if self.metric else {})


@dataclass(frozen=True)
class Block:
    """Some rows, one after another.

    Attributes:
        vectors: By feature, as the target holds them.
    """

    rows: pa.Table
    vectors: dict[str, Matrix]


@dataclass(frozen=True)
class Selection:
    """Rows and features of one generation.

    Attributes:
        kept: Numbers of the rows, ascending; None for all. Those of images that were removed are never among them.
        part_rows: Rows of a part, at most.
    """

    generation: Generation
    columns: tuple[Column, ...]
    kept: Rows | None
    part_rows: int

    def __len__(self) -> int:
        return len(self.generation) if self.kept is None else len(self.kept)

    @property
    def parts(self) -> range:
        return range(-(-len(self) // self.part_rows))

    def part(self, number: int) -> slice:
        """The places of its rows among those that are exported."""
        first = number * self.part_rows
        return slice(first, min(first + self.part_rows, len(self)))

    def step(self, share: float = 1.0) -> int:
        """Rows of a block that is a share of the full size."""
        width = sum(column.width for column in self.columns)
        return max(1, min(_MOST_ROWS, int(share * BLOCK_BYTES / (4 * max(width, 1)))))

    def numbers(self, places: slice) -> Rows:
        """Numbers in the generation of the rows at some places."""
        return np.arange(places.start, places.stop) if self.kept is None else self.kept[places]

    def vectors(self, column: Column, places: slice) -> Matrix:
        """Vectors of the rows at some places, as the target holds them."""
        matrix = self.generation.matrix(column.name)
        found = matrix[places] if self.kept is None else matrix[self.kept[places]]
        return column.space.map(found)

    def reader(self) -> Reader:
        return Reader(self)


class Reader:
    """Reads a selection once, from front to back; places may be passed over."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        file = pq.ParquetFile(selection.generation.rows_path, memory_map=True)
        self.schema: pa.Schema = file.schema_arrow.remove_metadata()
        self._batches = file.iter_batches(_MOST_ROWS)
        self._first = 0
        self._batch: pa.RecordBatch | None = None

    def blocks(self, places: slice, *, share: float = 1.0) -> Iterator[Block]:
        """Blocks of the rows at some places, which must come after those asked for before.

        Args:
            places: With a start and a stop.
            share: Of the full size of a block.
        """
        selection, step = self._selection, self._selection.step(share)
        for first in range(places.start, places.stop, step):
            part = slice(first, min(first + step, places.stop))
            vectors = {column.name: selection.vectors(column, part) for column in selection.columns}
            yield Block(self._rows(selection.numbers(part)), vectors)

    def _rows(self, wanted: NDArray[np.int64]) -> pa.Table:
        pieces = []
        while len(wanted):
            while self._batch is None or wanted[0] >= self._first + len(self._batch):
                self._first += 0 if self._batch is None else len(self._batch)
                self._batch = next(self._batches)
            inside = int(np.searchsorted(wanted, self._first + len(self._batch)))
            pieces.append(self._batch.take(pa.array(wanted[:inside] - self._first)))
            wanted = wanted[inside:]
        return pa.Table.from_batches(pieces, self.schema)


def select(
    generation: Generation, to: str, by: Sequence[str] | None = None, where: str | None = None, part_rows: int = 100_000
) -> Selection:
    """What is to be exported to a target.

    Args:
        by: `feature` or `feature:metric`; None for all features, of which CSV gets none.
        where: SQL condition over the rows.

    Raises:
        UnknownName: No such target, feature or metric.
        BadExport: The target cannot compare by a metric, a feature is named twice, or nothing is left to export.
        BadFilter: `where` is no condition.
    """
    check_target(to)
    if part_rows < 1:
        raise BadExport(f"part_rows is {part_rows}; it must be 1 or more")
    columns = [_column(generation, to, name) for name in _named(generation, to, by)]
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise BadExport(f"{name} is named twice; name it once, with one metric")
    of_rows = pq.read_schema(generation.rows_path).names
    taken = sorted({name.lower() for name in names} & {name.lower() for name in of_rows})
    if taken and to in ("parquet", "csv", "lance"):
        raise BadExport(f"a column of yours is called {taken[0]!r}, like the feature; rename it, or leave that out")
    for name in names:
        generation.matrix(name)  # mapped now: it stays readable when later builds remove the generation
    kept = generation.live if generation.removed else None
    if where is not None:
        kept = generation.filter.rows(where)
    if kept is not None and not len(kept):
        raise BadExport(f"no image is left by the condition {where!r}; nothing was exported")
    return Selection(generation, tuple(columns), kept, part_rows)


def _named(generation: Generation, to: str, by: Sequence[str] | None) -> Sequence[str]:
    if by is not None:
        return by
    generation.default_feature  # noqa: B018  # refuses a generation all of whose features are outdated
    return () if to == "csv" else tuple(generation.features)


def _column(generation: Generation, to: str, name: str) -> Column:
    feature_name, metric_name = split_name(name)
    feature = generation.feature(feature_name)
    named = feature.find_metric(metric_name) if metric_name else None
    space = space_of(to, feature, named)
    return Column(feature, (named or feature.metric) if space.distance else None, space)
