"""One consistent, immutable set of rows, vectors and graphs, opened for reading.

`index.py` builds what this module opens. Row `i` is the same image in every matrix.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from imrec_core.catalog.path_lookup import find_rows
from imrec_core.errors import MissingTable, QueryError, StaleIndex, UnknownName
from imrec_core.features import FEATURES, Feature, known_features
from imrec_core.features.feature_metric import graph_name
from imrec_core.features.metrics import Metric
from imrec_core.index import exact_search
from imrec_core.index.calibration import Calibration
from imrec_core.index.exact_search import Queries
from imrec_core.index.graph_search import HnswGraphs
from imrec_core.index.manifest import HnswIndexInfo, hold_manifest, make_facts, matrix_name, read_manifest
from imrec_core.index.vector_file import VectorFile
from imrec_core.lake.lake import ROWS_FILE, Lake
from imrec_core.lake.storage.files import AnyPath
from imrec_core.sql.row_filter import RowFilter

log = logging.getLogger(__name__)

Matrix = NDArray[Any]
Rows = NDArray[np.int64]

_TOGETHER = 65_536  # rows that are read at once


class Generation:
    """A generation opened for reading; nothing changes it.

    Vectors are memory-mapped, graphs are loaded when first used. Safe to use from several threads.

    Args:
        folder: Where it lies.
        known: The features that the lake can have. One that is declared otherwise since is left out.
        graphs: Instead of those that its manifest lists, for measuring ones that are not published.

    Attributes:
        facts: Its manifest.
        features: What is noted of each feature that can be searched by.
        graphs: By `feature:metric`.
        outdated: Features that are declared otherwise since.

    Raises:
        StaleIndex: A file is missing, of another size, or of a version that this imrec does not read.
    """

    def __init__(
        self,
        folder: Path,
        known: Mapping[str, Feature] = FEATURES,
        graphs: Mapping[str, HnswIndexInfo] | None = None,
    ) -> None:
        self.folder, self.id = folder, folder.name
        # Graphs are loaded late: until nobody uses this any more, nobody is to remove them.
        weakref.finalize(self, hold_manifest(folder).close)
        self.facts: Mapping[str, Any] = MappingProxyType(read_manifest(folder))
        stored: dict[str, dict[str, Any]] = self.facts["features"]
        self.features: Mapping[str, Mapping[str, Any]] = MappingProxyType(
            {n: f for n, f in stored.items() if n in known and make_facts(known[n]).items() <= f.items()}
        )
        self.outdated = tuple(name for name in stored if name not in self.features)
        self._known = known
        self._declared = {name: known[name] for name in self.features}
        if graphs is None:
            graphs = {name: HnswIndexInfo.from_dict(graph) for name, graph in self.facts["graphs"].items()}
        self.graphs: Mapping[str, HnswIndexInfo] = MappingProxyType(
            {name: graph for name, graph in graphs.items() if graph.feature in self.features}
        )
        self._hnsw = HnswGraphs(folder, self.graphs)
        self._matrices: dict[str, Matrix] = {}
        self._columns: dict[str, pa.Array] = {}

    def with_graphs(self, graphs: Mapping[str, HnswIndexInfo]) -> Generation:
        """The same rows and vectors with other graphs, whose files are in its folder."""
        return Generation(self.folder, self._known, graphs)

    def __len__(self) -> int:
        """Rows, those of images that were removed among them; see `live`."""
        return int(self.facts["rows"])

    @property
    def removed(self) -> int:
        """Rows whose image was removed or has changed: they are no hits, and keep their number."""
        return int(self.facts.get("removed", 0))

    @functools.cached_property
    def is_live(self) -> NDArray[np.bool_]:
        """Of each row whether its image is there still, `(rows,)`."""
        if not self.removed:
            return np.ones(len(self), np.bool_)
        return ~np.asarray(self.columns("removed")["removed"].to_numpy(zero_copy_only=False), np.bool_)

    @functools.cached_property
    def live(self) -> Rows:
        """The rows whose images are there still, ascending."""
        return np.flatnonzero(self.is_live)

    def live_table(self, columns: list[str]) -> pa.Table:
        """Columns of the live rows, in the order of `live`."""
        table = self.columns(*columns)
        return table.take(self.live) if self.removed else table

    @property
    def rows_path(self) -> Path:
        return self.folder / ROWS_FILE

    @functools.cached_property
    def rows(self) -> pa.Table:
        """All that is known of the rows; a search needs little of it, `columns`."""
        return pq.read_table(self.rows_path, memory_map=True).combine_chunks()

    def columns(self, *names: str) -> pa.Table:
        """What is known of the rows under some names, each read once and in one piece.

        Of half a million rows in several pieces Arrow takes ten in 1.4 ms, of one piece in 0.02. Read by batches they
        leave less than half of the memory behind.
        """
        missing = [name for name in names if name not in self._columns]
        if missing:
            batches = list(pq.ParquetFile(self.rows_path, memory_map=True).iter_batches(_TOGETHER, columns=missing))
            for name in missing:
                self._columns[name] = pa.concat_arrays([batch.column(name) for batch in batches])
            del batches
            pa.default_memory_pool().release_unused()
        return pa.table({name: self._columns[name] for name in names})

    @functools.cached_property
    def filter(self) -> RowFilter:
        return RowFilter(self.rows_path)

    @functools.cached_property
    def _ids(self) -> tuple[NDArray[np.uint64], Rows]:
        """Image ids as numbers, ascending, and the row of each."""
        numbers = _as_numbers(self.live_table(["image_id"])["image_id"])
        order = np.argsort(numbers)
        return numbers[order], self.live[order]

    def row_of(self, image_id: str) -> int:
        """The row of an image.

        Raises:
            QueryError: This generation has no such image.
        """
        numbers, rows = self._ids
        try:
            wanted = np.uint64(int(image_id, 16))
        except (ValueError, OverflowError, TypeError):
            raise QueryError(f"{image_id!r} is no image_id; one has 16 hex digits") from None
        at = int(np.searchsorted(numbers, wanted))
        if at == len(numbers) or numbers[at] != wanted:
            raise QueryError(f"no image {image_id!r} in generation {self.id}; see: imrec sql 'SELECT * FROM rows'")
        return int(rows[at])

    def rows_of(self, image_ids: Sequence[str] | NDArray[np.uint64]) -> Rows:
        """The row of each image, -1 where this generation has none of that id.

        Args:
            image_ids: 16 hex digits each, or the numbers that they stand for.
        """
        wanted = image_ids if isinstance(image_ids, np.ndarray) else _as_numbers(image_ids)
        numbers, rows = self._ids
        if not len(numbers):
            return np.full(len(wanted), -1, np.int64)
        at = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
        return np.where(numbers[at] == wanted, rows[at], -1)

    def find_rows(self, paths: pa.Array, sources: Mapping[str, AnyPath]) -> Rows:
        """The live row of each path, or why there is none; see `places.find_rows`."""
        found = find_rows(paths, self.live_table(["source", "path"]), sources)
        return np.where(found >= 0, self.live[found], found)

    def feature(self, name: str) -> Feature:
        """A feature that this generation has.

        Raises:
            UnknownName: It has none of that name.
        """
        if name not in self.features:
            if name in self.facts["missing"]:
                raise StaleIndex(f"feature {name!r} is not in the generation yet; run: imrec build")
            if name in self.outdated:
                raise StaleIndex(f"feature {name!r} is declared otherwise since generation {self.id}; run: imrec build")
            raise UnknownName("feature", name, self.features)
        return self._declared[name]

    @property
    def default_feature(self) -> str:
        """The one that is searched by where none is named: the first.

        Raises:
            StaleIndex: All are declared otherwise since.
        """
        if not self.features:
            raise StaleIndex(f"all features are declared otherwise since generation {self.id}; run: imrec build")
        return next(iter(self.features))

    @property
    def fit_versions(self) -> dict[str, str]:
        """Which fit the vectors of each fitted feature were made with."""
        return {name: facts["fitted"] for name, facts in self.features.items() if "fitted" in facts}

    def matrix(self, feature: str) -> Matrix:
        """All vectors of a feature `(rows, width)`, memory-mapped."""
        if feature not in self._matrices:
            self._matrices[feature] = self.matrix_file(feature).opened()
        return self._matrices[feature]

    def matrix_file(self, feature: str) -> VectorFile:
        """Where all vectors of a feature are."""
        stored = self.features[feature]
        return VectorFile(self.folder / matrix_name(feature), len(self), stored["width"], stored["dtype"])

    def calibration(self, feature: str, metric: str) -> Calibration:
        return Calibration.from_facts(self.facts["calibration"][feature][metric])

    # -- nearest rows -----------------------------------------------------------------------------------

    def graph_of(self, feature: Feature, metric: Metric) -> str | None:
        """The graph that gives candidates for a feature in a metric; None where there is none, for a scan.

        Its own in that metric, the one that stands in for it, or its own in the default metric.
        """
        stand_in = self._declared.get(feature.candidates or "")
        names = [graph_name(feature, metric), graph_name(feature, feature.metric)]
        if stand_in is not None:
            names.insert(1, graph_name(stand_in, stand_in.metric))
        return next((name for name in names if name in self.graphs), None)

    def from_graph(self, name: str, vector: Matrix, count: int, *, ef: int | None = None) -> Rows:
        """About `count` nearest rows by a graph, nearest first.

        Args:
            name: Of `graphs`.
            vector: Of that graph's feature `(width,)`, as stored, not lifted.
            ef: Size of the candidate list instead of the stored one, for measuring; it has no effect on other queries.
        """
        vectors = self.matrix(self.graphs[name].feature)
        return self._hnsw.nearest(name, vector, count, vectors, self.is_live if self.removed else None, ef=ef)

    def scan(self, feature: str, metric: Metric, vectors: Queries, count: int, among: Rows | None = None) -> Rows:
        """The `count` nearest rows of each query by exact distance, nearest first, ties in row order.

        Args:
            vectors: Queries, `n` of them.
            among: Rows to look at, ascending; None for all whose images are there still.

        Returns:
            `(n, min(count, rows looked at))`; what was removed is not among them while there is enough else.
        """
        if among is None and self.removed:
            return exact_search.nearest(metric, vectors, self.matrix(feature), count, but=~self.is_live)
        return exact_search.nearest(metric, vectors, self.matrix(feature), count, among)


def _as_numbers(ids: pa.ChunkedArray | Sequence[str]) -> NDArray[np.uint64]:
    """Image ids, 16 hex digits each, as numbers; one by one half a million would take half a second, and 60 MB."""
    return pl.Series(ids, dtype=pl.String).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()


def open_generation(lake: Lake) -> Generation:
    """The generation in use; the one before it where that is damaged, with a warning.

    Raises:
        MissingTable: None was ever published.
        StaleIndex: None can be read.
    """
    lake.check_version()
    current = lake.current_generation()
    if current is None:
        raise MissingTable(f"{lake.root} has no generation yet; run: imrec build")
    known = known_features(lake)
    older = [name for name in reversed(lake.generations()) if name < current]
    failure: StaleIndex | None = None
    for name in (current, *older):
        try:
            generation = Generation(lake.local_generation(name), known)
        except StaleIndex as error:
            if lake.current_generation() != current:  # it was removed while it was opened: newer ones are there
                return open_generation(lake)
            failure = failure or error
            continue
        if failure is not None:
            log.warning("%s; using generation %s instead. To repair it, run: imrec build", failure, name)
        return generation
    raise StaleIndex(f"{failure}; run: imrec build") from failure
