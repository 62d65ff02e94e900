"""Clusters of a map, and the medoid image of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features import Feature
from imrec_core.index.exact_search import Rows
from imrec_core.maps.layout import Positions

Clusters = NDArray[np.int32]

NOISE = -1

# On 1,066 photos of 25 classes, the leaves of HDBSCAN's tree on a UMAP layout agreed with the classes by an adjusted
# Rand index of .68, on t-SNE by .69 (clusters of 25 or more). "Excess of mass" gave .49 and .70; UMAP to 5 or 10
# dimensions at most .53 (2026-11). Clusters of the 2-D positions are also the ones that a viewer sees.
_SIZE, _SMALLEST = 0.75, 5  # minimum cluster size: factor of the square root of the number of points, lower bound
_SAMPLES = 5
_VOTES = 5  # nearest neighbours that vote on the cluster of a point outside the sample
_CLUSTERED = 40_000  # points in the sample: 10 s on one core, quadratic
_MEDOIDS, _MEMBERS = 200, 500  # medoid candidates of a large cluster, members that each is compared with


def find_clusters(positions: Positions, among: Rows, size: int | None = None) -> Clusters:
    """Cluster the positions with HDBSCAN.

    Args:
        among: Points to cluster, ascending; at most 40,000 of them are used. The others join their neighbours.
        size: Minimum cluster size, counted over all points; None derives it from the number of points.

    Returns:
        The cluster of each point `(n,)`: 0 is the largest, -1 is noise.
    """
    some = _sample_evenly(among, _CLUSTERED)
    least = round(size * len(some) / len(positions)) if size else round(_SIZE * len(some) ** 0.5)
    least = max(least, 2 if size else _SMALLEST)
    if len(some) < 2 * least:
        return np.full(len(positions), NOISE, np.int32)
    from sklearn.cluster import HDBSCAN

    found = HDBSCAN(
        min_cluster_size=least, min_samples=min(_SAMPLES, least), cluster_selection_method="leaf", copy=True
    ).fit_predict(positions[some])
    clusters = assign_clusters(positions[some], np.asarray(found, np.int32), positions)
    clusters[some] = found
    return _number_by_size(clusters)


def assign_clusters(positions: Positions, clusters: Clusters, others: Positions) -> Clusters:
    """Assign points to clusters by majority vote of their nearest neighbours on the map.

    In a tie the cluster of the nearest neighbour wins.

    Args:
        positions, clusters: Points with known clusters.
        others: Positions of the points to assign, `(n, 2)`.

    Returns:
        The cluster of each other point `(n,)`.
    """
    from scipy.spatial import cKDTree

    near = cKDTree(positions).query(others, k=np.arange(1, min(_VOTES, len(positions)) + 1))[1]
    votes = clusters[near]
    counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    return np.asarray(votes[np.arange(len(votes)), counts.argmax(axis=1)])


def _number_by_size(found: NDArray[Any]) -> Clusters:
    sizes = np.bincount(found[found >= 0], minlength=1)
    rank = np.empty(len(sizes), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.where(found >= 0, rank[found], NOISE).astype(np.int32)


def medoid(feature: Feature, matrix: NDArray[Any], members: Rows) -> int:
    """Find the row with the smallest sum of distances to a cluster, by the feature's default metric.

    Clusters of more than 200 rows are sampled.

    Args:
        matrix: Vectors of all rows, as stored.
        members: Rows of the cluster, ascending, one or more.
    """
    candidates, others = _sample_evenly(members, _MEDOIDS), _sample_evenly(members, _MEMBERS)
    metric, among = feature.metric, matrix[others]
    sums = [metric(feature.as_query(matrix[row], metric), among).sum(dtype=np.float64) for row in candidates]
    return int(candidates[int(np.argmin(sums))])


def _sample_evenly(rows: Rows, most: int) -> Rows:
    return rows[np.arange(min(most, len(rows))) * len(rows) // min(most, len(rows))]
