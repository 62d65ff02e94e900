"""Groups on a map, and the picture that stands for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.explore.layout import Positions
from imrec_core.features import Feature
from imrec_core.scan import Rows

Clusters = NDArray[np.int32]

NOISE = -1

# Of 1,066 photos of 25 classes the leaves of HDBSCAN's tree on a UMAP, in clusters of 25 or more, agreed with the
# classes by an adjusted Rand index of .68, on a t-SNE by .69; by "excess of mass" .49 and .70; on a UMAP to 5 or 10
# dimensions .53 at most (2026-11). What is on the map is also what people see there.
_SIZE, _SMALLEST = 0.75, 5  # least size of a cluster: of the root of the number of points, and at all
_SAMPLES = 5
_VOTES = 5  # of the nearest neighbours of a point that was not clustered
_CLUSTERED = 40_000  # points: 10 s of a core, which grow with their square
_MEDOIDS, _MEMBERS = 200, 500  # of a large cluster that are compared, and with how many


def find_clusters(positions: Positions, among: Rows, size: int | None = None) -> Clusters:
    """The cluster of each point by HDBSCAN, the largest is 0, -1 is in none; `(n,)`.

    Args:
        among: Points that are clustered, ascending; of many a part. The others join their neighbours on the map.
        size: The least number of all points in a cluster.
    """
    some = _spread(among, _CLUSTERED)
    least = round(size * len(some) / len(positions)) if size else round(_SIZE * len(some) ** 0.5)
    least = max(least, 2 if size else _SMALLEST)
    if len(some) < 2 * least:
        return np.full(len(positions), NOISE, np.int32)
    from sklearn.cluster import HDBSCAN

    found = HDBSCAN(
        min_cluster_size=least, min_samples=min(_SAMPLES, least), cluster_selection_method="leaf", copy=True
    ).fit_predict(positions[some])
    clusters = join(positions[some], np.asarray(found, np.int32), positions)
    clusters[some] = found
    return _by_size(clusters)


def join(positions: Positions, clusters: Clusters, others: Positions) -> Clusters:
    """The cluster that most of a point's nearest neighbours on the map are in, of equally many the nearest's; `(n,)`.

    Args:
        positions, clusters: Of the points that are in clusters already.
        others: Positions of those that are to join, `(n, 2)`.
    """
    from scipy.spatial import cKDTree

    near = cKDTree(positions).query(others, k=np.arange(1, min(_VOTES, len(positions)) + 1))[1]
    votes = clusters[near]
    counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    return np.asarray(votes[np.arange(len(votes)), counts.argmax(axis=1)])


def _by_size(found: NDArray[Any]) -> Clusters:
    sizes = np.bincount(found[found >= 0], minlength=1)
    rank = np.empty(len(sizes), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.where(found >= 0, rank[found], NOISE).astype(np.int32)


def medoid(feature: Feature, matrix: NDArray[Any], members: Rows) -> int:
    """The row that is nearest to all of a cluster by the feature's own metric, of a large one to a part of it.

    Args:
        matrix: Of all rows, as stored.
        members: Ascending, one or more.
    """
    candidates, others = _spread(members, _MEDOIDS), _spread(members, _MEMBERS)
    metric, among = feature.metric, matrix[others]
    sums = [metric(feature.as_query(matrix[row], metric), among).sum(dtype=np.float64) for row in candidates]
    return int(candidates[int(np.argmin(sums))])


def _spread(rows: Rows, most: int) -> Rows:
    return rows[np.arange(min(most, len(rows))) * len(rows) // min(most, len(rows))]
