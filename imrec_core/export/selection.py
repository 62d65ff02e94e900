"""Rows and vectors to export, read in blocks, so that memory does not grow with the number of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core.errors import BadExport
from imrec_core.features import Feature
from imrec_core.features.feature_metric import split_name
from imrec_core.features.metrics import Metric
from imrec_core.features.spaces import Space, check_target, space_of
from imrec_core.index.exact_search import Matrix, Rows
from imrec_core.index.generation import Generation
from imrec_core.lake import tags
from imrec_core.lake.tags import TagFile
from imrec_core.sql.policy import SqlPolicy

BLOCK_BYTES = 16_000_000
"""Size of a full block of vectors, at 4 bytes per number. Text and Python objects use smaller blocks."""

_TAGS = pa.field(tags.COLUMN, pa.list_(pa.string()))
_MOST_ROWS = 8192  # per block: the columns of the rows take memory too


@dataclass(frozen=True)
class Column:
    """A feature to export.

    Attributes:
        metric: Metric to compare it by; None for targets without distances.
        space: Mapping of the vectors, and the distance of the target.
    """

    feature: Feature
    metric: Metric | None
    space: Space

    @property
    def name(self) -> str:
        """Name of the feature, and of the exported column."""
        return self.feature.name

    @property
    def width(self) -> int:
        """Numbers per vector in the target."""
        return int(self.space.map(np.ones((1, self.feature.width), self.feature.dtype)).shape[1])

    def facts(self) -> dict[str, Any]:
        """Describe the column for a manifest."""
        facts = {"dims": self.feature.dims, "dtype": self.feature.dtype}
        return facts | ({"metric": self.metric.name, "distance": self.space.distance} if self.metric else {})


@dataclass(frozen=True)
class Block:
    """Consecutive rows to export.

    Attributes:
        rows: Columns of the rows.
        vectors: Vectors by feature, mapped for the target.
    """

    rows: pa.Table
    vectors: dict[str, Matrix]


@dataclass(frozen=True)
class Selection:
    """Rows and features of one generation.

    Attributes:
        kept: Row numbers, ascending, never of removed images; None for all.
        part_rows: Maximum number of rows per part.
        tags: Tags for a column of the rows; None if a user column has its name.
    """

    generation: Generation
    columns: tuple[Column, ...]
    kept: Rows | None
    part_rows: int
    tags: TagFile | None

    def __len__(self) -> int:
        return len(self.generation) if self.kept is None else len(self.kept)

    @property
    def parts(self) -> range:
        """Numbers of the parts."""
        return range(-(-len(self) // self.part_rows))

    def part(self, number: int) -> slice:
        """Return the range of positions of a part, among the selected rows."""
        first = number * self.part_rows
        return slice(first, min(first + self.part_rows, len(self)))

    def step(self, share: float = 1.0) -> int:
        """Compute the number of rows per block, for a share of the full block size."""
        width = sum(column.width for column in self.columns)
        return max(1, min(_MOST_ROWS, int(share * BLOCK_BYTES / (4 * max(width, 1)))))

    def numbers(self, places: slice) -> Rows:
        """Return the row numbers in the generation for a range of positions."""
        return np.arange(places.start, places.stop) if self.kept is None else self.kept[places]

    def vectors(self, column: Column, places: slice) -> Matrix:
        """Read the vectors for a range of positions, mapped for the target."""
        matrix = self.generation.matrix(column.name)
        found = matrix[places] if self.kept is None else matrix[self.kept[places]]
        return column.space.map(found)

    def reader(self) -> Reader:
        """Start reading from the first row."""
        return Reader(self)


class Reader:
    """Forward-only reader of a selection; positions can be skipped."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        file = pq.ParquetFile(selection.generation.rows_path, memory_map=True)
        self._stored: pa.Schema = file.schema_arrow.remove_metadata()
        self._tags = None if selection.tags is None else selection.tags.by_content()
        self.schema = self._stored if self._tags is None else self._stored.append(_TAGS)
        self._batches = file.iter_batches(_MOST_ROWS)
        self._first = 0
        self._batch: pa.RecordBatch | None = None

    def blocks(self, places: slice, *, share: float = 1.0) -> Iterator[Block]:
        """Yield the blocks of a range of positions, which must follow all ranges read before.

        Args:
            places: Range with a start and a stop.
            share: Block size, as a share of the full size.
        """
        selection, step = self._selection, self._selection.step(share)
        for first in range(places.start, places.stop, step):
            part = slice(first, min(first + step, places.stop))
            vectors = {column.name: selection.vectors(column, part) for column in selection.columns}
            yield Block(self._rows(selection.numbers(part)), vectors)

    def _rows(self, numbers: NDArray[np.int64]) -> pa.Table:
        pieces = []
        while len(numbers):
            while self._batch is None or numbers[0] >= self._first + len(self._batch):
                self._first += 0 if self._batch is None else len(self._batch)
                self._batch = next(self._batches)
            inside = int(np.searchsorted(numbers, self._first + len(self._batch)))
            pieces.append(self._batch.take(pa.array(numbers[:inside] - self._first)))
            numbers = numbers[inside:]
        rows = pa.Table.from_batches(pieces, self._stored)
        if self._tags is None:
            return rows
        return rows.append_column(_TAGS, tags.tag_column(self._tags, rows["content_hash"].to_pylist()))


def select(
    generation: Generation, to: str, by: Sequence[str] | None = None, where: str | None = None, part_rows: int = 100_000
) -> Selection:
    """Select the rows and features to export to a target.

    Args:
        by: `feature` or `feature:metric`; None for all features, or for none with CSV.
        where: SQL condition over the rows.

    Raises:
        UnknownName: There is no such target, feature or metric.
        BadExport: The target lacks the metric, a feature is named twice, or no image matches.
        BadFilter: `where` is not a valid condition.
    """
    check_target(to)
    if part_rows < 1:
        raise BadExport(f"part_rows is {part_rows}; it must be 1 or more")
    columns = [_column(generation, to, name) for name in _feature_names(generation, to, by)]
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise BadExport(f"{name} is named twice; name it once, with one metric")
    row_columns = pq.read_schema(generation.rows_path).names
    taken = sorted({name.lower() for name in names} & {name.lower() for name in row_columns})
    if taken and to in ("parquet", "csv", "lance"):
        raise BadExport(f"column {taken[0]!r} has the name of a feature; rename the column or leave the feature out")
    for name in names:
        generation.matrix(name)  # map it now: it then stays readable if a later build removes the generation
    kept = generation.live if generation.removed else None
    if where is not None:
        kept = generation.filter.rows(where, SqlPolicy.TRUSTED)
    if kept is not None and not len(kept):
        raise BadExport(f"no image matches the condition {where!r}; nothing was exported")
    has_own = tags.COLUMN in {name.lower() for name in row_columns}
    return Selection(generation, tuple(columns), kept, part_rows, None if has_own else generation.tags)


def _feature_names(generation: Generation, to: str, by: Sequence[str] | None) -> Sequence[str]:
    if by is not None:
        return by
    generation.default_feature  # noqa: B018  # raises if all features of the generation are outdated
    return () if to == "csv" else tuple(generation.features)


def _column(generation: Generation, to: str, name: str) -> Column:
    feature_name, metric_name = split_name(name)
    feature = generation.feature(feature_name)
    metric = feature.find_metric(metric_name) if metric_name else None
    space = space_of(to, feature, metric)
    return Column(feature, (metric or feature.metric) if space.distance else None, space)
