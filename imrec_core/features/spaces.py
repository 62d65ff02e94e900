"""Mappings of vectors under which a distance of the target gives the order of imrec's metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadExport, UnknownName
from imrec_core.features import Feature
from imrec_core.features.metrics import Metric, l2_normalise

Matrix = NDArray[Any]


@dataclass(frozen=True)
class Space:
    """Mapping of a feature's vectors for a target, and the distance to use there.

    Attributes:
        distance: The target's name of the distance; empty if vectors are exported as stored, for any distance.
        map: Maps stored vectors `(n, width)` to those of the target; queries are mapped in the same way.
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
"""By target: its name of a metric, or of an hnswlib space that `Metric.lift` maps to."""

TARGETS = tuple(_DISTANCES)


def check_target(to: str) -> None:
    """Require a known target.

    Raises:
        UnknownName: There is no such target.
    """
    if to not in _DISTANCES:
        raise UnknownName("target", to, _DISTANCES)


def space_of(to: str, feature: Feature, metric: Metric | None = None) -> Space:
    """Find the space of a target for a feature and a metric.

    Args:
        metric: Metric to reproduce; None for the feature's default metric.

    Raises:
        UnknownName: There is no such target.
        BadExport: The target cannot compare by that metric, or has no distances at all.
    """
    check_target(to)
    distances = _DISTANCES[to]
    if not distances:
        if metric is not None:
            raise BadExport(f"{to} holds vectors as stored, for any metric; leave out ':{metric.name}'")
        return Space("", _as_stored)
    metric = metric or feature.metric
    if metric.name in distances:
        mappings = {"hamming": octets, "cosine": unit if to == "faiss" else _as_stored}
        return Space(distances[metric.name], mappings.get(metric.name, _as_stored))
    if metric.space is None:
        supported = [f"{feature.name}:{m.name}" for m in feature.metrics if m.space or m.name in distances]
        hint = f"supported: {', '.join(supported)}" if supported else "leave the feature out"
        raise BadExport(f"{to} cannot compare {feature.name} by {metric.name}; {hint}")
    lifted = metric.lifted if metric.lift else _as_stored
    if to == "faiss" and metric.space == "cosine":
        return Space(distances["cosine"], lambda vectors: unit(lifted(vectors)))
    return Space(distances[metric.space], lifted)


def _as_stored(vectors: Matrix) -> Matrix:
    return vectors


def unit(vectors: Matrix) -> NDArray[np.float32]:
    """Scale vectors `(n, dims)` of any type to float32 vectors of length 1; zero vectors stay zero."""
    return l2_normalise(np.asarray(vectors, np.float32))


def octets(hashes: Matrix) -> NDArray[np.uint8]:
    """View packed hashes `(n, words)` as bytes `(n, 8 · words)`."""
    return np.ascontiguousarray(hashes, dtype=np.uint64).view(np.uint8)
