"""What a feature is, and the decorator that declares one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core import tables
from imrec_core.decode import ImageBatch
from imrec_core.errors import BadOutput, DeclarationError, UnknownName
from imrec_core.metrics import Metric
from imrec_core.models import Model

Matrix = NDArray[Any]
Arrays = dict[str, NDArray[Any]]
Columns = dict[str, NDArray[Any]]
Blocks = Callable[[], Sequence[Matrix]]
"""Reads the vectors of one shard, a matrix for each base; row i is the same image in all of them."""


@dataclass(frozen=True)
class Learnt:
    """What a feature of the pixels must learn from a sample of the lake's pictures before it can be computed.

    Attributes:
        learn: Batches of sampled pictures to the fitted arrays, and facts to be shown.
        images: Pictures in the sample, at most.
        least_images: Pictures without which nothing sensible can be learnt.
    """

    learn: Callable[[Iterable[ImageBatch]], tuple[Arrays, dict[str, Any]]]
    images: int = 2048
    least_images: int = 32


@dataclass(frozen=True)
class Projection:
    """How a derived feature comes from the vectors of others.

    Attributes:
        bases: The features whose vectors it is computed from; a projection has one, a combination several.
        fit: Blocks of the bases' vectors, and a folder of the lake for what takes several fits, to the fitted arrays
            and facts to be shown.
        project: The bases' vectors, each `(n, base width)`, and the fitted arrays to `(n, dims)`.
        least_rows: Images without which nothing sensible can be learnt.
    """

    bases: tuple[Feature, ...]
    fit: Callable[[Sequence[Blocks], Path], tuple[Arrays, dict[str, Any]]]
    project: Callable[[Sequence[Matrix], Arrays], Matrix]
    least_rows: int = 2


@dataclass(frozen=True)
class Feature:
    """A declared way to describe an image.

    Attributes:
        name: The function's, the asset's, the view's, the folder's, the option's.
        summary: First line of the docstring.
        group: Heading under which it is listed, and the group of its asset: `colour`, `hashes`, `networks`, ...
        dims: Numbers in a vector; bits of a hash.
        dtype: As stored: `float16`, `float32`, or `uint64` for packed bits.
        metrics: Those that make sense here; the first is the default.
        source: Paper, standard or weights that it follows.
        version: Goes up when the numbers change on purpose.
        min_side: Pixels that the shorter side of a picture should have; larger ones may be shrunk while decoding.
        unit_norm: Whether vectors have length 1.
        columns: What is stored of each image beside the vector, name to dtype.
        compute: Batch to `(n, width)`, with `learnt` also from the fitted arrays, with `columns` also a dict of them;
            None for a derived feature.
        model: The network that makes it, if one does.
        learnt: What must be fitted to pictures first, if anything must.
        projection: How it comes from other features, if it does.
        candidates: A feature whose graph stands in for this one's; candidates are re-ranked exactly.
        orientations: Batch to the hashes of each picture in its eight orientations, side by side `(n, 8 · width)`.
        turned: The same from stored hashes `(n, width)` alone.
        is_histogram: Whether the numbers of a vector are bins, so that they can be drawn as bars.
        params: What sets it apart from others of its kind: base and method of a projection, weights of a combination.
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
    compute: Callable[..., Any] | None = None
    model: Model | None = None
    learnt: Learnt | None = None
    projection: Projection | None = None
    candidates: str | None = None
    orientations: Callable[[ImageBatch], Matrix] | None = None
    turned: Callable[[Matrix], Matrix] | None = None
    is_histogram: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Columns of a matrix of vectors: 64 bits of a hash share one."""
        return self.dims // 64 if self.dtype == "uint64" else self.dims

    @property
    def schema(self) -> pa.Schema:
        return tables.feature_schema(self.dtype, self.width, self.columns)

    @property
    def metric(self) -> Metric:
        """The default metric."""
        return self.metrics[0]

    @property
    def is_fitted(self) -> bool:
        """Whether something must be learnt from the lake before it can be computed."""
        return self.projection is not None or self.learnt is not None

    @property
    def bases(self) -> tuple[Feature, ...]:
        """The features that it is computed from; none for one of the pixels."""
        return self.projection.bases if self.projection else ()

    @property
    def depth(self) -> int:
        """0 for a feature of the pixels; otherwise one more than the deepest of its bases."""
        return 1 + max(base.depth for base in self.bases) if self.bases else 0

    def find_metric(self, name: str) -> Metric:
        """The metric of that name among those declared.

        Raises:
            UnknownName: This feature does not declare it.
        """
        by_name = {m.name: m for m in self.metrics}
        if name not in by_name:
            raise UnknownName(f"metric of {self.name}", name, by_name)
        return by_name[name]

    def as_query(self, vector: Matrix, metric: Metric) -> Matrix:
        """A stored vector as the metric takes a query: for one that sees turned copies, its eight orientations."""
        return self.turned(vector[None])[0] if self.turned and metric.takes_several else vector

    def __call__(self, batch: ImageBatch, fitted: Arrays | None = None) -> Matrix:
        """Vectors `(len(batch), width)`, checked and in the stored dtype.

        Raises:
            DeclarationError: It is computed from vectors, not from pictures, or is not fitted yet.
            BadOutput: The function broke its declaration.
        """
        return self.described(batch, fitted)[0]

    def described(self, batch: ImageBatch, fitted: Arrays | None = None) -> tuple[Matrix, Columns]:
        """Vectors as from a call, and the columns beside them, each `(len(batch),)`; raises the same."""
        if self.compute is None:
            raise DeclarationError(f"{self.name} is computed from the vectors of other features, not from pictures")
        if self.learnt and fitted is None:
            raise DeclarationError(f"{self.name} must be fitted to pictures before it can be computed")
        if not len(batch):
            return np.empty((0, self.width), self.dtype), {n: np.empty(0, d) for n, d in self.columns.items()}
        made = self.compute(batch, fitted) if self.learnt else self.compute(batch)
        vectors, columns = made if self.columns else (made, {})
        if columns.keys() != self.columns.keys() or any(len(values) != len(batch) for values in columns.values()):
            raise BadOutput(f"{self.name} returned the columns {list(columns)}, declared are {list(self.columns)}")
        return self.checked(vectors, len(batch)), {n: columns[n].astype(d) for n, d in self.columns.items()}

    def checked(self, vectors: Matrix, count: int) -> Matrix:
        """`vectors` in the stored dtype, if they keep the declaration.

        Raises:
            BadOutput: Another shape than `(count, width)`, or a number that is not finite.
        """
        if vectors.shape != (count, self.width):
            raise BadOutput(f"{self.name} returned {vectors.shape}, declared is {(count, self.width)}")
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
    learnt: Learnt | None = None,
    orientations: Callable[[ImageBatch], Matrix] | None = None,
    turned: Callable[[Matrix], Matrix] | None = None,
    is_histogram: bool = False,
) -> Callable[[Callable[..., Any]], Feature]:
    """Declare a feature of the pixels; its name and summary are the function's."""

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
                compute=compute,
                learnt=learnt,
                orientations=orientations,
                turned=turned,
                is_histogram=is_histogram,
            )
        )

    return declare


def find_feature(name: str, among: Mapping[str, Feature] = FEATURES) -> Feature:
    """The feature of that name; those that a lake declares itself are in `own.known_features`.

    Raises:
        UnknownName: There is none.
    """
    if name not in among:
        raise UnknownName("feature", name, among)
    return among[name]
