"""How well each feature finds what belongs together, judged by labels on a lake's own images.

Every labelled image is a query in turn, and those of its own label are to be found among all other labelled images
(leave-one-out). Images without a label are left out: nobody knows whether they belong. Distances are exact, so this
judges features, not graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation import measures
from imrec_core.evaluation.labels import Labels
from imrec_core.evaluation.measures import Estimate
from imrec_core.evaluation.rankers import RankerSet, as_queries, query_blocks, sample
from imrec_core.index.generation import Generation

MAX_QUERIES = 1000


@dataclass(frozen=True)
class RetrievalScores:
    """How well a feature does in a metric.

    Attributes:
        by: `feature` in its default metric, `feature:metric`, or the name of a mix.
        measures: Mean over the queries, by name of the measure.
        precision: At the recalls of `measures.RECALL_LEVELS`, mean over the queries.
    """

    by: str
    measures: Mapping[str, Estimate]
    precision: tuple[float, ...]


# -- labels -------------------------------------------------------------------------------------------------


# -- judging ------------------------------------------------------------------------------------------------


def evaluate_retrieval(
    generation: Generation,
    labels: Labels,
    *,
    by: Sequence[str] = (),
    mixes: Mapping[str, Mapping[str, float]] | None = None,
    k: int = 5,
    queries: int = MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[RetrievalScores]:
    """Measure how well features find what belongs together.

    Args:
        by: `feature` or `feature:metric`; none given: every feature in its default metric.
        mixes: What is judged beside them: names to weights of features, fused by their scores. None for all of `by`
            with the same weight, since a mix can lose against its best feature.
        k: Of precision and recall.
        queries: Asked at most; of more a random sample, always the same.
        progress: Told how far it is.

    Raises:
        UnknownName: No such feature or metric.
        BadWeights: Those of a mix will not do.
    """
    plan = RankerSet.of(generation, by, mixes)
    return [
        found.summed_up() for found in judge_queries(generation, labels, plan, k=k, queries=queries, progress=progress)
    ]


@dataclass(frozen=True)
class QueryMeasures:
    """What was measured of each query; comparing two of these query by query says more than comparing their means.

    Attributes:
        by: As `RetrievalScores` has it.
        measures: Of each query `(queries,)`, by name of the measure.
        precision: As `RetrievalScores` has it.
    """

    by: str
    measures: Mapping[str, NDArray[np.float64]]
    precision: tuple[float, ...]

    def summed_up(self) -> RetrievalScores:
        """Means over the queries."""
        estimates = {measure: measures.estimate(values) for measure, values in self.measures.items()}
        return RetrievalScores(self.by, estimates, self.precision)


def judge_queries(
    generation: Generation,
    labels: Labels,
    plan: RankerSet,
    *,
    k: int = 5,
    queries: int = MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[QueryMeasures]:
    """What `evaluate_retrieval` gives the means of, in the order of what the plan judges."""
    gallery = np.flatnonzero(labels.groups >= 0)
    asked = sample(labels.queries, queries)
    of_each = _measures(k, labels.group_of_four)
    values: dict[str, dict[str, list[float]]] = {name: {measure: [] for measure in of_each} for name in plan.judged}
    precision = {name: np.zeros(len(measures.RECALL_LEVELS)) for name in plan.judged}
    done = 0
    for some in query_blocks(asked, len(gallery) * plan.held):
        progress(f"{done} of {len(asked)} queries over {len(gallery)} images")
        done += len(some)
        vectors = {name: as_queries(generation, way, some) for name, way in plan.ways.items()}
        for name, distances in plan.distances(generation, vectors, gallery, some):
            for row, of_query in zip(some, distances, strict=True):
                order = np.argsort(of_query, kind="stable")  # ties in row order, as a search has them
                relevant = (labels.groups[gallery[order]] == labels.groups[row])[gallery[order] != row]
                for measure, measured in of_each.items():
                    values[name][measure].append(measured(relevant))
                precision[name] += measures.interpolated_precision(relevant) / len(asked)
    return [
        QueryMeasures(name, {m: np.array(v) for m, v in values[name].items()}, tuple(precision[name].tolist()))
        for name in plan.judged
    ]


def _measures(k: int, group_of_four: bool) -> dict[str, Callable[[measures.Relevant], float]]:
    """What is measured of each ranking, by name."""
    of_each: dict[str, Callable[[measures.Relevant], float]] = {
        f"P@{k}": lambda relevant: measures.precision_at_k(relevant, k),
        f"R@{k}": lambda relevant: measures.recall_at_k(relevant, k),
        "mAP": measures.average_precision,
        "nDCG": measures.ndcg,
    }
    if group_of_four:  # the query finds itself first, and UKBench counts that
        of_each["N-S"] = lambda relevant: measures.ns_score(np.concatenate([[True], relevant]))
    return of_each
