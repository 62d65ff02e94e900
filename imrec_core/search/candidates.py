"""Candidate rows of a search: how many come from which index. `index/graph_search.py` only asks one HNSW graph."""

from __future__ import annotations

import math

import numpy as np

from imrec_core.features import Feature
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.features.metrics import METRICS
from imrec_core.index.exact_search import nearest_by
from imrec_core.index.generation import Generation, Rows
from imrec_core.search.pooling import comparable_queries, has_mean, mean_vector, pooled_distance
from imrec_core.search.request import SearchRequest

_OVERFETCH = 1.5  # factor over the average number of matching rows: a condition and similarity correlate
_ROWS_PER_FETCHED = 12  # rows of an exact search that take as long as one row of a graph
_FETCH_FACTOR = 2  # candidates per hit
_REORDER_FACTOR = 4  # candidates per hit, if they come by one distance and are ranked by another
_NEAR_FACTOR = 20  # candidates per hit, if the graph's metric has nearly the order of another; see `NEAR_HELLINGER`
_UNLIKE_FACTOR = 4  # as unlikes lower the scores of the nearest candidates

_SAME_ORDER = {"cosine", "euclidean", "dot"}  # of vectors of length 1
# Metrics whose 10 nearest are among the 200 nearest by Hellinger: recall 1.0 over 1,066 photos; among 100 .9987. By
# others it is .98 or less: Euclidean and cosine over histograms, Manhattan over embeddings (2026-12).
NEAR_HELLINGER = {"manhattan", "intersection", "chi_square", "jensen_shannon"}


def collect_candidates(generation: Generation, request: SearchRequest, count: int) -> tuple[Rows, str]:
    """Collect rows to rank by exact distances.

    Args:
        count: Number of rows needed after ranking.

    Returns:
        The rows, ascending, and how they were found.
    """
    allowed = request.allowed_rows
    total = len(generation.live if allowed is None else allowed)
    factor = _candidates_per_hit(generation, request)
    num_candidates = max(factor * count, *(_min_candidates(generation, feature) for feature in request.features))
    if request.unlikes:
        num_candidates *= _UNLIKE_FACTOR
    if request.options.exact or total <= 2 * num_candidates:
        return np.arange(len(generation)) if allowed is None else allowed, f"exact scan of {total} rows"
    found, methods = [], []
    for feature in filter(request.can_compare, request.features):
        nearest, method = _nearest_rows(generation, feature, request, num_candidates)
        found += nearest
        methods.append(method)
    if not found:  # nothing to compare: any rows do, the same as in an exact search
        found, methods = [(generation.live if allowed is None else allowed)[:num_candidates]], ["the first rows"]
    rows = np.sort(np.concatenate(found))
    rows = rows[np.flatnonzero(np.diff(rows, prepend=-1))]  # a quarter of the time of NumPy's `unique` (2.4)
    return rows, f"{len(rows)} candidates from {', '.join(methods)}, ranked exactly"


def _candidates_per_hit(generation: Generation, request: SearchRequest) -> int:
    """Return how many candidates to collect for each hit, by how near their order is to that of the ranking."""
    (first, *others) = request.features
    graph = _graph_of(generation, first)
    if others:
        return _REORDER_FACTOR
    if graph is None or (graph == str(first) and not generation.graphs[graph].dims):
        return _FETCH_FACTOR
    return _REORDER_FACTOR if _keeps_order(generation, first, str(graph)) else _NEAR_FACTOR


def _graph_of(generation: Generation, pair: FeatureMetric) -> str | None:
    """Choose the graph that finds the nearest rows by a feature and metric; None if only an exact search does."""
    graph = generation.graph_of(pair.feature, pair.metric)
    if graph is None or _keeps_order(generation, pair, graph):
        return graph
    is_near = generation.graphs[graph].metric == "hellinger" and pair.metric.name in NEAR_HELLINGER
    return graph if is_near else None


def _keeps_order(generation: Generation, pair: FeatureMetric, graph: str) -> bool:
    """Return whether the metric of a graph has the order of another metric."""
    metrics = {generation.graphs[graph].metric, pair.metric.name}
    return len(metrics) == 1 or (pair.feature.unit_norm and metrics <= _SAME_ORDER)


def _min_candidates(generation: Generation, feature: FeatureMetric) -> int:
    graph = _graph_of(generation, feature)
    return generation.graphs[graph].candidates if graph else 100


def _nearest_rows(
    generation: Generation, weighted: WeightedFeature, request: SearchRequest, count: int
) -> tuple[list[Rows], str]:
    """Find rows near each like and near their mean, which may be far from each of them.

    A graph does not filter: the fewer rows are allowed, the more must be fetched. Below some share, an exact search
    among the allowed rows in the vectors of the graph is faster.
    """
    total, allowed = len(generation.live), request.allowed_rows
    remaining = total if allowed is None else len(allowed)
    graph = _graph_of(generation, weighted)
    if graph is None:
        rows = _search_exactly(generation, weighted, request, count)
        return [rows], f"a scan of {remaining} rows by {weighted.name}"
    facts = generation.graphs[graph]
    feature, metric = generation.feature(facts.feature), METRICS[facts.metric]
    likes = comparable_queries(weighted, request.likes)
    vectors = [like.vectors[feature.name] for like in likes]
    if len(vectors) > 1 and request.options.pool != "best" and has_mean(feature):
        vectors.append(mean_vector(feature, metric, likes))
    fetched = count if allowed is None else math.ceil(_OVERFETCH * count * total / remaining)
    if fetched * _ROWS_PER_FETCHED < remaining and generation.has_loaded(graph):
        found = [generation.graph_nearest(graph, vector, fetched) for vector in vectors]
        if allowed is not None:
            found = [_intersect(rows, allowed) for rows in found]
        found = [_without_blank(generation, weighted.feature, rows) for rows in found]
        if min(map(len, found)) >= count:
            return found, f"the graph of {graph}"
    if not _keeps_order(generation, weighted, graph):
        return [_search_exactly(generation, weighted, request, count)], f"a scan of {remaining} rows by {weighted.name}"
    nearest = list(generation.exact_nearest(feature.name, FeatureMetric(feature, metric), vectors, count, allowed))
    return nearest, f"a scan of {remaining} rows by {feature.name}"


def _intersect(rows: Rows, allowed: Rows) -> Rows:
    """Select the rows that are in `allowed`, which is ascending, in their order."""
    at = np.minimum(np.searchsorted(allowed, rows), len(allowed) - 1)
    return np.asarray(rows[allowed[at] == rows])


def _without_blank(generation: Generation, feature: Feature, rows: Rows) -> Rows:
    """Remove the rows with nothing to compare, which a graph may hold nearer than those that rank before them."""
    return rows if feature.blank is None else rows[~feature.blank.find(generation.matrix(feature.name)[rows])]


def _search_exactly(generation: Generation, feature: FeatureMetric, request: SearchRequest, count: int) -> Rows:
    distance = pooled_distance(feature, request.likes, request.options.pool)
    is_removed = ~generation.is_live if generation.removed else None
    return nearest_by(distance, generation.matrix(feature.feature.name), count, request.allowed_rows, is_removed)
