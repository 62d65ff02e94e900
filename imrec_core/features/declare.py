"""What a feature is, and the decorator that declares one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Projection:
    """How a derived feature comes from the vectors of another.

    Attributes:
        base: Name of the feature whose vectors are projected.
        fitter: Name of the function in `fit.FITTERS` that learns the projection.
        project: The base's vectors `(n, base dims)` and the fitted arrays to `(n, dims)`.
    """

    base: str
    fitter: str
    project: Callable[[Matrix, dict[str, Matrix]], Matrix]


@dataclass(frozen=True)
class Feature:
    """A declared way to describe an image.

    Attributes:
        name: The function's, the asset's, the view's, the folder's, the option's.
        summary: First line of the docstring.
        dims: Numbers in a vector; bits of a hash.
        dtype: As stored: `float16`, `float32`, or `uint64` for packed bits.
        metrics: Those that make sense here; the first is the default.
        source: Paper, standard or weights that it follows.
        version: Goes up when the numbers change on purpose.
        min_side: Pixels that the shorter side of a picture should have; larger ones may be shrunk while decoding.
        unit_norm: Whether vectors have length 1.
        compute: Batch to `(n, width)`; None for a projection.
        model: The network that makes it, if one does.
        projection: How it comes from another feature, if it does.
        candidates: A feature whose graph stands in for this one's; candidates are re-ranked exactly.
    """

    name: str
    summary: str
    dims: int
    dtype: str
    metrics: tuple[Metric, ...]
    source: str
    version: int = 1
    min_side: int = 0
    unit_norm: bool = False
    compute: Callable[[ImageBatch], Matrix] | None = None
    model: Model | None = None
    projection: Projection | None = None
    candidates: str | None = None

    @property
    def width(self) -> int:
        """Columns of a matrix of vectors: 64 bits of a hash share one."""
        return self.dims // 64 if self.dtype == "uint64" else self.dims

    @property
    def schema(self) -> pa.Schema:
        return tables.feature_schema(self.dtype, self.width)

    @property
    def metric(self) -> Metric:
        """The default metric."""
        return self.metrics[0]

    def find_metric(self, name: str) -> Metric:
        """The metric of that name among those declared.

        Raises:
            UnknownName: This feature does not declare it.
        """
        by_name = {m.name: m for m in self.metrics}
        if name not in by_name:
            raise UnknownName(f"metric of {self.name}", name, by_name)
        return by_name[name]

    def __call__(self, batch: ImageBatch) -> Matrix:
        """Vectors `(len(batch), width)`, checked and in the stored dtype.

        Raises:
            DeclarationError: A projection needs vectors, not pictures.
            BadOutput: The function broke its declaration.
        """
        if self.compute is None:
            raise DeclarationError(f"{self.name} is computed from the vectors of another feature, not from pictures")
        if not len(batch):
            return np.empty((0, self.width), self.dtype)
        return self.checked(self.compute(batch), len(batch))

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
    dims: int,
    metrics: Iterable[Metric],
    source: str,
    dtype: str = "float32",
    version: int = 1,
    min_side: int = 0,
    unit_norm: bool = False,
) -> Callable[[Callable[[ImageBatch], Matrix]], Feature]:
    """Declare a feature of the pixels; its name and summary are the function's."""

    def declare(compute: Callable[[ImageBatch], Matrix]) -> Feature:
        return register(
            Feature(
                name=compute.__name__,
                summary=(compute.__doc__ or "").strip().partition("\n")[0],
                dims=dims,
                dtype=dtype,
                metrics=tuple(metrics),
                source=source,
                version=version,
                min_side=min_side,
                unit_norm=unit_norm,
                compute=compute,
            )
        )

    return declare


def find_feature(name: str) -> Feature:
    """The feature of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in FEATURES:
        raise UnknownName("feature", name, FEATURES)
    return FEATURES[name]
