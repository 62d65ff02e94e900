"""Ranking of candidates: exact distances, fusion of features, match threshold, distinct and diverse hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index import exact_search
from imrec_core.index.calibration import Calibration
from imrec_core.index.exact_search import Distances, smallest
from imrec_core.index.generation import Generation, Rows
from imrec_core.runtime.timing import timed
from imrec_core.search.candidates import collect_candidates
from imrec_core.search.fusion import FUSIONS, Numbers, fuse, maximal_marginal_relevance
from imrec_core.search.match_threshold import JointCalibrations, passes_match_threshold
from imrec_core.search.pooling import query_distances
from imrec_core.search.request import SearchRequest

_POOL = 5  # rows to choose diverse hits from, per hit
_WIDEN = 8  # factor of further candidates, when there are too few


@dataclass(frozen=True)
class RankedRows:
    """The rows of the hits, best first, with their scores.

    Attributes:
        rows, scores: `(n,)`.
        distances: Pooled distances to the likes by each feature `(features, n)`; infinite if there is nothing to
            compare.
        feature_scores: Calibrated scores of `distances`.
        unlike_scores: What the unlikes take from `feature_scores`.
        feature_ranks: Ranks by `distances` among all ranked rows, from 1.
        plan: How the rows were found.
        excluded: Number of ranked rows that the match threshold excludes.
        has_more: Whether a larger k would return more hits.
    """

    rows: Rows
    scores: Numbers
    distances: Distances
    feature_scores: Numbers
    unlike_scores: Numbers
    feature_ranks: NDArray[np.int64]
    plan: str
    excluded: int
    has_more: bool


def rank(generation: Generation, request: SearchRequest, calibrations: JointCalibrations) -> RankedRows:
    """Rank the rows of a generation and return the best k."""
    k, diversify = request.options.k, request.options.diversify
    count = num_candidates = k * (_POOL if diversify else 1)
    compared, order, is_complete = _rank_candidates(generation, request, calibrations, num_candidates, count)
    while len(order) < k and not is_complete:
        num_candidates *= _WIDEN
        compared, order, is_complete = _rank_candidates(generation, request, calibrations, num_candidates, count)
    # The hits must not depend on the check for further ones, so its candidates are used for nothing else.
    further = order
    while len(further) == k and not is_complete:
        num_candidates *= _WIDEN
        _, further, is_complete = _rank_candidates(generation, request, calibrations, num_candidates, count)
    has_more, order = len(further) > k, order[:count]
    with timed("re-rank"):
        if diversify:
            order = _diversify(generation, request, compared, order)
        return _select(compared, order, has_more)


def _rank_candidates(
    generation: Generation, request: SearchRequest, calibrations: JointCalibrations, num_candidates: int, count: int
) -> tuple[_Compared, Rows, bool]:
    """Rank candidates.

    Returns:
        The candidates, the positions of the best `count + 1` of them, and whether no other row can be a hit. Other rows
        can if identical images took the positions.
    """
    allowed = request.allowed_rows
    total = len(generation.live if allowed is None else allowed)
    with timed("candidates"):
        rows, plan = collect_candidates(generation, request, num_candidates + len(request.own_rows))
    with timed("re-rank"):
        compared = _compare(generation, request, calibrations, rows, plan)
        order = _order(generation, request, compared, count + 1)
    return compared, order, request.options.distinct is None or compared.excluded > 0 or len(rows) >= total


def share_exact_search(generation: Generation, requests: Sequence[SearchRequest]) -> list[SearchRequest]:
    """Compute the distances of several requests in one pass over the vectors.

    Args:
        requests: Requests of one like each, with the same features and allowed rows.
    """
    if not requests:
        return []
    features, rows = requests[0].features, requests[0].allowed_rows
    by_feature = [
        exact_search.distances(
            feature,
            [request.likes[0].for_metric(feature) for request in requests],
            generation.matrix(feature.feature.name),
            rows,
        )
        for feature in features
    ]
    return [replace(request, distances=[of[i] for of in by_feature]) for i, request in enumerate(requests)]


@dataclass(frozen=True)
class _Compared:
    """Candidates that can be hits, with their distances and scores; arrays over `n` rows.

    Attributes:
        rows: Ascending.
        sort_keys: Smallest first; a key decides between rows that are equal by the keys before it.
        scores: Fused scores before they are clipped to 0 and 1; None for the calibrated scores of the only feature.
        distances, unlike_scores, calibrations: One of each feature.
        heaviest: Position of the feature with the largest weight.
    """

    rows: Rows
    sort_keys: tuple[NDArray[Any], ...]
    scores: Numbers | None
    distances: Sequence[Distances]
    unlike_scores: Sequence[Numbers]
    calibrations: Sequence[Calibration]
    heaviest: int
    plan: str
    excluded: int


def _compare(
    generation: Generation, request: SearchRequest, joint: JointCalibrations, rows: Rows, plan: str
) -> _Compared:
    """Compute the exact distances and the scores of candidates, without own, removed and excluded rows."""
    features, options = request.features, request.options
    calibrations = [generation.calibration(f.feature.name, f.metric.name) for f in features]
    distances = request.distances or [
        query_distances(generation, f, request.likes, options.pool, rows) for f in features
    ]
    rows, distances = _without_own(generation, request, rows, distances)
    excluded = 0
    if options.max_false_match_rate is not None:
        passes = _passes(request, joint, options.max_false_match_rate, rows, distances)
        excluded = int(len(rows) - passes.sum())
        rows, distances = rows[passes], [d[passes] for d in distances]
        plan += f"; {len(rows)} of them within a false match rate of {options.max_false_match_rate:g}"
    unlike = [
        _scores_taken(generation, request, feature, calibration, rows, of_likes)
        for feature, calibration, of_likes in zip(features, calibrations, distances, strict=True)
    ]
    heaviest = max(request.weighted_positions, key=lambda i: features[i].weight)
    scores = _fuse(request, calibrations, distances, unlike)
    # Scores of distant rows are flat: there the feature with the largest weight decides.
    keys = (distances[heaviest],) if scores is None else (-scores, distances[heaviest])
    return _Compared(rows, keys, scores, distances, unlike, calibrations, heaviest, plan, excluded)


def _without_own(
    generation: Generation, request: SearchRequest, rows: Rows, distances: Sequence[Distances]
) -> tuple[Rows, Sequence[Distances]]:
    """Remove own and removed rows, after the comparison: to remove them before would copy the vectors of all rows."""
    own = request.own_rows
    if not own and not generation.removed:
        return rows, distances
    others = rows != own[0] if len(own) == 1 else ~np.isin(rows, own)
    if generation.removed:
        others &= generation.is_live[rows]
    return rows[others], [d[others] for d in distances]


def _passes(
    request: SearchRequest, joint: JointCalibrations, rate: float, rows: Rows, distances: Sequence[Distances]
) -> NDArray[np.bool_]:
    positions, likes = request.weighted_positions, request.likes
    known = [distances[i] for i in positions] if len(likes) == 1 else None
    features = [request.features[i] for i in positions]
    return passes_match_threshold(joint, features, likes, request.options.pool, rate, rows, known)


def _fuse(
    request: SearchRequest,
    calibrations: Sequence[Calibration],
    distances: Sequence[Distances],
    unlike_scores: Sequence[Numbers],
) -> Numbers | None:
    """Fuse the features with a weight above 0; None for a single feature without unlikes."""
    positions, fusion = request.weighted_positions, request.options.fuse
    if len(positions) == 1 and not request.unlikes:
        return None
    uses_scores = fusion == "score" or len(positions) == 1  # a single feature is not fused
    if uses_scores or request.unlikes:
        closeness = [calibrations[i].score(distances[i]) - unlike_scores[i] for i in positions]
    else:
        closeness = [-distances[i].astype(np.float64) for i in positions]
    return (fuse if uses_scores else FUSIONS[fusion])(closeness, [request.features[i].weight for i in positions])


def _order(generation: Generation, request: SearchRequest, compared: _Compared, count: int) -> Rows:
    """Return the positions of up to `count` candidates, best first."""
    num_sorted = count
    while True:
        order = smallest(num_sorted, *compared.sort_keys)
        if request.options.distinct is None:
            return order
        content = generation.columns("content_hash")["content_hash"].take(compared.rows[order]).to_numpy()
        first = order[np.sort(np.unique(content, return_index=True)[1])]
        if len(first) >= count or len(order) == len(compared.rows):
            return first[:count]
        num_sorted *= _WIDEN  # identical images took the positions


def _scores(compared: _Compared, order: Rows) -> Numbers:
    """Return the scores of the candidates at some positions."""
    if compared.scores is None:
        return compared.calibrations[compared.heaviest].score(compared.distances[compared.heaviest][order])
    return compared.scores[order]


def _select(compared: _Compared, order: Rows, has_more: bool) -> RankedRows:
    """Select the candidates at some positions."""
    distances = [d[order] for d in compared.distances]
    return RankedRows(
        compared.rows[order],
        np.clip(_scores(compared, order), 0, 1),
        np.stack(distances),
        np.stack([of.score(d) for of, d in zip(compared.calibrations, distances, strict=True)]),
        np.stack([u[order] for u in compared.unlike_scores]),
        np.stack([_ranks(*pair) for pair in zip(compared.distances, distances, strict=True)]),
        compared.plan,
        compared.excluded,
        has_more,
    )


def _ranks(all_distances: Distances, distances: Distances) -> Rows:
    """Compute the rank of each distance among all distances, from 1; equal ones have the same rank."""
    nearer = all_distances[all_distances <= distances.max(initial=0)]  # the others need no sorting
    return np.asarray(np.searchsorted(np.sort(nearer), distances) + 1)


def _scores_taken(
    generation: Generation,
    request: SearchRequest,
    feature: FeatureMetric,
    calibration: Calibration,
    rows: Rows,
    distances: Distances,
) -> Numbers:
    """Compute what the unlikes take from the scores of rows: that by which rows are closer to them than to the likes.

    What an unlike has in common with the likes is wanted. So a row loses nothing as long as it is at least as close to
    the likes, and an unlike never raises a row that is closer to it.

    Args:
        distances: Pooled distances of the rows to the likes.
    """
    taken = np.zeros(len(rows))
    if not request.unlikes:
        return taken
    wanted = calibration.score(distances)
    for query in request.unlikes:
        unwanted = calibration.score(query_distances(generation, feature, [query], request.options.pool, rows))
        taken = np.maximum(taken, query.weight * (unwanted - wanted))
    return taken


def _diversify(generation: Generation, request: SearchRequest, compared: _Compared, order: Rows) -> Rows:
    """Select k diverse candidates by the first feature."""
    first, calibration = request.features[0], compared.calibrations[0]
    block: NDArray[Any] = generation.matrix(first.feature.name)[compared.rows[order]]

    def similarity(i: int) -> Numbers:
        return calibration.score(first.metric(first.feature.as_query(block[i], first.metric), block))

    options = request.options
    return order[maximal_marginal_relevance(_scores(compared, order), similarity, options.k, float(options.diversify))]
