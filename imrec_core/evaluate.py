"""How good the ways to describe images are, measured on a lake's own vectors.

Projections are fitted on all rows that they are then measured on, since that is how a lake uses them: an image that is
searched for is one that the projection was learnt from. New images may do a little worse.
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
from imrec_core.generation import Generation
from imrec_core.reduction import METHODS, find_method
from imrec_core.reduction.neighbours import nearest, share_kept

log = logging.getLogger(__name__)

Matrix = NDArray[Any]

DIMS = (32, 64, 128)
MAX_ROWS = 50_000

_NEAREST = 10
_CANDIDATES = 100  # what a search takes from a graph before it ranks by the full vectors
_BLOCK = 4096


@dataclass(frozen=True)
class ProjectionQuality:
    """What a projection keeps, and what it costs.

    Attributes:
        kept: Share of the full vectors' 10 nearest rows that are among the 10 nearest in the projection.
        found: Share of them among the 100 nearest, from which exact re-ranking can bring them back.
        bytes_per_image: Of a projected vector, as it is stored.
        seconds: To learn it.
    """

    method: str
    dims: int
    kept: float
    found: float
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
        queries: Rows that are asked with; the row itself does not count as found.
        params: Settings of methods, by name; what is not given is as a method has it.
        progress: Told what is being learnt.

    Raises:
        QueryError: There are too few rows to be compared.
        DeclarationError: A method cannot make so many dimensions, or a setting is wrong.
    """
    if len(vectors) <= _NEAREST:
        raise QueryError(f"{len(vectors)} images are too few to compare projections; {_NEAREST + 1} or more are needed")
    settings = {name: find_method(name).settings((params or {}).get(name, {})) for name in methods}
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(vectors))[:MAX_ROWS])
    sample = np.asarray(vectors[rows])
    asked = rng.permutation(len(sample))[:queries]
    full = sample.astype(np.float32)
    truth = nearest(full[asked], full, _NEAREST, own=asked)
    compared = []
    for name, chosen in settings.items():
        for count in dims:
            progress(f"{name} of {len(sample)} rows to {count} numbers")
            try:
                compared.append(_measured(name, count, sample, asked, truth, chosen))
            except MissingDependency as error:
                log.warning("%s is left out: %s", name, error)
                break
    return compared


def _measured(
    name: str, dims: int, vectors: Matrix, asked: Matrix, truth: Matrix, settings: Mapping[str, Any]
) -> ProjectionQuality:
    method = METHODS[name]
    blocks = [lambda i=i: vectors[i : i + _BLOCK] for i in range(0, len(vectors), _BLOCK)]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        arrays, _ = method.fit(blocks, dims=dims, folder=Path(folder), **settings)
        seconds = time.perf_counter() - started
    projected = method.project(vectors, arrays)
    candidates = nearest(projected[asked], projected, min(_CANDIDATES, len(vectors) - 1), own=asked)
    found = nearest(projected[asked], projected, _NEAREST, own=asked)
    size = projected.itemsize * dims
    return ProjectionQuality(name, dims, share_kept(truth, found), share_kept(truth, candidates), size, seconds)


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
