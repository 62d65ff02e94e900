"""Described queries → rows in order of their score: candidates, exact distances, fusion, cut, diversity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index.calibration import Calibration
from imrec_core.index.exact_search import Distances, distances, smallest
from imrec_core.index.generation import Generation, Rows
from imrec_core.runtime.timing import timed
from imrec_core.search.candidates import _candidates
from imrec_core.search.fusion import FUSIONS, Numbers, fuse, maximal_marginal_relevance
from imrec_core.search.match_threshold import JointCalibrations, passes_match_threshold
from imrec_core.search.pooling import query_distances
from imrec_core.search.request import SearchRequest

_POOL = 5  # times as many hits to choose diverse ones from


@dataclass(frozen=True)
class RankedRows:
    """The rows of the hits, best first, and what led to them.

    Attributes:
        rows, scores: `(n,)`.
        distances, parts, unlike, places: `(features, n)`: pooled distance of the likes, its score, what the unlikes
            take from it, and the place by that distance among the rows that were ranked.
        plan: How they were found.
        cut: Rows that were farther than the false match rate allows.
        more: Whether there are hits beyond these.
    """

    rows: Rows
    scores: Numbers
    distances: Distances
    parts: Numbers
    unlike: Numbers
    places: NDArray[np.int64]
    plan: str
    cut: int
    more: bool


def rank(generation: Generation, asked: SearchRequest, joint: JointCalibrations) -> RankedRows:
    """The best rows."""
    wanted = looked_for = asked.k * (_POOL if asked.diversity else 1)
    compared, order, is_all = _looked(generation, asked, joint, looked_for, wanted)
    while len(order) < asked.k and not is_all:
        looked_for *= 8
        compared, order, is_all = _looked(generation, asked, joint, looked_for, wanted)
    # Hits are not to depend on how it is found out whether there are more: what is looked at for that alone is no hit.
    beyond = order
    while len(beyond) == asked.k and not is_all:
        looked_for *= 8
        _, beyond, is_all = _looked(generation, asked, joint, looked_for, wanted)
    more, order = len(beyond) > asked.k, order[:wanted]
    with timed("re-rank"):
        if asked.diversity:
            order = _diverse(generation, asked, compared, order)
        return _taken(compared, order, more)


def _looked(
    generation: Generation, asked: SearchRequest, joint: JointCalibrations, looked_for: int, wanted: int
) -> tuple[_Compared, Rows, bool]:
    """The candidates, the places of the best `wanted` among them and of one more, and whether no others can be hits.

    Others can where copies of one another took the places.
    """
    left = len(generation.live if asked.kept is None else asked.kept)
    with timed("candidates"):
        rows, plan = _candidates(generation, asked, looked_for + len(asked.own))
    with timed("re-rank"):
        compared = _compared(generation, asked, joint, rows, plan)
        order = _ordered(generation, asked, compared, wanted + 1)
    return compared, order, asked.distinct is None or compared.cut > 0 or len(rows) >= left


def with_shared_scan(generation: Generation, asked: Sequence[SearchRequest]) -> list[SearchRequest]:
    """Searches of one like each, with the same features and rows, whose distances are computed in one go."""
    if not asked:
        return []
    chosen, kept = asked[0].chosen, asked[0].kept
    found = [
        distances(
            c.metric,
            [one.likes[0].for_metric(c) for one in asked],
            generation.matrix(c.feature.name),
            kept,
        )
        for c in chosen
    ]
    return [replace(one, known=[of_all[i] for of_all in found]) for i, one in enumerate(asked)]


@dataclass(frozen=True)
class _Compared:
    """Candidates that may be hits, with all that their order depends on; arrays over `n` rows, ascending.

    Attributes:
        keys: What orders them: the smallest of the first comes first, of equal ones the smallest of the next.
        scores: `(n,)`, as the hits show them before they are cut to 0 and 1; None for those of the only feature.
        distances, unlike: One array for each feature.
        chosen: The features, with how their distances are calibrated.
    """

    rows: Rows
    keys: tuple[NDArray[Any], ...]
    scores: Numbers | None
    distances: Sequence[Distances]
    unlike: Sequence[Numbers]
    calibrations: Sequence[Calibration]
    only: int
    plan: str
    cut: int


def _compared(
    generation: Generation, asked: SearchRequest, joint: JointCalibrations, rows: Rows, plan: str
) -> _Compared:
    chosen, counted = asked.chosen, asked.counted
    calibrations = [generation.calibration(c.feature.name, c.metric.name) for c in chosen]
    distances = asked.known or [query_distances(generation, c, asked.likes, asked.pool, rows) for c in chosen]
    if asked.own or generation.removed:  # compared like the others: to leave out a row would copy the vectors of all
        others = rows != asked.own[0] if len(asked.own) == 1 else ~np.isin(rows, asked.own)
        if generation.removed:
            others &= generation.is_live[rows]
        rows, distances = rows[others], [d[others] for d in distances]
    cut = 0
    if asked.rate is not None:
        likes = [chosen[i] for i in counted]
        known = [distances[i] for i in counted] if len(asked.likes) == 1 else None
        matches = passes_match_threshold(joint, likes, asked.likes, asked.pool, asked.rate, rows, known)
        cut = int(len(rows) - matches.sum())
        rows, distances = rows[matches], [d[matches] for d in distances]
        plan += f"; {len(rows)} of them within a false match rate of {asked.rate:g}"
    unlike = [_unlike(generation, asked, c, of, rows) for c, of in zip(chosen, calibrations, strict=True)]
    lead = max(counted, key=lambda i: chosen[i].weight)
    keys: tuple[NDArray[Any], ...] = (distances[lead],)
    values = None
    if len(counted) > 1 or asked.unlikes:
        by_score = asked.fusion == "score" or len(counted) == 1  # one feature has nothing to be fused with
        if by_score or asked.unlikes:
            closeness = [calibrations[i].score(distances[i]) - unlike[i] for i in counted]
        else:
            closeness = [-distances[i].astype(np.float64) for i in counted]
        values = (fuse if by_score else FUSIONS[asked.fusion])(closeness, [chosen[i].weight for i in counted])
        keys = -values, distances[lead]  # far away scores are flat: there the heaviest feature decides
    return _Compared(rows, keys, values, distances, unlike, calibrations, lead, plan, cut)


def _ordered(generation: Generation, asked: SearchRequest, compared: _Compared, wanted: int) -> Rows:
    """Places of up to `wanted` rows among those compared, best first."""
    looked_at = wanted
    while True:
        order = smallest(looked_at, *compared.keys)
        if asked.distinct is None:
            return order
        content = generation.columns("content_hash")["content_hash"].take(compared.rows[order]).to_numpy()
        first = order[np.sort(np.unique(content, return_index=True)[1])]
        if len(first) >= wanted or len(order) == len(compared.rows):
            return first[:wanted]
        looked_at *= 8  # copies of one another took the places


def _values(compared: _Compared, order: Rows) -> Numbers:
    """What the rows in an order are worth."""
    if compared.scores is None:
        return compared.calibrations[compared.only].score(compared.distances[compared.only][order])
    return compared.scores[order]


def _taken(compared: _Compared, order: Rows, more: bool) -> RankedRows:
    """The rows in an order, with all that a hit says of them."""
    distances = [d[order] for d in compared.distances]
    return RankedRows(
        compared.rows[order],
        np.clip(_values(compared, order), 0, 1),
        np.stack(distances),
        np.stack([of.score(d) for of, d in zip(compared.calibrations, distances, strict=True)]),
        np.stack([u[order] for u in compared.unlike]),
        np.stack([_places(*of_part) for of_part in zip(compared.distances, distances, strict=True)]),
        compared.plan,
        compared.cut,
        more,
    )


def _places(every: Distances, some: Distances) -> Rows:
    """The place of each of `some` among `every` distance, from 1; equal ones share theirs."""
    nearer = every[every <= some.max(initial=0)]  # those beyond need not be sorted
    return np.asarray(np.searchsorted(np.sort(nearer), some) + 1)


def _unlike(
    generation: Generation, asked: SearchRequest, chosen: FeatureMetric, calibration: Calibration, rows: Rows
) -> Numbers:
    """What the unlikes take from the score: that of the nearest of them, times its weight."""
    taken = np.zeros(len(rows))
    for query in asked.unlikes:
        score = calibration.score(query_distances(generation, chosen, [query], asked.pool, rows))
        taken = np.maximum(taken, query.weight * score)
    return taken


# -- candidates ---------------------------------------------------------------------------------------------


# -- diversity ----------------------------------------------------------------------------------------------


def _diverse(generation: Generation, asked: SearchRequest, compared: _Compared, order: Rows) -> Rows:
    """The k of a larger number that are good and not much like one another by the first feature."""
    first, calibration = asked.chosen[0], compared.calibrations[0]
    block: NDArray[Any] = generation.matrix(first.feature.name)[compared.rows[order]]

    def similarity(i: int) -> Numbers:
        return calibration.score(first.metric(first.feature.as_query(block[i], first.metric), block))

    return order[maximal_marginal_relevance(_values(compared, order), similarity, asked.k, asked.diversity)]
