"""How vectors are held elsewhere, so that a distance that is known there gives imrec's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadExport, UnknownName
from imrec_core.features import Feature
from imrec_core.metrics import Metric

Matrix = NDArray[Any]


@dataclass(frozen=True)
class Space:
    """What a target holds of a feature, and by which of its distances it is compared.

    Attributes:
        distance: The target's word for it; empty where vectors are held as stored, for no distance in particular.
        map: Stored vectors `(n, width)` to those that are held; queries are mapped in the same way.
    """

    distance: str
    map: Callable[[Matrix], Matrix]


_DISTANCES: dict[str, dict[str, str]] = {
    "parquet": {},
    "csv": {},
    "faiss": {"cosine": "inner product", "ip": "inner product", "l2": "L2", "manhattan": "L1", "hamming": "Hamming"},
    "lance": {"cosine": "cosine", "ip": "dot", "l2": "l2", "hamming": "hamming"},
    "qdrant": {"cosine": "Cosine", "ip": "Dot", "l2": "Euclid", "manhattan": "Manhattan"},
}
"""What each target calls a metric that it has, or one of hnswlib's spaces, which `Metric.lift` leads to."""

TARGETS = tuple(_DISTANCES)


def check_target(to: str) -> None:
    """Refuse a target that is none.

    Raises:
        UnknownName: There is none of that name.
    """
    if to not in _DISTANCES:
        raise UnknownName("target", to, _DISTANCES)


def space_of(to: str, feature: Feature, metric: Metric | None = None) -> Space:
    """How a target holds a feature that is compared by a metric, the default one unless given.

    Raises:
        UnknownName: There is no such target.
        BadExport: The target cannot compare by that metric, or is told one and compares nothing.
    """
    check_target(to)
    distances = _DISTANCES[to]
    if not distances:
        if metric is not None:
            raise BadExport(f"{to} holds vectors as stored, for any metric; leave out ':{metric.name}'")
        return Space("", _as_stored)
    wanted = metric or feature.metric
    if wanted.name in distances:
        held = {"hamming": octets, "cosine": unit if to == "faiss" else _as_stored}
        return Space(distances[wanted.name], held.get(wanted.name, _as_stored))
    if wanted.space is None:
        able = [m.name for m in feature.metrics if m.space or m.name in distances]
        had = ", ".join(f"{feature.name}:{name}" for name in able)
        hint = f"what can be had is: {had}" if able else "leave that feature out"
        raise BadExport(f"{to} cannot compare {feature.name} by {wanted.name}; {hint}")
    lifted = wanted.lifted if wanted.lift else _as_stored
    if to == "faiss" and wanted.space == "cosine":
        return Space(distances["cosine"], lambda vectors: unit(lifted(vectors)))
    return Space(distances[wanted.space], lifted)


def _as_stored(vectors: Matrix) -> Matrix:
    return vectors


def unit(vectors: Matrix) -> NDArray[np.float32]:
    """Vectors `(n, dims)` of length 1; one that is zero stays so."""
    values = np.asarray(vectors, np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


def octets(hashes: Matrix) -> NDArray[np.uint8]:
    """Packed hashes `(n, words)` as bytes `(n, 8 · words)`."""
    return np.ascontiguousarray(hashes, dtype=np.uint64).view(np.uint8)
