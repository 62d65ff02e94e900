"""Which labels a feature takes for which: of what label the nearest images of an image are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation.labels import Labels
from imrec_core.evaluation.rankers import Plan, as_queries, parts, sample
from imrec_core.evaluation.retrieval import MAX_QUERIES
from imrec_core.index.exact_search import smallest
from imrec_core.index.generation import Generation


@dataclass(frozen=True)
class Confusion:
    """Of which label the nearest images are, by that of the one that asks.

    Attributes:
        names: Labels that ask, in the order of the alphabet.
        counts: Nearest images `(n, n + 1)`: a row for the label that asks, a column for the label of its neighbours;
            the last column has all that are of another label than `names`.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]


def confusion(
    generation: Generation,
    labels: Labels,
    by: str | None = None,
    *,
    k: int = 5,
    classes: int = 40,
    queries: int = MAX_QUERIES,
) -> Confusion:
    """Count of which label the k nearest of each image are, the image itself left out.

    Args:
        by: `feature` or `feature:metric`; None for the generation's first feature.
        classes: Labels that are told apart, at most: those with most queries.
        queries: As for `judge`.

    Raises:
        UnknownName: No such feature or metric.
    """
    asked = sample(labels.queries, queries)
    groups, counts = np.unique(labels.groups[asked], return_counts=True)
    most = groups[np.argsort(-counts, kind="stable")][:classes]
    shown = np.array(sorted(most.tolist(), key=lambda group: labels.names[group]))
    place = np.full(len(labels.names) + 1, len(shown))
    place[shown] = np.arange(len(shown))
    gallery = np.flatnonzero(labels.groups >= 0)
    found = np.zeros((len(shown) + 1, len(shown) + 1), np.int64)
    plan = Plan.of(generation, [by or generation.default_feature], {})
    for some in parts(asked, len(gallery) * plan.held):
        vectors = {name: as_queries(generation, way, some) for name, way in plan.ways.items()}
        for _, distances in plan.distances(generation, vectors, gallery, some):
            for row, of_query in zip(some, distances, strict=True):
                order = gallery[smallest(k + 1, of_query)]  # itself is seldom not among them: copies are as near
                nearest = order[order != row][:k]
                np.add.at(found, (place[labels.groups[row]], place[labels.groups[nearest]]), 1)
    return Confusion(tuple(labels.names[group] for group in shown), found[:-1])
