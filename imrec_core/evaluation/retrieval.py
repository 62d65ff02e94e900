"""Retrieval scores by labels of a lake's own images; `imrec_dagster/cli/evaluate_report.py` prints them.

Every labelled image is a query in turn, and the images of its label are relevant among all other labelled images
(leave-one-out). Images without a label are left out, as their relevance is unknown. Distances are exact: features are
evaluated, not HNSW graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation import measures
from imrec_core.evaluation.labels import Labels
from imrec_core.evaluation.measures import Estimate
from imrec_core.evaluation.rankers import RankerSet, sample
from imrec_core.index.generation import Generation
from imrec_core.runtime.cpu import cpu_count

MAX_QUERIES = 1000


@dataclass(frozen=True)
class RetrievalScores:
    """Retrieval scores of a feature in a metric, or of a mix.

    Attributes:
        by: `feature` in its default metric, `feature:metric`, or the name of a mix.
        measures: Mean over the queries, by name of the measure.
        precision: Mean interpolated precision at `measures.RECALL_LEVELS`.
    """

    by: str
    measures: Mapping[str, Estimate]
    precision: tuple[float, ...]


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
    """Measure how well features rank the images of the same label first.

    Args:
        by: `feature` or `feature:metric`. Default: every feature in its default metric.
        mixes: Weights of features by name of a mix, evaluated too, with scores fused. None for all features in `by`
            with equal weights, since a mix can be worse than its best feature.
        k: Number of results of precision@k and recall@k.
        queries: Maximum number of queries; a fixed random sample if there are more.
        progress: Called with a line for each block of queries.

    Raises:
        UnknownName: There is no such feature or metric.
        BadWeights: The weights of a mix are invalid.
    """
    rankers = RankerSet.of(generation, by, mixes)
    found = evaluate_queries(generation, labels, rankers, k=k, queries=queries, progress=progress)
    return [of_ranker.mean() for of_ranker in found]


@dataclass(frozen=True)
class QueryMeasures:
    """Measures of each query by one ranker; two rankers are best compared query by query.

    Attributes:
        by: As in `RetrievalScores`.
        measures: Values by name of the measure `(queries,)`.
        precision: As in `RetrievalScores`.
    """

    by: str
    measures: Mapping[str, NDArray[np.float64]]
    precision: tuple[float, ...]

    def mean(self) -> RetrievalScores:
        """Compute the means over the queries."""
        estimates = {measure: measures.estimate(values) for measure, values in self.measures.items()}
        return RetrievalScores(self.by, estimates, self.precision)


def evaluate_queries(
    generation: Generation,
    labels: Labels,
    rankers: RankerSet,
    *,
    k: int = 5,
    queries: int = MAX_QUERIES,
    progress: Callable[[str], None] = lambda line: None,
) -> list[QueryMeasures]:
    """Measure each query by each ranker; `evaluate_retrieval` returns the means."""
    gallery = np.flatnonzero(labels.groups >= 0)
    groups = labels.groups[gallery]
    query_rows = sample(labels.queries, queries)
    functions = _measures(k, labels.group_of_four)
    values: dict[str, dict[str, list[float]]] = {name: {measure: [] for measure in functions} for name in rankers.names}
    precision = {name: np.zeros(len(measures.RECALL_LEVELS)) for name in rankers.names}

    def ranking(row: int, distances: NDArray[Any]) -> measures.Relevant:
        return _ranking(distances, groups == labels.groups[row], int(np.searchsorted(gallery, row)))

    done = 0
    with ThreadPoolExecutor(cpu_count()) as pool:
        for block in rankers.query_blocks(query_rows, len(gallery)):
            progress(f"{done} of {len(query_rows)} queries over {len(gallery)} images")
            done += len(block)
            vectors = rankers.query_vectors(generation, block)
            for name, distances in rankers.distances(generation, vectors, gallery, block):
                for relevant in pool.map(ranking, block, distances):
                    for measure, function in functions.items():
                        values[name][measure].append(function(relevant))
                    precision[name] += measures.interpolated_precision(relevant) / len(query_rows)
    return [
        QueryMeasures(name, {m: np.array(v) for m, v in values[name].items()}, tuple(precision[name].tolist()))
        for name in rankers.names
    ]


def _ranking(distances: NDArray[Any], is_relevant: NDArray[np.bool_], own: int) -> measures.Relevant:
    """Rank rows by distance, with ties in row order as in a search, and leave out the query's own row.

    Sorting keys of distance and position takes half the time of a stable sort, and only the ranks of relevant rows are
    needed.

    Args:
        distances: Distances, or ranks of a mix, of all rows `(n,)`; 32-bit floats or integers.
        is_relevant: Mask of the relevant rows `(n,)`, the query's own among them.
        own: Position of the query's own row.
    """
    keys = _sortable(distances) << 32 | np.arange(len(distances))
    ranks = np.searchsorted(np.sort(keys), keys[is_relevant])
    relevant = np.zeros(len(distances), np.bool_)
    relevant[ranks] = True
    own_rank = ranks[np.count_nonzero(is_relevant[:own])]
    return np.delete(relevant, own_rank)


def _sortable(distances: NDArray[Any]) -> NDArray[np.int64]:
    """Convert 32-bit floats to integers of the same order; integers stay as they are."""
    if distances.dtype != np.float32:
        return distances.astype(np.int64)
    bits = (distances + np.float32(0)).view(np.int32)  # + 0, as -0.0 equals 0.0
    return (bits ^ (bits >> 31 & 0x7FFFFFFF)).astype(np.int64)  # the bits of negative floats rise with their size


def _measures(k: int, group_of_four: bool) -> dict[str, Callable[[measures.Relevant], float]]:
    """Return the measures of a ranking by name."""
    functions: dict[str, Callable[[measures.Relevant], float]] = {
        f"P@{k}": lambda relevant: measures.precision_at_k(relevant, k),
        f"R@{k}": lambda relevant: measures.recall_at_k(relevant, k),
        "mAP": measures.average_precision,
        "nDCG": measures.ndcg,
    }
    if group_of_four:  # UKBench counts the query itself, which is first
        functions["N-S"] = lambda relevant: measures.ns_score(np.concatenate([[True], relevant]))
    return functions
