"""Exact distances, each declared once: one query against many, smaller is closer.

`space` and `lift` say how an hnswlib graph gets the same order: lift the vectors, index them in that space
(`l2`, which hnswlib squares, `ip` or `cosine`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numkong
import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import UnknownName
from imrec_core.machine import cpu_count

Vector = NDArray[Any]
Matrix = NDArray[Any]


_MANY = 8  # queries from which a matrix product is faster than a scan for each
_ROUNDING = 5e-7  # of vectors of length 1 in single precision: a smaller distance is none
_LARGE = 2_000_000  # numbers from which a scan is worth several threads


@dataclass(frozen=True)
class ByProduct:
    """A distance as a function of the inner product of mapped vectors.

    Attributes:
        map: `(n, dims)` float32 to the vectors that are multiplied.
        finish: Products to distances.
    """

    map: Callable[[Matrix], Matrix]
    finish: Callable[[Matrix], Matrix]


@dataclass(frozen=True)
class Metric:
    """A distance, and how hnswlib gets its order.

    Attributes:
        distance: `(dims,)` and `(n, dims)` to `(n,)` float32.
        space: hnswlib's space after lifting; None where no graph gives the order.
        lift: `(n, dims)` to the float32 vectors that the graph holds.
        scan: A scan is faster than the graph (packed hashes), so no graph is built.
        close: Lifted vectors have the order nearly: their graph gives candidates, and is built only when asked for.
        takes_several: A query may be several vectors side by side; the least distance to any of them counts.
        by_product: How the distance comes from an inner product, so that many queries are one matrix product.
    """

    name: str
    summary: str
    distance: Callable[[Vector, Matrix], NDArray[np.float32]]
    space: str | None = None
    lift: Callable[[Matrix], Matrix] | None = None
    scan: bool = False
    close: bool = False
    takes_several: bool = False
    by_product: ByProduct | None = None

    def __call__(self, query: Vector, gallery: Matrix) -> NDArray[np.float32]:
        return self.distance(query, gallery).astype(np.float32, copy=False)

    def of_many(self, queries: Sequence[Vector] | Matrix, gallery: Matrix) -> NDArray[np.float32]:
        """Distances `(queries, n)`; up to rounding those that each query has by itself."""
        if self.by_product is None or len(queries) < _MANY or gallery.dtype == np.float16:  # those need converting
            return np.stack([self(query, gallery) for query in queries])
        map_, finish = self.by_product.map, self.by_product.finish
        return np.asarray(finish(map_(_float(np.asarray(queries))) @ map_(_float(gallery)).T), np.float32)

    def lifted(self, vectors: Matrix) -> NDArray[np.float32]:
        """Vectors `(n, dims)` as an hnswlib index of `space` takes them."""
        lifted = self.lift(vectors) if self.lift else vectors
        return np.ascontiguousarray(lifted, dtype=np.float32)

    @property
    def has_graph(self) -> bool:
        """Whether a feature whose default it is gets a graph by itself."""
        return self.can_have_graph and not self.close

    @property
    def can_have_graph(self) -> bool:
        """Whether a graph may be asked for: its space and lift are known, and a scan is not faster anyway."""
        return self.space is not None and not self.scan


METRICS: dict[str, Metric] = {}


def metric(
    *,
    space: str | None = None,
    lift: Callable[[Matrix], Matrix] | None = None,
    scan: bool = False,
    close: bool = False,
    takes_several: bool = False,
    by_product: ByProduct | None = None,
) -> Callable[[Callable[[Vector, Matrix], Any]], Metric]:
    """Declare a metric; its name and summary are the function's."""

    def declare(distance: Callable[[Vector, Matrix], Any]) -> Metric:
        summary = (distance.__doc__ or "").strip().partition("\n")[0]
        declared = Metric(distance.__name__, summary, distance, space, lift, scan, close, takes_several, by_product)
        METRICS[declared.name] = declared
        return declared

    return declare


def find_metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    return METRICS[name]


def _float(values: Matrix) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)


def _compared(query: Vector, gallery: Matrix, how: Literal["dot", "angular", "euclidean"]) -> Matrix:
    """One vector with each of `(n, dims)`, as NumKong does it: `dot`, `angular` or `euclidean`.

    Halves are compared as they are stored and summed as floats; numpy would take ten times as long to convert them.
    """
    if not len(gallery):
        return np.empty(0, np.float32)
    if not query.dtype == gallery.dtype == np.float16:
        query, gallery = _float(query), _float(gallery)
    threads = cpu_count() if gallery.size >= _LARGE else 1
    # The gallery first: of floats that is two to seven times as fast, and only its rows are shared out to threads.
    compared = numkong.cdist(
        np.ascontiguousarray(gallery), np.ascontiguousarray(query)[None], metric=how, threads=threads
    )
    return np.asarray(compared).reshape(-1)


def _cosines(distances: Matrix) -> Matrix:
    """In their range, without what rounding makes of 0."""
    return np.where(distances < _ROUNDING, 0, np.minimum(distances, 2))


def _unit(vectors: Matrix) -> Matrix:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def _bits(hashes: Matrix) -> NDArray[np.float32]:
    """The bits of packed hashes `(n, words)` as 0 and 1 `(n, 64 · words)`: squared l2 is then the Hamming distance."""
    octets = np.ascontiguousarray(hashes, dtype=np.uint64).view(np.uint8)
    return np.unpackbits(octets, axis=1).astype(np.float32)


@metric(space="cosine", by_product=ByProduct(_unit, lambda products: _cosines(1 - products)))
def cosine(query: Vector, gallery: Matrix) -> Any:
    """One minus the cosine of the angle between two vectors; 0 (same direction) to 2."""
    if not query.any():  # no direction: as far from another such as from the rest
        return np.ones(len(gallery))
    found = _compared(query, gallery, "angular")
    found[np.isnan(found)] = 1  # to what has none either
    return _cosines(found)


@metric(space="l2")
def euclidean(query: Vector, gallery: Matrix) -> Any:
    """Length of the difference of two vectors."""
    found = _compared(query, gallery, "euclidean")
    return np.where(found < _ROUNDING * np.linalg.norm(query.astype(np.float64)), 0, found)


@metric()
def manhattan(query: Vector, gallery: Matrix) -> Any:
    """Sum of the absolute differences of two vectors."""
    return np.abs(_float(gallery) - _float(query)).sum(axis=1)


@metric(
    space="l2", lift=np.sqrt, by_product=ByProduct(np.sqrt, lambda products: np.sqrt(np.clip(1 - products, 0, None)))
)
def hellinger(query: Vector, gallery: Matrix) -> Any:
    """Distance between two distributions (Bhattacharyya); 0 (same) to 1 (nothing in common)."""
    overlap = np.sqrt(_float(gallery)) @ np.sqrt(_float(query))
    return np.sqrt(np.clip(1 - overlap, 0, None))


@metric(space="l2", lift=_bits, scan=True)
def hamming(query: Vector, gallery: Matrix) -> Any:
    """Number of bits in which two packed hashes differ."""
    words = np.asarray(gallery, dtype=np.uint64) ^ np.asarray(query, dtype=np.uint64)
    return np.bitwise_count(words).sum(axis=1, dtype=np.int64)


@metric(scan=True, takes_several=True)
def hamming_dihedral(query: Vector, gallery: Matrix) -> Any:
    """Least number of differing bits between a packed hash and any of those in the query.

    The query is one or more hashes side by side `(k · words,)`: as many as the picture has orientations, so that
    turned and mirrored copies are found. Of a single hash it is the Hamming distance.
    """
    hashes = np.asarray(query, dtype=np.uint64).reshape(-1, gallery.shape[1])
    return np.min([hamming.distance(one, gallery) for one in hashes], axis=0)


@metric(space="ip", by_product=ByProduct(lambda vectors: vectors, lambda products: 1 - products))
def dot(query: Vector, gallery: Matrix) -> Any:
    """One minus the inner product of two vectors; from 0 (same) to 2 if both have length 1.

    Of other vectors it may be negative, and a longer one be closer than the same.
    """
    return 1 - _compared(query, gallery, "dot")


def _centred(vectors: Matrix) -> Matrix:
    values = _float(vectors)
    return np.asarray(values - values.mean(axis=-1, keepdims=True))


@metric(space="cosine", lift=_centred)
def correlation(query: Vector, gallery: Matrix) -> Any:
    """One minus Pearson's correlation of two vectors; 0 (rise and fall together) to 2."""
    return cosine.distance(_centred(query), _centred(gallery))


def _chi_square_map(distributions: Matrix) -> Matrix:
    """Vectors `(n, 3 · dims)` whose squared l2 is nearly half of `chi_square`.

    What 2xy / (x + y) depends on beside √(xy) is the difference of logarithms; its spectrum is sampled at 0 and 0.5
    (Vedaldi & Zisserman 2012, doi:10.1109/TPAMI.2011.153, as in scikit-learn's `AdditiveChi2Sampler(sample_steps=2)`).
    Of 1066 colour histograms the exact ten nearest were all among its first 20 (2026-11).
    """
    values, step = _float(distributions), 0.5
    angles = step * np.log(np.maximum(values, 1e-30))
    waves = np.sqrt(2 * step / np.cosh(np.pi * step) * values)
    return np.concatenate([np.sqrt(step * values), waves * np.cos(angles), waves * np.sin(angles)], axis=-1)


@metric(space="l2", lift=_chi_square_map, close=True)
def chi_square(query: Vector, gallery: Matrix) -> Any:
    """Twice the squared differences of two distributions, each over its sum (`HISTCMP_CHISQR_ALT`); 0 to 4."""
    query, gallery = _float(query), _float(gallery)
    difference = gallery - query
    return 2 * (difference**2 / np.maximum(gallery + query, 1e-30)).sum(axis=1)  # 0 over 0 counts as 0


@metric()
def intersection(query: Vector, gallery: Matrix) -> Any:
    """One minus what two distributions have in common; 0 (same) to 1 (nothing in common)."""
    return np.clip(1 - np.minimum(_float(gallery), _float(query)).sum(axis=1), 0, None)


@metric()
def jensen_shannon(query: Vector, gallery: Matrix) -> Any:
    """Square root of the Jensen-Shannon divergence of two distributions, in nats; 0 to 0.833."""
    query, gallery = _float(query), _float(gallery)
    divergence = _entropy((gallery + query) / 2) - (_entropy(gallery) + _entropy(query)) / 2
    return np.sqrt(np.clip(divergence, 0, None))


def _entropy(distributions: Matrix) -> Matrix:
    """In nats, along the last axis."""
    return np.asarray(-(distributions * np.log(np.maximum(distributions, 1e-30))).sum(axis=-1))
