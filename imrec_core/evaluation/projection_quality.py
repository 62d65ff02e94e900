"""Comparison of projections to fewer dimensions, on the vectors of a lake.

A projection is measured on rows that it was fitted on, like the images of a lake, and on other rows, like new query
images. The difference shows overfitting: from 1,280 to 32 dimensions on 1,070 photos, PCA keeps .61 and .59 of the ten
nearest, an autoencoder .88 and .76 (2026-11).
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import DeclarationError, MissingDependency, QueryError
from imrec_core.features.reduction import METHODS, find_method
from imrec_core.features.reduction.neighbours import nearest, share_kept
from imrec_core.index.generation import Generation

log = logging.getLogger(__name__)

Matrix = NDArray[Any]

DIMS = (32, 64, 128)
MAX_ROWS = 50_000
MAX_QUERIES = 500

_NEAREST = 10
_LEAST_ROWS = _NEAREST + 2  # rows to fit on, and one query
_CANDIDATES = 100  # candidates of a search before re-ranking by the full vectors
_BLOCK = 4096


@dataclass(frozen=True)
class ProjectionQuality:
    """Quality and cost of a projection.

    Attributes:
        kept: Share of the 10 nearest rows by full vectors that are among the 10 nearest in the projection.
        found: Share of them among the 100 nearest, from which re-ranking by full vectors recovers them.
        kept_of_new, found_of_new: The same for queries that the projection was not fitted on.
        bytes_per_image: Size of a stored projected vector.
        seconds: Time to fit the projection.
    """

    method: str
    dims: int
    kept: float
    found: float
    kept_of_new: float
    found_of_new: float
    bytes_per_image: int
    seconds: float


def compare_projections(
    vectors: Matrix,
    *,
    dims: Sequence[int] = DIMS,
    methods: Iterable[str] = tuple(METHODS),
    queries: int = MAX_QUERIES,
    seed: int = 0,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[ProjectionQuality]:
    """Fit each projection on the vectors and measure how well it keeps nearest neighbours.

    Methods whose library is not installed are skipped with a warning.

    Args:
        vectors: Vectors `(n, width)`; of more than 50,000 a random sample is used.
        dims: Numbers of dimensions to project to.
        methods: Names in `reduction.METHODS`.
        queries: Maximum number of fitted and of new query rows each; new ones are at most a fifth of all rows. A query
            row does not count as its own neighbour.
        params: Settings by method name; missing ones have the defaults of the method.
        progress: Called with a line for each projection.

    Raises:
        QueryError: There are too few rows.
        DeclarationError: A method cannot project to so many dimensions, or a setting is invalid.
    """
    if len(vectors) < _LEAST_ROWS:
        raise QueryError(f"{len(vectors)} images are too few to compare projections; at least {_LEAST_ROWS} are needed")
    settings = {name: find_method(name).settings((params or {}).get(name, {})) for name in methods}
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(vectors))[:MAX_ROWS]
    count_new = max(1, min(queries, len(rows) // 5, len(rows) - _LEAST_ROWS + 1))
    new, learnt = (np.asarray(vectors[np.sort(some)]) for some in (rows[:count_new], rows[count_new:]))
    own = rng.permutation(len(learnt))[:queries]
    known, unknown = _Queries.among(learnt, learnt[own], own), _Queries.among(learnt, new)
    compared = []
    for name, chosen in settings.items():
        for count in dims:
            progress(f"fitting {name} on {len(learnt)} rows, {count} dimensions")
            try:
                compared.append(_measure(name, count, learnt, known, unknown, chosen))
            except MissingDependency as error:
                log.warning("skipping %s: %s", name, error)
                break
    return compared


@dataclass(frozen=True)
class _Queries:
    """Query vectors with their true neighbours.

    Attributes:
        vectors: Query vectors `(n, width)`.
        own: Rows of the queries in the gallery `(n,)`; None if they are not in it.
        truth: 10 nearest rows of the gallery by full vectors `(n, 10)`.
    """

    vectors: Matrix
    own: Matrix | None
    truth: Matrix

    @classmethod
    def among(cls, gallery: Matrix, vectors: Matrix, own: Matrix | None = None) -> _Queries:
        wide, queries = gallery.astype(np.float32), vectors.astype(np.float32)
        return cls(vectors, own, nearest(queries, wide, _NEAREST, own=own))

    def kept(self, project: Callable[[Matrix], Matrix], gallery: Matrix, count: int) -> float:
        """Compute the share of true neighbours among the `count` nearest of the projected gallery."""
        return share_kept(self.truth, nearest(project(self.vectors), gallery, count, own=self.own))


def _measure(
    name: str, dims: int, learnt: Matrix, known: _Queries, new: _Queries, settings: Mapping[str, Any]
) -> ProjectionQuality:
    method = METHODS[name]
    blocks = [lambda i=i: learnt[i : i + _BLOCK] for i in range(0, len(learnt), _BLOCK)]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        arrays, _ = method.fit(blocks, dims=dims, folder=Path(folder), **settings)
        seconds = time.perf_counter() - started

    def project(vectors: Matrix) -> Matrix:
        return method.project(vectors, arrays)

    gallery = project(learnt)
    counts = (_NEAREST, min(_CANDIDATES, len(learnt) - 1))
    kept, found = (known.kept(project, gallery, count) for count in counts)
    kept_of_new, found_of_new = (new.kept(project, gallery, count) for count in counts)
    return ProjectionQuality(name, dims, kept, found, kept_of_new, found_of_new, gallery.itemsize * dims, seconds)


def compare_in(
    generation: Generation,
    name: str | None = None,
    *,
    dims: Sequence[int] = (),
    trials: int | None = None,
    queries: int = MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[ProjectionQuality]:
    """Compare projections of a feature of a generation.

    Args:
        name: Name of the feature; None for the generation's default feature.
        dims: Numbers of dimensions; if empty, those of 32, 64 and 128 below the width of the feature.
        trials: Trials of the autoencoder; None for its default.
        queries: As for `compare_projections`.
        progress: Called with a line for each projection.

    Raises:
        UnknownName: The generation has no such feature.
        DeclarationError: The feature is a binary hash.
    """
    feature = generation.feature(name or generation.default_feature)
    if feature.dtype == "uint64":
        raise DeclarationError(f"{feature.name} is a binary hash, which cannot be projected; choose another feature")
    dims = dims or [count for count in DIMS if count < feature.dims] or [-(-feature.dims // 2)]
    params = {} if trials is None else {"autoencoder": {"trials": trials}}
    matrix = generation.matrix(feature.name)
    if generation.removed:
        matrix = matrix[generation.live]
    return compare_projections(matrix, dims=dims, queries=queries, params=params, progress=progress)
