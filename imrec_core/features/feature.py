"""Declaration of a feature, the registry `FEATURES`, and the decorator `feature`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.errors import BadOutput, DeclarationError, UnknownName
from imrec_core.features.metrics import ALIASES, Metric
from imrec_core.images.batch import ImageBatch
from imrec_core.lake import schemas
from imrec_core.models.model import Model

Matrix = NDArray[Any]
Arrays = dict[str, NDArray[Any]]
Columns = dict[str, NDArray[Any]]
Blocks = Callable[[], Sequence[Matrix]]
"""Reads the vectors of one shard, one matrix per base feature; row i is the same image in all of them."""


@dataclass(frozen=True)
class Fitter:
    """Fit of a pixel feature to a sample of the lake's images.

    Attributes:
        learn: Returns the fitted arrays, and statistics for display, from batches of sampled images.
        images: Maximum size of the sample.
        least_images: Minimum number of images for a fit.
    """

    learn: Callable[[Iterable[ImageBatch]], tuple[Arrays, dict[str, Any]]]
    images: int = 2048
    least_images: int = 32


@dataclass(frozen=True)
class Projection:
    """Fit and computation of a feature from the vectors of base features.

    Attributes:
        bases: Base features; a projection has one, a combined feature several.
        fit: Returns the fitted arrays, and statistics for display, from blocks of base vectors. It may keep state
            between fits in a folder of the lake.
        project: Computes vectors `(n, dims)` from the base vectors, each `(n, base width)`, and the fitted arrays.
        least_rows: Minimum number of images for a fit.
    """

    bases: tuple[Feature, ...]
    fit: Callable[[Sequence[Blocks], Path], tuple[Arrays, dict[str, Any]]]
    project: Callable[[Sequence[Matrix], Arrays], Matrix]
    least_rows: int = 2


@dataclass(frozen=True)
class Blank:
    """The vectors that a feature gives to images with nothing to compare, such as plain ones.

    They are equal to each other, but say nothing of a likeness.

    Attributes:
        lacks: What such an image lacks, for messages.
        find: Returns which vectors `(n, width)` are blank `(n,)`.
    """

    lacks: str
    find: Callable[[Matrix], NDArray[np.bool_]]

    @classmethod
    def zeros(cls, lacks: str) -> Blank:
        """Vectors whose numbers are all 0."""
        return cls(lacks, _find_zeros)


def _find_zeros(vectors: Matrix) -> NDArray[np.bool_]:
    """Find vectors whose numbers are all 0; most rows are ruled out by their first number."""
    found = np.asarray(vectors[:, 0] == 0)
    rows = np.flatnonzero(found)
    found[rows] = ~vectors[rows].any(axis=1)
    return found


@dataclass(frozen=True)
class Feature:
    """Declaration of an image feature.

    Attributes:
        name: Name of the feature, its asset, view, folder and option.
        summary: First line of the docstring.
        group: Heading in lists, and the group of the asset: `colour`, `hashes`, `networks`, ...
        dims: Numbers in a vector, or bits of a hash.
        dtype: Stored type: `float16`, `float32`, or `uint64` for packed bits.
        metrics: Suitable metrics; the first is the default.
        source: Paper, standard or weights.
        version: Number to increase with each intended change of the vectors.
        min_side: Pixels that the shorter side of an image should have; decoding may shrink larger images to that.
        unit_norm: Whether vectors have length 1.
        columns: Names and dtypes of columns stored beside the vector.
        blank: Which vectors have nothing to compare; None if all have something.
        compute: Computes vectors `(n, width)` from a batch, and from the fitted arrays if `learnt` is set. With
            `columns` it also returns a dict of them. None for a derived feature.
        model: Model of an embedding.
        learnt: Fit to images that is needed first.
        projection: Computation from other features.
        candidates: Feature whose HNSW graph finds candidates for this one, which are then re-ranked exactly.
        content: Feature with the content vectors, by which searches rank instead; see `searched`.
        table: Feature whose tables have the vectors, if it has another name.
        averaged: Feature whose vectors are averaged with their nearest in the generation; see `searched`.
        orientations: Hashes of each image of a batch in its eight orientations, side by side `(n, 8 · width)`.
        turned: The same from stored hashes `(n, width)`.
        is_histogram: Whether vectors consist of bins, which plots draw as bars.
        is_variable: Whether the number of hashes varies. A row of a matrix is then their number, the hashes, and the
            first of them again up to `width`; tables have lists of the hashes.
        params: Parameters that distinguish features of a kind: base and method of a projection, weights of a
            combined feature.
    """

    name: str
    summary: str
    group: str
    dims: int
    dtype: str
    metrics: tuple[Metric, ...]
    source: str
    version: int = 1
    min_side: int = 0
    unit_norm: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    blank: Blank | None = None
    compute: Callable[..., Any] | None = None
    model: Model | None = None
    learnt: Fitter | None = None
    projection: Projection | None = None
    candidates: str | None = None
    content: str | None = None
    table: str = ""
    averaged: Feature | None = None
    orientations: Callable[[ImageBatch], Matrix] | None = None
    turned: Callable[[Matrix], Matrix] | None = None
    is_histogram: bool = False
    is_variable: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Columns of a matrix of vectors; a hash has one column per 64 bits."""
        return self.dims // 64 if self.dtype == "uint64" else self.dims

    @property
    def stored_as(self) -> str:
        """Name of the feature in the lake: of its tables and fits."""
        return self.table or self.name

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of a table of the feature."""
        return schemas.feature_schema(self.dtype, None if self.is_variable else self.width, self.columns)

    @property
    def metric(self) -> Metric:
        """The default metric."""
        return self.metrics[0]

    @property
    def is_fitted(self) -> bool:
        """Whether the feature needs a fit to the lake before it can be computed."""
        return self.projection is not None or self.learnt is not None

    @property
    def bases(self) -> tuple[Feature, ...]:
        """Base features; empty for a feature of the pixels."""
        if self.averaged is not None:
            return (self.averaged,)
        return self.projection.bases if self.projection else ()

    @property
    def depth(self) -> int:
        """0 for a feature of the pixels; otherwise one more than that of its bases."""
        return 1 + max(base.depth for base in self.bases) if self.bases else 0

    def find_metric(self, name: str) -> Metric:
        """Return the metric of that name.

        Raises:
            UnknownName: The feature does not have the metric.
        """
        name = ALIASES.get(name, name)
        by_name = {m.name: m for m in self.metrics}
        if name not in by_name:
            raise UnknownName(f"metric of {self.name}", name, by_name)
        return by_name[name]

    def as_query(self, vector: Matrix, metric: Metric) -> Matrix:
        """Convert a stored vector to a query, with orientations if the metric uses them."""
        return self.turned(vector[None])[0] if self.turned and metric.takes_several else vector

    def __call__(self, batch: ImageBatch, fitted: Arrays | None = None) -> Matrix:
        """Compute vectors `(len(batch), width)` in the stored dtype.

        Raises:
            DeclarationError: The feature is computed from vectors, or needs a fit first.
            BadOutput: The result does not match the declaration.
        """
        return self.extract(batch, fitted)[0]

    def extract(self, batch: ImageBatch, fitted: Arrays | None = None) -> tuple[Matrix, Columns]:
        """Compute vectors as `__call__` does, and columns, each `(len(batch),)`.

        Raises:
            DeclarationError, BadOutput: As `__call__`.
        """
        if self.compute is None:
            raise DeclarationError(f"{self.name} is computed from the vectors of other features, not from images")
        if self.learnt and fitted is None:
            raise DeclarationError(f"{self.name} must be fitted to images before it can be computed")
        if not len(batch):
            return np.empty((0, self.width), self.dtype), {n: np.empty(0, d) for n, d in self.columns.items()}
        made = self.compute(batch, fitted) if self.learnt else self.compute(batch)
        vectors, columns = made if self.columns else (made, {})
        if columns.keys() != self.columns.keys() or any(len(values) != len(batch) for values in columns.values()):
            raise BadOutput(f"{self.name} returned the columns {list(columns)}; expected {list(self.columns)}")
        return self.checked(vectors, len(batch)), {n: columns[n].astype(d) for n, d in self.columns.items()}

    def checked(self, vectors: Matrix, count: int) -> Matrix:
        """Check vectors against the declaration, and convert them to the stored dtype.

        Raises:
            BadOutput: The shape is not `(count, width)`, or a number is not finite.
        """
        if vectors.shape != (count, self.width):
            raise BadOutput(f"{self.name} returned {vectors.shape}; expected {(count, self.width)}")
        if vectors.dtype.kind == "f" and not np.isfinite(vectors).all():
            raise BadOutput(f"{self.name} returned numbers that are not finite")
        return vectors.astype(self.dtype, copy=False)


FEATURES: dict[str, Feature] = {}


def register(declared: Feature) -> Feature:
    """Add a declaration to `FEATURES`.

    Raises:
        DeclarationError: The name is taken.
    """
    if declared.name in FEATURES:
        raise DeclarationError(f"two features are named {declared.name!r}")
    FEATURES[declared.name] = declared
    return declared


def feature(
    *,
    group: str,
    dims: int,
    metrics: Iterable[Metric],
    source: str,
    dtype: str = "float32",
    version: int = 1,
    min_side: int = 0,
    unit_norm: bool = False,
    columns: Mapping[str, str] | None = None,
    blank: Blank | None = None,
    learnt: Fitter | None = None,
    orientations: Callable[[ImageBatch], Matrix] | None = None,
    turned: Callable[[Matrix], Matrix] | None = None,
    is_histogram: bool = False,
    is_variable: bool = False,
) -> Callable[[Callable[..., Any]], Feature]:
    """Declare a feature of the pixels.

    Its name is that of the decorated function, and its summary the first line of the docstring.
    """

    def declare(compute: Callable[..., Any]) -> Feature:
        return register(
            Feature(
                name=compute.__name__,
                summary=(compute.__doc__ or "").strip().partition("\n")[0],
                group=group,
                dims=dims,
                dtype=dtype,
                metrics=tuple(metrics),
                source=source,
                version=version,
                min_side=min_side,
                unit_norm=unit_norm,
                columns=columns or {},
                blank=blank,
                compute=compute,
                learnt=learnt,
                orientations=orientations,
                turned=turned,
                is_histogram=is_histogram,
                is_variable=is_variable,
            )
        )

    return declare


def find_feature(name: str, among: Mapping[str, Feature] = FEATURES) -> Feature:
    """Return the feature of that name.

    Custom features of a lake are in `custom.known_features`.

    Raises:
        UnknownName: No feature has that name.
    """
    if name not in among:
        raise UnknownName("feature", name, among)
    return among[name]
