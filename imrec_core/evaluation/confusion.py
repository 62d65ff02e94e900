"""Confusion matrix of labels: the labels of the nearest images, by the label of the query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation.labels import Labels
from imrec_core.evaluation.rankers import RankerSet, sample
from imrec_core.evaluation.retrieval import MAX_QUERIES
from imrec_core.index.exact_search import smallest
from imrec_core.index.generation import Generation


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix of labels.

    Attributes:
        names: Labels, sorted.
        counts: Numbers of nearest images `(n, n + 1)`: one row per label of the query, one column per label of the
            neighbour. The last column counts neighbours with a label that is not in `names`.
        queries: Number of query images of each label.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    queries: tuple[int, ...] = ()


def confusion(
    generation: Generation,
    labels: Labels,
    by: str | None = None,
    *,
    k: int = 5,
    classes: int = 40,
    queries: int = MAX_QUERIES,
) -> Confusion:
    """Count the labels of the k nearest images of each query, excluding the query itself.

    Args:
        by: `feature` or `feature:metric`; None for the generation's default feature.
        k: Number of nearest images.
        classes: Maximum number of labels: those with most queries.
        queries: Maximum number of queries, as for `evaluate_retrieval`.

    Raises:
        UnknownName: There is no such feature or metric.
    """
    query_rows = sample(labels.queries, queries)
    groups, counts = np.unique(labels.groups[query_rows], return_counts=True)
    largest = groups[np.argsort(-counts, kind="stable")][:classes]
    shown = np.array(sorted(largest.tolist(), key=lambda group: labels.names[group]))
    position = np.full(len(labels.names) + 1, len(shown))
    position[shown] = np.arange(len(shown))
    gallery = np.flatnonzero(labels.groups >= 0)
    matrix = np.zeros((len(shown) + 1, len(shown) + 1), np.int64)
    rankers = RankerSet.of(generation, [by or generation.default_feature], {})
    for block in rankers.query_blocks(query_rows, len(gallery)):
        for _, distances in rankers.distances(generation, rankers.query_vectors(generation, block), gallery, block):
            for row, of_query in zip(block, distances, strict=True):
                order = gallery[smallest(k + 1, of_query)]  # may lack the query itself if it has copies
                nearest = order[order != row][:k]
                np.add.at(matrix, (position[labels.groups[row]], position[labels.groups[nearest]]), 1)
    asked = dict(zip(groups.tolist(), counts.tolist(), strict=True))
    names = tuple(labels.names[group] for group in shown)
    return Confusion(names, matrix[:-1], tuple(asked[group] for group in shown.tolist()))
