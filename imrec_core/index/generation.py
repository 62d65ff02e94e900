"""Read a generation: a consistent, immutable set of rows, vectors and HNSW graphs.

Row `i` is the same image in every matrix. `index.build` builds generations, `index.opening` opens those of a lake.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.errors import DamagedGeneration, QueryError, StaleIndex
from imrec_core.features import FEATURES, Feature
from imrec_core.features.feature_metric import FeatureMetric, graph_name
from imrec_core.features.metrics import Metric
from imrec_core.features.searched import present_name
from imrec_core.index import exact_search
from imrec_core.index.calibration import Calibration
from imrec_core.index.exact_search import Queries
from imrec_core.index.graph_search import HnswGraphs
from imrec_core.index.integrity import GenerationFiles, require_undamaged
from imrec_core.index.manifest import (
    HnswIndexInfo,
    check_sizes,
    declaration_of,
    feature_record,
    graph_files,
    hold_manifest,
    read_manifest,
    vector_file_name,
)
from imrec_core.index.missing_feature import missing_feature
from imrec_core.index.row_lookup import RowsById, former_rows
from imrec_core.index.row_table import RowTable
from imrec_core.index.vector_check import VectorCheck
from imrec_core.index.vector_file import VectorFile
from imrec_core.lake.layout import GENERATION_FACTS, MAPPED_ROWS_FILE, ROWS_FILE
from imrec_core.lake.storage.files import AnyPath
from imrec_core.lake.tags import TagFile

if TYPE_CHECKING:
    from imrec_core.sql.row_filter import RowFilter

log = logging.getLogger(__name__)

Matrix = NDArray[Any]
Rows = NDArray[np.int64]


class Generation:
    """A generation, opened for reading.

    Vectors are memory-mapped, graphs are loaded at their first query. Safe to use from several threads.

    Args:
        folder: Folder of the generation.
        known: Features by name. Stored features whose declaration has changed since are left out.
        graphs: Graphs to use instead of those in the manifest, to measure graphs before they are published.
        checksum: Checksum of the manifest, if known.
        set_aside: Called with the path of a graph that is damaged.
        tags: Tags of the lake, for filters.

    Attributes:
        facts: Manifest, the content of `generation.json`.
        features: Manifest entries of the features that can be searched.
        graphs: HNSW graphs by `feature:metric`. Damaged ones are left out.
        files: Files and their checksums.
        damaged: Graphs that are missing or have another size.
        outdated: Stored features whose declaration has changed since.
        row_table: Columns of the rows.
        calibrator: Calibrates a metric that the manifest lacks.

    Raises:
        DamagedGeneration: The manifest, rows or vectors are damaged or missing.
        StaleIndex: This imrec cannot read the format.
    """

    def __init__(
        self,
        folder: Path,
        known: Mapping[str, Feature] = FEATURES,
        graphs: Mapping[str, HnswIndexInfo] | None = None,
        *,
        checksum: str | None = None,
        set_aside: Callable[[Path], object] = log.debug,
        tags: TagFile | None = None,
    ) -> None:
        self.folder, self.id, self.tags = folder, folder.name, tags
        # Graphs are loaded late, so the hold keeps other processes from removing their files while this object lives.
        weakref.finalize(self, hold_manifest(folder).close)
        self.facts: Mapping[str, Any] = MappingProxyType(read_manifest(folder, checksum))
        try:
            self._read_facts(known, graphs, set_aside)
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # a damaged manifest without a checksum
            raise DamagedGeneration(folder / GENERATION_FACTS, f"is damaged ({error!r})") from error

    def _read_facts(
        self,
        known: Mapping[str, Feature],
        graphs: Mapping[str, HnswIndexInfo] | None,
        set_aside: Callable[[Path], object],
    ) -> None:
        folder = self.folder
        self.files = GenerationFiles.of(folder, self.facts)
        self.damaged: Sequence[DamagedGeneration] = check_sizes(folder, self.facts)
        for name in (ROWS_FILE, *({MAPPED_ROWS_FILE} & self.files.whole.keys())):  # earlier versions wrote only one
            self.files.require_whole(name)
        for name in self.files.vectors:
            require_undamaged(folder / name)
        stored: dict[str, dict[str, Any]] = self.facts["features"]
        declared = {
            name: feature for name, record in stored.items() if (feature := declaration_of(name, record, known))
        }
        self.features: Mapping[str, Mapping[str, Any]] = MappingProxyType(
            {name: record for name, record in stored.items() if name in declared}
        )
        self.outdated = tuple(name for name in stored if name not in self.features)
        self._known, self._declared = known, declared
        if graphs is None:
            graphs = {name: HnswIndexInfo.from_dict(graph) for name, graph in self.facts["graphs"].items()}
        lost = {error.path.name for error in self.damaged}
        self.graphs: Mapping[str, HnswIndexInfo] = MappingProxyType(
            {n: g for n, g in graphs.items() if g.feature in self.features and lost.isdisjoint(graph_files(g))}
        )
        self._hnsw = HnswGraphs(self.files, self.graphs, set_aside)
        self._vector_check: VectorCheck | None = None
        self._matrices: dict[str, Matrix] = {}
        self.calibrator: Callable[[Generation, FeatureMetric], Calibration] | None = None
        self.row_table = RowTable(self.rows_path)

    def with_graphs(self, graphs: Mapping[str, HnswIndexInfo]) -> Generation:
        """Return a generation of the same rows and vectors with other graphs, whose files are in the folder."""
        return Generation(self.folder, self._known, graphs, tags=self.tags)

    def __len__(self) -> int:
        """Return the number of rows, removed ones included; see `live`."""
        return int(self.facts["rows"])

    def check_vectors(self, set_aside: Callable[[Path], object]) -> None:
        """Verify the vectors in the background, once; `set_aside` is called with the path of a damaged file."""
        self._vector_check = VectorCheck(self.files, set_aside)
        weakref.finalize(self, self._vector_check.stop)
        self._vector_check.start()

    def is_damaged(self) -> bool:
        """Return whether vectors were found to be damaged since the generation was opened."""
        return self._vector_check is not None and self._vector_check.found_damage.is_set()

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

    @property
    def column_names(self) -> list[str]:
        """Names of the columns of the rows; a generation of an earlier version has fewer."""
        return self.row_table.column_names

    @functools.cached_property
    def rows(self) -> pa.Table:
        """All columns of the rows. Searches read few of them, through `columns`."""
        return self.row_table.read_all()

    def columns(self, *names: str) -> pa.Table:
        """Read columns of all rows; each is read once and kept as one chunk."""
        return self.row_table.columns(*names)

    @functools.cached_property
    def filter(self) -> RowFilter:
        """SQL filters and orders over the live rows."""
        from imrec_core.sql.row_filter import RowFilter  # which imports DuckDB

        return RowFilter(self.rows_path, self.tags)

    @functools.cached_property
    def _rows_by_id(self) -> RowsById:
        former = self._former_ids if self.former_names else None
        return RowsById(self.live_table(["image_id"])["image_id"], self.live, former)

    def row_of(self, image_id: str) -> int:
        """Return the row of an image, by its id or one that it had under a former name of its source.

        Raises:
            QueryError: This generation has no live image with that id.
        """
        row = self._rows_by_id.find(image_id)
        if row is None:
            raise QueryError(f"no image {image_id!r} in generation {self.id}; see: imrec sql 'SELECT * FROM rows'")
        return row

    def rows_of(self, image_ids: Sequence[str] | NDArray[np.uint64]) -> Rows:
        """Return the row of each image, and -1 for images without a live row; former ids are found as by `row_of`.

        Args:
            image_ids: Ids as 16 hex digits, or as numbers.
        """
        return self._rows_by_id.find_all(image_ids)

    @property
    def former_names(self) -> Mapping[str, str]:
        """Name of each renamed source by its former name, as of the build of this generation."""
        return dict(self.facts.get("former_names", {}))

    def _former_ids(self) -> tuple[pa.Array, Rows]:
        return former_rows(self.live_table(["image_id", "source", "path"]), self.live, self.former_names)

    def find_rows(self, paths: pa.Array, sources: Mapping[str, AnyPath]) -> Rows:
        """Return the live row of each path, or a negative reason code; see `path_lookup.find_rows`."""
        from imrec_core.catalog.former_ids import find_former_rows

        found = find_former_rows(paths, self.live_table(["source", "path"]), sources, self.former_names)
        return np.where(found >= 0, self.live[found], found)

    def feature(self, name: str) -> Feature:
        """Return a feature of this generation.

        Raises:
            StaleIndex: The feature is not in the generation yet, or its declaration has changed since.
            UnknownName: No feature has that name.
        """
        name = present_name(name, self._declared, self._known)
        if name not in self.features:
            missing = self.facts["missing"]
            raise missing_feature(name, self.id, held=self.features, missing=missing, outdated=self.outdated)
        return self._declared[name]

    def holds(self, feature: Feature) -> bool:
        """Return whether a feature is in this generation by this declaration."""
        return feature.name in self.features and feature_record(self._declared[feature.name]) == feature_record(feature)

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
        return self.files.vectors[vector_file_name(feature)]

    def calibration(self, feature: str, metric: str) -> Calibration:
        """Return the calibration of a feature and metric; that of a newer metric is made by `calibrator`."""
        if self.calibrator is None or metric in self.facts["calibration"][feature]:
            return Calibration.from_dict(self.facts["calibration"][feature][metric])
        return self.calibrator(self, FeatureMetric.of(self.feature(feature), metric))

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
        """Find about `count` nearest rows with an HNSW graph, nearest first in the dims of the graph.

        Args:
            name: Name of the graph in `graphs`.
            vector: Vector of the graph's feature `(width,)`, as stored, not lifted.
            ef: Size of the candidate list; None for the stored one. Has no effect on other queries.
        """
        return self._hnsw.nearest(name, vector, count, *self._graph_rows(name), ef=ef)

    def has_loaded(self, name: str) -> bool:
        """Return whether a graph answers at once; see `HnswGraphs.has_loaded`."""
        return self._hnsw.has_loaded(name, *self._graph_rows(name))

    def load_graphs(self, features: Collection[str]) -> None:
        """Load the graphs of some features, so that no search waits for them, nor does without them."""
        for name in [name for name, graph in self.graphs.items() if graph.feature in features]:
            self._hnsw.load(name, *self._graph_rows(name))

    def _graph_rows(self, name: str) -> tuple[Matrix, NDArray[np.bool_] | None]:
        """Return the vectors of a graph's feature, and which of them are live; None for all."""
        return self.matrix(self.graphs[name].feature), self.is_live if self.removed else None

    def graph_nearest_each(self, name: str, rows: Rows, count: int) -> Rows | None:
        """Find about `count` rows nearest to each of some rows, with an HNSW graph; see `HnswGraphs.nearest_each`."""
        vectors, is_live = self._graph_rows(name)
        return self._hnsw.nearest_each(name, vectors[rows], count, vectors, is_live)

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
