"""Several queries → one distance per feature, for likes and for unlikes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features import Feature
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.metrics import Metric, l2_normalise
from imrec_core.index.exact_search import Distances, blocks
from imrec_core.index.generation import Generation, Matrix, Rows

POOLS = ("mean", "best", "all")


def query_distances(
    generation: Generation, chosen: FeatureMetric, queries: Sequence[EncodedQuery], pool: str, rows: Rows
) -> Distances:
    """Exact distances of rows `(n,)` to the queries as one; see `pooled_distance`."""
    matrix, distance = generation.matrix(chosen.feature.name), pooled_distance(chosen, queries, pool)
    found = np.empty(len(rows), np.float32)
    for part, block in blocks(matrix, rows):
        found[part] = distance(block)
    return found


def pooled_distance(chosen: FeatureMetric, queries: Sequence[EncodedQuery], pool: str) -> Callable[[Matrix], Distances]:
    """The distance of vectors `(n, width)` to several queries as one.

    `mean` is the distance to the weighted mean of the queries' vectors. Of hashes it is the mean of the distances:
    two hashes have no majority in the bits where they differ, and the mean Hamming distance is the L1 distance to
    the mean of the bits. `best` is the least distance to any query, `all` the largest; there a query of half the
    weight counts as twice as far for `best`, as half as far for `all`.
    """
    metric = chosen.metric
    if len(queries) == 1:
        only = queries[0].for_metric(chosen)
        return lambda block: metric(only, block)
    if pool == "mean" and has_mean(chosen.feature):
        mean = mean_vector(chosen.feature, metric, queries)
        return lambda block: metric(mean, block)
    asked = sorted(((q.for_metric(chosen), q.weight) for q in queries), key=_canonical)
    weights = np.array([[weight] for _, weight in asked])

    def distance(block: Matrix) -> Distances:
        each = np.stack([metric(vector, block) for vector, _ in asked]).astype(np.float64)
        if pool == "mean":
            found = (weights * each).sum(axis=0) / weights.sum()
        else:
            found = (each / weights).min(axis=0) if pool == "best" else (each * weights).max(axis=0)
        return np.asarray(found, np.float32)

    return distance


def has_mean(feature: Feature) -> bool:
    """Whether the mean of several vectors is one; of hashes it is not."""
    return feature.dtype != "uint64"


def mean_vector(feature: Feature, metric: Metric, queries: Sequence[EncodedQuery]) -> NDArray[np.float32]:
    """Weighted mean of the queries' vectors, of length 1 where those of the feature are.

    By `cosine` only directions count, so that a longer vector does not count more.
    """
    asked = sorted(((q.vectors[feature.name], q.weight) for q in queries), key=_canonical)
    vectors = np.stack([np.asarray(vector, np.float64) for vector, _ in asked])
    if feature.unit_norm or metric.name == "cosine":
        vectors = l2_normalise(vectors)
    mean = np.average(vectors, axis=0, weights=[weight for _, weight in asked])
    if feature.unit_norm:
        mean /= max(float(np.linalg.norm(mean)), 1e-12)
    return np.asarray(mean, np.float32)


def _canonical(asked: tuple[NDArray[Any], float]) -> tuple[bytes, float]:
    """An order that does not depend on how the queries were given, so that sums are rounded alike."""
    return asked[0].tobytes(), asked[1]
