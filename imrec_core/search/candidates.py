"""Candidate rows of a search: how many come from which index. `index/graph_search.py` only asks one HNSW graph."""

from __future__ import annotations

import math

import numpy as np

from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.features.metrics import METRICS
from imrec_core.index.exact_search import smallest
from imrec_core.index.generation import Generation, Rows
from imrec_core.search.pooling import has_mean, mean_vector, query_distances
from imrec_core.search.request import SearchRequest

_OVERFETCH = 1.5  # times as many as would be left on average, since conditions and likeness go together


_ROWS_PER_FETCHED = 12  # rows that are scanned in the time that a graph takes for one


_OF_ANOTHER_ORDER = 4  # times as many as wanted, where candidates come by one distance and are ranked by another


_WITH_UNLIKES = 4  # times as many candidates, as unlikes push the nearest of them down


def _candidates(generation: Generation, asked: SearchRequest, wanted: int) -> tuple[Rows, str]:
    """Rows to rank exactly, ascending, and how they were found."""
    kept = asked.kept
    left = len(generation.live if kept is None else kept)
    spare = 2 if _is_in_order(generation, asked) else _OF_ANOTHER_ORDER
    fetched = max(spare * wanted, *(_at_least(generation, c) for c in asked.chosen))
    if asked.unlikes:
        fetched *= _WITH_UNLIKES
    if asked.exact or left <= 2 * fetched:
        return np.arange(len(generation)) if kept is None else kept, f"exact scan of {left} rows"
    found, finders = [], []
    for chosen in asked.chosen:
        nearest, finder = _nearest(generation, chosen, asked, fetched)
        found += nearest
        finders.append(finder)
    rows = np.unique(np.concatenate(found))
    return rows, f"{len(rows)} candidates from {', '.join(finders)}, ranked exactly"


def _is_in_order(generation: Generation, asked: SearchRequest) -> bool:
    """Whether candidates come by the same distance as they are ranked by."""
    (first, *others) = asked.chosen
    graph = generation.graph_of(first.feature, first.metric)
    return not others and graph in (None, str(first))


def _at_least(generation: Generation, chosen: FeatureMetric) -> int:
    graph = generation.graph_of(chosen.feature, chosen.metric)
    return generation.graphs[graph].candidates if graph else 100


def _nearest(
    generation: Generation, chosen: WeightedFeature, asked: SearchRequest, count: int
) -> tuple[list[Rows], str]:
    """Rows near to any like, and where there is one to their mean, which may be far from each of them.

    A graph knows no conditions: of the rows that it gives only those that are kept count, and so the fewer are kept the
    more must be fetched. From some point on it is faster to look at each that is kept, in the vectors of the graph.
    """
    total, kept = len(generation.live), asked.kept
    left = total if kept is None else len(kept)
    graph = generation.graph_of(chosen.feature, chosen.metric)
    if graph is None:
        return [_scanned(generation, chosen, asked, count)], f"a scan of {left} rows by {chosen.name}"
    facts = generation.graphs[graph]
    feature, metric = generation.feature(facts.feature), METRICS[facts.metric]
    vectors = [like.vectors[feature.name] for like in asked.likes]
    if len(vectors) > 1 and asked.pool != "best" and has_mean(feature):
        vectors.append(mean_vector(feature, metric, asked.likes))
    fetched = count if kept is None else math.ceil(_OVERFETCH * count * total / left)
    if fetched * _ROWS_PER_FETCHED < left:
        found = [generation.graph_nearest(graph, vector, fetched) for vector in vectors]
        if kept is not None:
            found = [_both(rows, kept) for rows in found]
        if min(map(len, found)) >= count:
            return found, f"the graph of {graph}"
    return list(
        generation.exact_nearest(feature.name, metric, vectors, count, kept)
    ), f"a scan of {left} rows by {feature.name}"


def _both(rows: Rows, kept: Rows) -> Rows:
    """Those of the rows that are kept; `kept` is ascending."""
    at = np.minimum(np.searchsorted(kept, rows), len(kept) - 1)
    return np.asarray(rows[kept[at] == rows])


def _scanned(generation: Generation, chosen: FeatureMetric, asked: SearchRequest, count: int) -> Rows:
    rows = np.arange(len(generation)) if asked.kept is None else asked.kept
    found = query_distances(generation, chosen, asked.likes, asked.pool, rows)
    if generation.removed:
        found = np.where(generation.is_live[rows], found, np.inf)
    return rows[smallest(count, found)]
