"""Declarations of exact distance metrics, from one query to many vectors; smaller is closer.

`space` and `lift` define an hnswlib graph with the same order: the graph holds lifted vectors in the space `l2`
(squared by hnswlib), `ip` or `cosine`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numkong
import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import UnknownName
from imrec_core.runtime.cpu import cpu_count
from imrec_core.runtime.half_floats import square_roots, to_single

Vector = NDArray[Any]
Matrix = NDArray[Any]

# Queries from which one matrix product is faster than a scan per query: of single floats, and of half floats, which the
# product converts. 50 queries of 15,625 histograms of 512 bins: 0.08 s instead of 2.6 (2026-12).
_MANY, _MANY_HALF = 8, 32
_ROUNDING = 5e-7  # rounding error for vectors of length 1 in float32; a smaller distance counts as 0
_HALF_ROUNDING = 1e-3  # of squared lengths in half floats: at most 0.0006 over 1,066 photos in 256 and 1,280 numbers
_ROOTS = 2048  # rows whose roots are computed at a time
_LARGE = 2_000_000  # numbers in a matrix from which a scan gains from several threads


@dataclass(frozen=True)
class ByProduct:
    """A distance as a function of the inner product of mapped vectors.

    Attributes:
        map: Maps vectors `(n, dims)` float32 to the factors of the product.
        finish: Converts products to distances.
        converts: Whether the distance of a single query converts half floats as well.
    """

    map: Callable[[Matrix], Matrix]
    finish: Callable[[Matrix], Matrix]
    converts: bool = False


@dataclass(frozen=True)
class Metric:
    """A distance metric, and the hnswlib space with the same order.

    Attributes:
        distance: Computes the distances `(n,)` between a vector `(dims,)` and vectors `(n, dims)`.
        space: Space of hnswlib for lifted vectors; None if no graph has the order of the metric.
        lift: Maps vectors `(n, dims)` to the float32 vectors in the graph.
        scan: Whether a scan is faster than a graph (packed hashes), so that no graph is built.
        close: Whether lifted vectors have nearly the order of the metric. Their graph gives candidates, and is built
            only on request.
        takes_several: Whether a query may be several vectors side by side; the smallest distance to any of them counts.
        by_product: Form of the distance as an inner product, so that many queries are one matrix product.
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
        """Compute the distances `(queries, n)` of many queries.

        Up to rounding they equal the distances of single queries.
        """
        if self.by_product is None or len(queries) < self._many(gallery):
            return np.stack([self(query, gallery) for query in queries])
        map_, finish = self.by_product.map, self.by_product.finish
        return np.asarray(finish(map_(_float(np.asarray(queries))) @ map_(_float(gallery)).T), np.float32)

    def _many(self, gallery: Matrix) -> int:
        """Return the number of queries from which their distances are one matrix product."""
        if gallery.dtype != np.float16:
            return _MANY
        return 2 if self.by_product is not None and self.by_product.converts else _MANY_HALF

    def lifted(self, vectors: Matrix) -> NDArray[np.float32]:
        """Lift vectors `(n, dims)` to the float32 vectors of an hnswlib index in `space`."""
        lifted = self.lift(vectors) if self.lift else vectors
        return np.ascontiguousarray(to_single(lifted))

    @property
    def has_graph(self) -> bool:
        """Whether a feature with this default metric gets a graph without a request."""
        return self.can_have_graph and not self.close

    @property
    def can_have_graph(self) -> bool:
        """Whether a graph can be requested: it has a space, and a scan is not faster."""
        return self.space is not None and not self.scan


METRICS: dict[str, Metric] = {}

ALIASES = {"bhattacharyya": "hellinger", "chi2": "chi_square"}
"""Other names of metrics, which are taken wherever a metric is named."""


def metric(
    *,
    space: str | None = None,
    lift: Callable[[Matrix], Matrix] | None = None,
    scan: bool = False,
    close: bool = False,
    takes_several: bool = False,
    by_product: ByProduct | None = None,
) -> Callable[[Callable[[Vector, Matrix], Any]], Metric]:
    """Declare a metric.

    Its name is that of the decorated function, and its summary the first line of the docstring.
    """

    def declare(distance: Callable[[Vector, Matrix], Any]) -> Metric:
        summary = (distance.__doc__ or "").strip().partition("\n")[0]
        declared = Metric(distance.__name__, summary, distance, space, lift, scan, close, takes_several, by_product)
        METRICS[declared.name] = declared
        return declared

    return declare


def find_metric(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        UnknownName: No metric has that name.
    """
    name = ALIASES.get(name, name)
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    return METRICS[name]


def _float(values: Matrix) -> NDArray[np.float32]:
    return to_single(np.asarray(values))


def _numkong(query: Vector, gallery: Matrix, kernel: Literal["dot", "angular", "euclidean"]) -> Matrix:
    """Compute a NumKong kernel between one vector and each of `(n, dims)`.

    NumKong reads float16 as stored and sums in float32; conversion by numpy would take ten times as long.
    """
    if not len(gallery):
        return np.empty(0, np.float32)
    if not query.dtype == gallery.dtype == np.float16:
        query, gallery = _float(query), _float(gallery)
    threads = cpu_count() if gallery.size >= _LARGE else 1
    # The gallery first: for float32 that is 2 to 7 times as fast, and threads split only rows of the first argument.
    distances = numkong.cdist(
        np.ascontiguousarray(gallery), np.ascontiguousarray(query)[None], metric=kernel, threads=threads
    )
    return np.asarray(distances).reshape(-1)


def _clip_cosine(distances: Matrix) -> Matrix:
    """Clip cosine distances to 0 to 2, and set values below the rounding error to 0."""
    return np.where(distances < _ROUNDING, 0, np.minimum(distances, 2))


def l2_normalise(vectors: Matrix) -> Matrix:
    """Scale vectors `(n, dims)` to length 1; zero vectors stay zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def _unpack_bits(hashes: Matrix) -> NDArray[np.float32]:
    """Unpack hashes `(n, words)` to bits `(n, 64 · words)`.

    The squared l2 distance of bits is the Hamming distance.
    """
    octets = np.ascontiguousarray(hashes, dtype=np.uint64).view(np.uint8)
    return np.unpackbits(octets, axis=1).astype(np.float32)


@metric(space="cosine", by_product=ByProduct(l2_normalise, lambda products: _clip_cosine(1 - products)))
def cosine(query: Vector, gallery: Matrix) -> Any:
    """One minus the cosine of the angle between two vectors; 0 (same direction) to 2."""
    if not query.any():  # a zero vector has no direction, so its distance to all vectors is 1
        return np.ones(len(gallery))
    distances = _numkong(query, gallery, "angular")
    distances[np.isnan(distances)] = 1  # zero vectors in the gallery
    return _clip_cosine(distances)


@metric(space="l2")
def euclidean(query: Vector, gallery: Matrix) -> Any:
    """Length of the difference of two vectors."""
    distances = _numkong(query, gallery, "euclidean")
    return np.where(distances < _ROUNDING * np.linalg.norm(query.astype(np.float64)), 0, distances)


@metric()
def manhattan(query: Vector, gallery: Matrix) -> Any:
    """Sum of the absolute differences of two vectors."""
    return np.abs(_float(gallery) - _float(query)).sum(axis=1)


def _root_of_share(distributions: Matrix) -> Matrix:
    """Map distributions to vectors of length 1, also those whose sum is not exactly 1, as in half floats."""
    values = _float(distributions)
    return np.asarray(np.sqrt(values / np.maximum(values.sum(axis=-1, keepdims=True), 1e-30)))


def _hellinger_of_overlap(overlap: Matrix) -> Matrix:
    rest = 1 - overlap
    return np.where(rest < _ROUNDING, 0, np.sqrt(np.maximum(rest, 0)))


def _square_root(distributions: Matrix) -> NDArray[np.float32]:
    return np.sqrt(_float(distributions))


@metric(space="l2", lift=_square_root, by_product=ByProduct(_root_of_share, _hellinger_of_overlap, converts=True))
def hellinger(query: Vector, gallery: Matrix) -> Any:
    """Hellinger distance of two distributions; 0 (equal) to 1 (disjoint).

    Also called Bhattacharyya distance, OpenCV's `HISTCMP_BHATTACHARYYA`.
    """
    roots_of_query = _root_of_share(query)
    if gallery.dtype == np.float16:
        sums = _numkong(np.ones_like(query, np.float16), gallery, "dot")
        overlap = np.empty(len(gallery), np.float32)
        for first in range(0, len(gallery), _ROOTS):  # whose roots stay in the cache
            bits = np.ascontiguousarray(gallery[first : first + _ROOTS]).view(np.uint16)
            overlap[first : first + _ROOTS] = _numkong(roots_of_query, np.take(square_roots(), bits), "dot")
    else:
        values = _float(gallery)
        sums, overlap = values.sum(axis=1), np.sqrt(values) @ roots_of_query
    return _hellinger_of_overlap(overlap / np.sqrt(np.maximum(sums, 1e-30)))


@metric(space="l2", lift=_unpack_bits, scan=True)
def hamming(query: Vector, gallery: Matrix) -> Any:
    """Number of bits in which two packed hashes differ."""
    distances = np.zeros(len(gallery), np.uint16)
    for word, of_gallery in zip(np.asarray(query, np.uint64), np.asarray(gallery, np.uint64).T, strict=True):
        distances += np.bitwise_count(of_gallery ^ word)  # three times as fast as a sum over the axis (numpy 2.4)
    return distances


@metric(scan=True, takes_several=True)
def hamming_dihedral(query: Vector, gallery: Matrix) -> Any:
    """Smallest Hamming distance between a packed hash and the hashes of a query.

    The query has one or more hashes side by side `(k · words,)`, one for each orientation of an image, to find rotated
    and mirrored copies. For a single hash the result is the Hamming distance.
    """
    hashes = np.asarray(query, dtype=np.uint64).reshape(-1, gallery.shape[1])
    return np.min([hamming.distance(one, gallery) for one in hashes], axis=0)


@metric(space="ip", by_product=ByProduct(lambda vectors: vectors, lambda products: 1 - products))
def dot(query: Vector, gallery: Matrix) -> Any:
    """One minus the inner product of two vectors; 0 (equal) to 2 for length 1.

    For other lengths it may be negative, and a longer vector may be closer than an equal one.
    """
    distances = 1 - _numkong(query, gallery, "dot")
    rounding = _HALF_ROUNDING if gallery.dtype == np.float16 else _ROUNDING
    return np.where(np.abs(distances) < rounding, 0, distances)


def _centre(vectors: Matrix) -> Matrix:
    values = _float(vectors)
    return np.asarray(values - values.mean(axis=-1, keepdims=True))


@metric(space="cosine", lift=_centre)
def correlation(query: Vector, gallery: Matrix) -> Any:
    """One minus Pearson's correlation of two vectors; 0 (fully correlated) to 2."""
    return cosine.distance(_centre(query), _centre(gallery))


def _chi_square_map(distributions: Matrix) -> Matrix:
    """Map distributions to vectors `(n, 3 · dims)` for an l2 graph.

    Their squared l2 distance is nearly half of `chi_square`.

    The kernel 2xy / (x + y) is √(xy) times a function of the difference of logarithms, whose spectrum is sampled at 0
    and 0.5 (Vedaldi & Zisserman 2012, doi:10.1109/TPAMI.2011.153, as in scikit-learn's
    `AdditiveChi2Sampler(sample_steps=2)`). For 1066 colour histograms the 10 exact nearest neighbours were all among
    its first 20 (2026-11).
    """
    values, step = _float(distributions), 0.5
    angles = step * np.log(np.maximum(values, 1e-30))
    waves = np.sqrt(2 * step / np.cosh(np.pi * step) * values)
    return np.concatenate([np.sqrt(step * values), waves * np.cos(angles), waves * np.sin(angles)], axis=-1)


@metric(space="l2", lift=_chi_square_map, close=True)
def chi_square(query: Vector, gallery: Matrix) -> Any:
    """Chi-square distance of two distributions; 0 (equal) to 4 (disjoint).

    It is twice the sum of squared differences over sums, OpenCV's `HISTCMP_CHISQR_ALT`.
    """
    query, gallery = _float(query), _float(gallery)
    difference = gallery - query
    return 2 * (difference**2 / np.maximum(gallery + query, 1e-30)).sum(axis=1)  # 0 / 0 counts as 0


@metric()
def chi_square_asymmetric(query: Vector, gallery: Matrix) -> Any:
    """Chi-square distance to a distribution, over the bins of the query; 0 (equal), unbounded.

    It is the sum of squared differences over the query, OpenCV's `HISTCMP_CHISQR`. Bins that are empty in the query do
    not count, so it depends on which of two images is the query.
    """
    values = _float(query)
    filled = values > np.finfo(np.float64).eps
    difference = _float(gallery)[:, filled] - values[filled]
    return (difference**2 / values[filled]).sum(axis=1)


@metric()
def intersection(query: Vector, gallery: Matrix) -> Any:
    """One minus the intersection of two distributions; 0 (equal) to 1 (disjoint)."""
    return np.abs(_float(gallery) - _float(query)).sum(axis=1) / 2  # the same for sums of 1, and exactly 0 if equal


@metric()
def jensen_shannon(query: Vector, gallery: Matrix) -> Any:
    """Square root of the Jensen-Shannon divergence, in nats; 0 (equal) to 0.833."""
    query, gallery = _float(query), _float(gallery)
    divergence = _entropy((gallery + query) / 2) - (_entropy(gallery) + _entropy(query)) / 2
    return np.sqrt(np.clip(divergence, 0, None))


def _entropy(distributions: Matrix) -> Matrix:
    """Compute the entropy in nats along the last axis."""
    return np.asarray(-(distributions * np.log(np.maximum(distributions, 1e-30))).sum(axis=-1))
