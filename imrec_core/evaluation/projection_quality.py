"""How good the ways to describe images are, measured on a lake's own vectors.

A projection is measured on rows that it was learnt from, as the images of a lake are, and on rows that it was not, as
pictures are that are searched for. The difference is what it has learnt by heart: of 1,070 photos, 1,280 → 32 numbers,
PCA keeps .61 and .59 of the ten nearest, an autoencoder .88 and .76 (2026-11).
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

_NEAREST = 10
_LEAST_ROWS = _NEAREST + 2  # to learn from, and one to ask with
_CANDIDATES = 100  # what a search takes from a graph before it ranks by the full vectors
_BLOCK = 4096


@dataclass(frozen=True)
class ProjectionQuality:
    """What a projection keeps, and what it costs.

    Attributes:
        kept: Share of the full vectors' 10 nearest rows that are among the 10 nearest in the projection.
        found: Share of them among the 100 nearest, from which exact re-ranking can bring them back.
        kept_of_new, found_of_new: The same of rows that it was not learnt from, among those that it was.
        bytes_per_image: Of a projected vector, as it is stored.
        seconds: To learn it.
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
    queries: int = 500,
    seed: int = 0,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[ProjectionQuality]:
    """Learn each projection from the vectors and measure it on some of them.

    A method whose library is not installed is left out, with a warning.

    Args:
        vectors: `(n, width)`; of more than 50,000 a random sample is taken.
        methods: Names in `reduction.METHODS`.
        queries: Rows that are asked with, at most, of either kind; the row itself does not count as found. New ones
            are a fifth of all at most.
        params: Settings of methods, by name; what is not given is as a method has it.
        progress: Told what is being learnt.

    Raises:
        QueryError: There are too few rows to be compared.
        DeclarationError: A method cannot make so many dimensions, or a setting is wrong.
    """
    if len(vectors) < _LEAST_ROWS:
        raise QueryError(f"{len(vectors)} images are too few to compare projections; {_LEAST_ROWS} or more are needed")
    settings = {name: find_method(name).settings((params or {}).get(name, {})) for name in methods}
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(vectors))[:MAX_ROWS]
    count_new = max(1, min(queries, len(rows) // 5, len(rows) - _LEAST_ROWS + 1))
    new, learnt = (np.asarray(vectors[np.sort(some)]) for some in (rows[:count_new], rows[count_new:]))
    own = rng.permutation(len(learnt))[:queries]
    known, unknown = _Asked.among(learnt, learnt[own], own), _Asked.among(learnt, new)
    compared = []
    for name, chosen in settings.items():
        for count in dims:
            progress(f"{name} of {len(learnt)} rows to {count} numbers")
            try:
                compared.append(_measured(name, count, learnt, known, unknown, chosen))
            except MissingDependency as error:
                log.warning("%s is left out: %s", name, error)
                break
    return compared


@dataclass(frozen=True)
class _Asked:
    """Vectors `(n, width)` to ask with, which rows of the gallery they are if they are some, and their 10 nearest."""

    vectors: Matrix
    own: Matrix | None
    truth: Matrix

    @classmethod
    def among(cls, gallery: Matrix, vectors: Matrix, own: Matrix | None = None) -> _Asked:
        wide, queries = gallery.astype(np.float32), vectors.astype(np.float32)
        return cls(vectors, own, nearest(queries, wide, _NEAREST, own=own))

    def kept(self, project: Callable[[Matrix], Matrix], gallery: Matrix, count: int) -> float:
        """Share of the nearest that are among `count` of the projected gallery."""
        return share_kept(self.truth, nearest(project(self.vectors), gallery, count, own=self.own))


def _measured(
    name: str, dims: int, learnt: Matrix, known: _Asked, new: _Asked, settings: Mapping[str, Any]
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
    progress: Callable[[str], None] = lambda line: None,
) -> list[ProjectionQuality]:
    """`compare_projections` of a feature of a generation.

    Args:
        name: Of the feature; the generation's first one if it is None.
        dims: None given: those of 32, 64 and 128 that the feature has more of.
        trials: Of the autoencoder; None for as many as it makes by itself.
        progress: Told what is being learnt.

    Raises:
        UnknownName: The generation has no such feature.
    """
    feature = generation.feature(name or generation.default_feature)
    if feature.dtype == "uint64":
        raise DeclarationError(f"{feature.name} holds bits, which no projection takes; choose another feature")
    dims = dims or [count for count in DIMS if count < feature.dims] or [-(-feature.dims // 2)]
    params = {} if trials is None else {"autoencoder": {"trials": trials}}
    matrix = generation.matrix(feature.name)
    if generation.removed:
        matrix = matrix[generation.live]
    return compare_projections(matrix, dims=dims, params=params, progress=progress)
