"""Pooling of several queries into one distance per feature, for likes and for unlikes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features import Feature
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.metrics import Metric
from imrec_core.index.exact_search import Distances, blocks
from imrec_core.index.generation import Generation, Matrix, Rows

POOLS = ("mean", "best", "all")


def query_distances(
    generation: Generation, pair: FeatureMetric, queries: Sequence[EncodedQuery], pool: str, rows: Rows
) -> Distances:
    """Compute the exact pooled distances of rows `(n,)` to the queries; see `pooled_distance`."""
    matrix, distance = generation.matrix(pair.feature.name), pooled_distance(pair, queries, pool)
    distances = np.empty(len(rows), np.float32)
    for part, block in blocks(matrix, rows):
        distances[part] = distance(block)
    return distances


def pooled_distance(pair: FeatureMetric, queries: Sequence[EncodedQuery], pool: str) -> Callable[[Matrix], Distances]:
    """Return a function from vectors `(n, width)` to their pooled distances to the queries `(n,)`.

    Vectors with nothing to compare are infinitely far; queries with nothing to compare are left out if others have
    something.

    Args:
        pair: Feature and metric of the distance.
        queries: Encoded queries with their weights, at least one.
        pool: `mean`: distance to the weighted mean of the query vectors. Of binary hashes it is the weighted mean of
            the distances: two hashes have no majority in the bits where they differ, and the mean Hamming distance is
            the L1 distance to the mean of the bits. `best`: smallest distance to any query. `all`: largest distance. A
            query of half the weight counts as twice as far for `best`, and as half as far for `all`.
    """
    queries = comparable_queries(pair, queries) or queries
    if len(queries) == 1:
        only = queries[0].for_metric(pair)
        return lambda block: pair(only, block)
    if pool == "mean" and has_mean(pair.feature):
        mean = mean_vector(pair.feature, pair.metric, queries)
        return lambda block: pair(mean, block)
    vectors = sorted(((q.for_metric(pair), q.weight) for q in queries), key=_sort_key)
    weights = np.array([[weight] for _, weight in vectors])

    def distance(block: Matrix) -> Distances:
        each = np.stack([pair(vector, block) for vector, _ in vectors]).astype(np.float64)
        if pool == "mean":
            pooled = (weights * each).sum(axis=0) / weights.sum()
        else:
            pooled = (each / weights).min(axis=0) if pool == "best" else (each * weights).max(axis=0)
        return np.asarray(pooled, np.float32)

    return distance


def comparable_queries(pair: FeatureMetric, queries: Sequence[EncodedQuery]) -> list[EncodedQuery]:
    """Select the queries in which a feature finds something to compare."""
    return [query for query in queries if not pair.is_blank(query.for_metric(pair))]


def has_mean(feature: Feature) -> bool:
    """Return whether vectors of a feature have a mean vector, which binary hashes do not."""
    return feature.dtype != "uint64"


def mean_vector(feature: Feature, metric: Metric, queries: Sequence[EncodedQuery]) -> NDArray[np.float32]:
    """Compute the weighted mean `(width,)` of the query vectors, of length 1 if the feature has unit norm.

    For `cosine` the vectors are normalised first, so that a longer one does not count more.
    """
    weighted = sorted(((q.vectors[feature.name], q.weight) for q in queries), key=_sort_key)
    vectors = np.stack([np.asarray(vector, np.float64) for vector, _ in weighted])
    if feature.unit_norm or metric.name == "cosine":
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    mean = np.average(vectors, axis=0, weights=[weight for _, weight in weighted])
    if feature.unit_norm:
        mean /= max(float(np.linalg.norm(mean)), 1e-12)
    return np.asarray(mean, np.float32)


def _sort_key(query: tuple[NDArray[Any], float]) -> tuple[bytes, float]:
    """Order queries independently of how they were given, so that sums are rounded in the same way."""
    return query[0].tobytes(), query[1]
