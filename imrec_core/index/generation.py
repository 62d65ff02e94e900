"""Open a generation for reading: a consistent, immutable set of rows, vectors and HNSW graphs.

Row `i` is the same image in every matrix. `index.build` builds generations.
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
from imrec_core.features.feature_metric import FeatureMetric, graph_name
from imrec_core.features.metrics import Metric
from imrec_core.index import exact_search
from imrec_core.index.calibration import Calibration
from imrec_core.index.exact_search import Queries
from imrec_core.index.graph_search import HnswGraphs
from imrec_core.index.manifest import HnswIndexInfo, feature_record, hold_manifest, read_manifest, vector_file_name
from imrec_core.index.vector_file import VectorFile
from imrec_core.lake.lake import ROWS_FILE, Lake
from imrec_core.lake.storage.files import AnyPath
from imrec_core.sql.row_filter import RowFilter

log = logging.getLogger(__name__)

Matrix = NDArray[Any]
Rows = NDArray[np.int64]

_BATCH_ROWS = 65_536  # rows read at a time


class Generation:
    """A generation, opened for reading.

    Vectors are memory-mapped, graphs are loaded at their first query. Safe to use from several threads.

    Args:
        folder: Folder of the generation.
        known: Features by name. Stored features whose declaration has changed since are left out.
        graphs: Graphs to use instead of those in the manifest, to measure graphs before they are published.

    Attributes:
        facts: Manifest, the content of `generation.json`.
        features: Manifest entries of the features that can be searched.
        graphs: HNSW graphs by `feature:metric`.
        outdated: Stored features whose declaration has changed since.

    Raises:
        StaleIndex: A file is missing or has another size, or this imrec cannot read the format.
    """

    def __init__(
        self,
        folder: Path,
        known: Mapping[str, Feature] = FEATURES,
        graphs: Mapping[str, HnswIndexInfo] | None = None,
    ) -> None:
        self.folder, self.id = folder, folder.name
        # Graphs are loaded late, so the hold keeps other processes from removing their files while this object lives.
        weakref.finalize(self, hold_manifest(folder).close)
        self.facts: Mapping[str, Any] = MappingProxyType(read_manifest(folder))
        stored: dict[str, dict[str, Any]] = self.facts["features"]
        self.features: Mapping[str, Mapping[str, Any]] = MappingProxyType(
            {n: f for n, f in stored.items() if n in known and feature_record(known[n]).items() <= f.items()}
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
        """Return a generation of the same rows and vectors with other graphs, whose files are in the folder."""
        return Generation(self.folder, self._known, graphs)

    def __len__(self) -> int:
        """Return the number of rows, removed ones included; see `live`."""
        return int(self.facts["rows"])

    @property
    def removed(self) -> int:
        """Number of rows whose image was removed or has changed. They keep their row number and are never hits."""
        return int(self.facts.get("removed", 0))

    @functools.cached_property
    def is_live(self) -> NDArray[np.bool_]:
        """Mask of the rows whose image still exists `(rows,)`."""
        if not self.removed:
            return np.ones(len(self), np.bool_)
        return ~np.asarray(self.columns("removed")["removed"].to_numpy(zero_copy_only=False), np.bool_)

    @functools.cached_property
    def live(self) -> Rows:
        """Rows whose image still exists, ascending."""
        return np.flatnonzero(self.is_live)

    def live_table(self, columns: list[str]) -> pa.Table:
        """Read columns of the live rows, in the order of `live`."""
        table = self.columns(*columns)
        return table.take(self.live) if self.removed else table

    @property
    def rows_path(self) -> Path:
        """Path of `rows.parquet`."""
        return self.folder / ROWS_FILE

    @functools.cached_property
    def column_names(self) -> list[str]:
        """Names of the columns of the rows; a generation of an earlier version has fewer."""
        return list(pq.read_schema(self.rows_path).names)

    @functools.cached_property
    def rows(self) -> pa.Table:
        """All columns of the rows. Searches read few of them, through `columns`."""
        return pq.read_table(self.rows_path, memory_map=True).combine_chunks()

    def columns(self, *names: str) -> pa.Table:
        """Read columns of all rows; each is read once and kept as one chunk.

        To take ten of half a million rows, Arrow needs 1.4 ms from several chunks and 0.02 ms from one. Reading in
        batches leaves less than half as much memory allocated.
        """
        missing = [name for name in names if name not in self._columns]
        if missing:
            batches = list(pq.ParquetFile(self.rows_path, memory_map=True).iter_batches(_BATCH_ROWS, columns=missing))
            for name in missing:
                self._columns[name] = pa.concat_arrays([batch.column(name) for batch in batches])
            del batches
            pa.default_memory_pool().release_unused()
        return pa.table({name: self._columns[name] for name in names})

    @functools.cached_property
    def filter(self) -> RowFilter:
        """SQL filters and orders over the live rows."""
        return RowFilter(self.rows_path)

    @functools.cached_property
    def _ids(self) -> tuple[NDArray[np.uint64], Rows]:
        """Image ids of the live rows as numbers, ascending, and the row of each."""
        numbers = _as_numbers(self.live_table(["image_id"])["image_id"])
        order = np.argsort(numbers)
        return numbers[order], self.live[order]

    def row_of(self, image_id: str) -> int:
        """Return the row of an image.

        Raises:
            QueryError: This generation has no live image with that id.
        """
        numbers, rows = self._ids
        try:
            number = np.uint64(int(image_id, 16))
        except (ValueError, OverflowError, TypeError):
            raise QueryError(f"invalid image_id {image_id!r}: expected 16 hex digits") from None
        at = int(np.searchsorted(numbers, number))
        if at == len(numbers) or numbers[at] != number:
            raise QueryError(f"no image {image_id!r} in generation {self.id}; see: imrec sql 'SELECT * FROM rows'")
        return int(rows[at])

    def rows_of(self, image_ids: Sequence[str] | NDArray[np.uint64]) -> Rows:
        """Return the row of each image, and -1 for images without a live row.

        Args:
            image_ids: Ids as 16 hex digits, or as numbers.
        """
        ids = image_ids if isinstance(image_ids, np.ndarray) else _as_numbers(image_ids)
        numbers, rows = self._ids
        if not len(numbers):
            return np.full(len(ids), -1, np.int64)
        at = np.minimum(np.searchsorted(numbers, ids), len(numbers) - 1)
        return np.where(numbers[at] == ids, rows[at], -1)

    def find_rows(self, paths: pa.Array, sources: Mapping[str, AnyPath]) -> Rows:
        """Return the live row of each path, or a negative reason code; see `path_lookup.find_rows`."""
        found = find_rows(paths, self.live_table(["source", "path"]), sources)
        return np.where(found >= 0, self.live[found], found)

    def feature(self, name: str) -> Feature:
        """Return a feature of this generation.

        Raises:
            StaleIndex: The feature is not in the generation yet, or its declaration has changed since.
            UnknownName: No feature has that name.
        """
        if name not in self.features:
            if name in self.facts["missing"]:
                raise StaleIndex(f"feature {name!r} is not in the generation yet; run: imrec build")
            if name in self.outdated:
                raise StaleIndex(
                    f"declaration of feature {name!r} changed since generation {self.id}; run: imrec build"
                )
            raise UnknownName("feature", name, self.features)
        return self._declared[name]

    @property
    def default_feature(self) -> str:
        """Feature of searches that name none: the first.

        Raises:
            StaleIndex: The declarations of all features have changed since.
        """
        if not self.features:
            raise StaleIndex(f"declarations of all features changed since generation {self.id}; run: imrec build")
        return next(iter(self.features))

    @property
    def fit_versions(self) -> dict[str, str]:
        """Version of the fit that computed the vectors, by fitted feature."""
        return {name: facts["fitted"] for name, facts in self.features.items() if "fitted" in facts}

    def matrix(self, feature: str) -> Matrix:
        """Return all vectors of a feature `(rows, width)`, memory-mapped."""
        if feature not in self._matrices:
            self._matrices[feature] = self.vector_file(feature).map()
        return self._matrices[feature]

    def vector_file(self, feature: str) -> VectorFile:
        """Return the file of a feature's vectors."""
        stored = self.features[feature]
        return VectorFile(self.folder / vector_file_name(feature), len(self), stored["width"], stored["dtype"])

    def calibration(self, feature: str, metric: str) -> Calibration:
        """Return the calibration of a feature and metric."""
        return Calibration.from_dict(self.facts["calibration"][feature][metric])

    # -- nearest rows -----------------------------------------------------------------------------------

    def graph_of(self, feature: Feature, metric: Metric) -> str | None:
        """Choose the graph that gives candidates for a feature in a metric; None for exact search.

        In this order: the graph of the feature in that metric, the graph of `feature.candidates`, and the graph of the
        feature in its default metric.
        """
        substitute = self._declared.get(feature.candidates or "")
        names = [graph_name(feature, metric), graph_name(feature, feature.metric)]
        if substitute is not None:
            names.insert(1, graph_name(substitute, substitute.metric))
        return next((name for name in names if name in self.graphs), None)

    def graph_nearest(self, name: str, vector: Matrix, count: int, *, ef: int | None = None) -> Rows:
        """Find about `count` nearest rows with an HNSW graph, nearest first.

        Args:
            name: Name of the graph in `graphs`.
            vector: Vector of the graph's feature `(width,)`, as stored, not lifted.
            ef: Size of the candidate list; None for the stored one. Has no effect on other queries.
        """
        vectors = self.matrix(self.graphs[name].feature)
        return self._hnsw.nearest(name, vector, count, vectors, self.is_live if self.removed else None, ef=ef)

    def exact_nearest(
        self, feature: str, metric: Metric | FeatureMetric, vectors: Queries, count: int, among: Rows | None = None
    ) -> Rows:
        """Find the `count` nearest rows of each query by exact search, nearest first, with ties in row order.

        Args:
            metric: A metric; with its feature, rows with nothing to compare come last.
            vectors: `n` query vectors.
            among: Rows to search, ascending; None for all.

        Returns:
            Rows `(n, min(count, rows searched))`. Without `among`, removed rows come last.
        """
        if among is None and self.removed:
            return exact_search.nearest(metric, vectors, self.matrix(feature), count, is_removed=~self.is_live)
        return exact_search.nearest(metric, vectors, self.matrix(feature), count, among)


def _as_numbers(ids: pa.ChunkedArray | Sequence[str]) -> NDArray[np.uint64]:
    """Convert image ids of 16 hex digits to numbers. In Python half a million would take half a second and 60 MB."""
    return pl.Series(ids, dtype=pl.String).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()


def open_generation(lake: Lake) -> Generation:
    """Open the current generation of a lake, or with a warning the newest readable one before it.

    Raises:
        MissingTable: No generation was ever published.
        StaleIndex: No generation can be read.
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
            if lake.current_generation() != current:  # removed while it was opened: a newer one exists
                return open_generation(lake)
            failure = failure or error
            continue
        if failure is not None:
            log.warning("%s; using generation %s instead. To repair it, run: imrec build", failure, name)
        return generation
    raise StaleIndex(f"{failure}; run: imrec build") from failure
