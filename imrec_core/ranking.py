"""Described queries → rows in order of their score: candidates, exact distances, fusion, cut, diversity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.calibration import Calibration
from imrec_core.cutoff import within
from imrec_core.errors import QueryError, UnknownName
from imrec_core.fusion import FUSIONS, Numbers, diversified, fuse
from imrec_core.generation import Generation, Rows
from imrec_core.metrics import METRICS
from imrec_core.pooling import POOLS, Distances, distances_to, has_mean, mean_vector
from imrec_core.queries import Chosen, Described

_SCAN_AT_MOST = 20_000  # rows left by `where` that are scanned rather than looked for in a graph
_WITH_UNLIKES = 4  # times as many candidates, as unlikes push the nearest of them down
_MOST_DIVERSE = 1000  # hits that are chosen one by one, each compared with all others in the pool
_POOL = 5  # times as many hits to choose diverse ones from


@dataclass(frozen=True)
class Asked:
    """A search as it is carried out.

    Attributes:
        own: Rows that are part of the query, and so no hits.
        rate: `max_false_match_rate`; None for no cut.
        diversity: `diversify`; 0 for none.
    """

    chosen: Sequence[Chosen]
    likes: Sequence[Described]
    unlikes: Sequence[Described] = ()
    own: tuple[int, ...] = ()
    k: int = 5
    pool: str = "mean"
    fusion: str = "score"
    rate: float | None = None
    distinct: str | None = None
    diversity: float = 0.0
    where: str | None = None
    exact: bool = False

    @property
    def counted(self) -> list[int]:
        """Positions of the features that count, in an order that does not depend on how they were given."""
        weighing = [i for i, c in enumerate(self.chosen) if c.weight > 0]
        return sorted(weighing, key=lambda i: self.chosen[i].name) if len(weighing) > 1 else weighing


def check(
    *,
    k: object,
    pool: object,
    fusion: object,
    rate: object,
    distinct: object,
    diversity: object,
) -> None:
    """Refuse what cannot be asked.

    Raises:
        QueryError: A number is out of its range.
        UnknownName: No such pool, fusion or kind of copies; says the nearest.
    """
    if not isinstance(k, int) or k < 1:
        raise QueryError(f"k is {k!r}; it must be a whole number of 1 or more")
    for kind, name, known in (("pool", pool, POOLS), ("fusion", fusion, FUSIONS), ("distinct", distinct, ("content",))):
        if str(name) not in known and not (kind == "distinct" and name is None):
            raise UnknownName(kind, str(name), known)
    if rate is not None and (not _is_number(rate) or not 0 < rate <= 1):  # type: ignore[operator]
        raise QueryError(f"max_false_match_rate is {rate!r}; it must be a number above 0, at most 1")
    if not _is_number(diversity) or not 0 <= diversity <= 1:  # type: ignore[operator]
        raise QueryError(f"diversify is {diversity!r}; it must be a number from 0 (off) to 1")
    if diversity and k > _MOST_DIVERSE:
        raise QueryError(f"k is {k}; with diversify it must be at most {_MOST_DIVERSE}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


@dataclass(frozen=True)
class Ranked:
    """The rows of the hits, best first, and what led to them.

    Attributes:
        rows, scores: `(n,)`.
        distances, parts, unlike, places: `(features, n)`: pooled distance of the likes, its score, what the unlikes
            take from it, and the place by that distance among the rows that were ranked.
        plan: How they were found.
        cut: Rows that were farther than the false match rate allows.
    """

    rows: Rows
    scores: Numbers
    distances: Distances
    parts: Numbers
    unlike: Numbers
    places: NDArray[np.int64]
    plan: str
    cut: int


def rank(generation: Generation, asked: Asked) -> Ranked:
    """The best rows."""
    kept = generation.filter.rows(asked.where) if asked.where else None
    wanted = asked.k * (_POOL if asked.diversity else 1) + len(asked.own)
    while True:
        rows, plan = _candidates(generation, asked, wanted, kept)
        if asked.own:  # the usual one is left out ten times faster
            rows = rows[rows != asked.own[0]] if len(asked.own) == 1 else np.setdiff1d(rows, asked.own)
        ranked, scores = _ranked(generation, asked, rows, plan)
        collapsed = asked.distinct is not None and len(ranked.rows) < min(asked.k, len(rows)) and not ranked.cut
        if not collapsed or len(rows) + len(asked.own) >= (len(generation) if kept is None else len(kept)):
            break
        wanted *= 8  # copies of one another took the places
    return _diverse(generation, asked, ranked, scores) if asked.diversity else ranked


def _ranked(generation: Generation, asked: Asked, rows: Rows, plan: str) -> tuple[Ranked, Numbers]:
    """Rows in order, with as many as are looked at further, and the values that they were put in order by."""
    chosen, counted = asked.chosen, asked.counted
    calibrations = [generation.calibration(c.feature.name, c.metric.name) for c in chosen]
    distances = [distances_to(generation, c, asked.likes, asked.pool, rows) for c in chosen]
    scores = [calibration.score(d) for calibration, d in zip(calibrations, distances, strict=True)]
    unlike = [_unlike(generation, asked, c, calibration, rows) for c, calibration in zip(chosen, calibrations)]
    lead = max(counted, key=lambda i: chosen[i].weight)
    if len(counted) == 1 and not asked.unlikes:
        values, order = scores[lead], np.lexsort((rows, distances[lead]))
    else:
        by_score = asked.fusion == "score" or len(counted) == 1  # one feature has nothing to be fused with
        if by_score or asked.unlikes:
            closeness = [scores[i] - unlike[i] for i in counted]
        else:
            closeness = [-distances[i].astype(np.float64) for i in counted]
        values = (fuse if by_score else FUSIONS[asked.fusion])(closeness, [chosen[i].weight for i in counted])
        # Far away scores are flat: there the distance by the heaviest feature decides.
        order = np.lexsort((rows, distances[lead], -values))
    cut = 0
    if asked.rate is not None:
        matches = within(generation, [chosen[i] for i in counted], asked.likes, asked.pool, asked.rate, rows)
        allowed = matches[order]
        order, cut = order[allowed], int(len(rows) - allowed.sum())
        plan += f"; {len(order)} of them within a false match rate of {asked.rate:g}"
    if asked.distinct is not None:
        content = generation.rows["content_hash"].take(rows[order]).to_numpy()
        order = order[np.sort(np.unique(content, return_index=True)[1])]
    order = order[: asked.k * (_POOL if asked.diversity else 1)]
    ranked = Ranked(
        rows[order],
        np.clip(values[order], 0, 1),
        np.stack([d[order] for d in distances]),
        np.stack([s[order] for s in scores]),
        np.stack([u[order] for u in unlike]),
        np.stack([np.searchsorted(np.sort(d), d[order]) + 1 for d in distances]),
        plan,
        cut,
    )
    return ranked, values[order]


def _unlike(generation: Generation, asked: Asked, chosen: Chosen, calibration: Calibration, rows: Rows) -> Numbers:
    """What the unlikes take from the score: that of the nearest of them, times its weight."""
    taken = np.zeros(len(rows))
    for query in asked.unlikes:
        score = calibration.score(distances_to(generation, chosen, [query], asked.pool, rows))
        taken = np.maximum(taken, query.weight * score)
    return taken


# -- candidates ---------------------------------------------------------------------------------------------


def _candidates(generation: Generation, asked: Asked, wanted: int, kept: Rows | None) -> tuple[Rows, str]:
    """Rows to rank exactly, ascending, and how they were found."""
    total = len(generation)
    left = total if kept is None else len(kept)
    every = (np.arange(total) if kept is None else kept, f"exact scan of {left} rows")
    if asked.exact or (kept is not None and left <= _SCAN_AT_MOST):
        return every
    fetched = max(wanted, *(_at_least(generation, c) for c in asked.chosen))
    if asked.unlikes:
        fetched *= _WITH_UNLIKES
    if kept is not None:
        fetched = int(1.5 * fetched * total / left)  # so that enough are left after the filter
    if 2 * fetched >= total:
        return every
    found = [nearest for c in asked.chosen for nearest in _nearest(generation, c, asked, fetched)]
    rows = np.unique(np.concatenate(found))
    if kept is not None:
        rows = np.intersect1d(rows, kept, assume_unique=True)
        if len(rows) < wanted:
            return every
    finders = ", ".join(_finder(generation, c) for c in asked.chosen)
    return rows, f"{len(rows)} candidates from {finders}, ranked exactly"


def _at_least(generation: Generation, chosen: Chosen) -> int:
    graph = generation.graph_of(chosen.feature, chosen.metric)
    return generation.graphs[graph].candidates if graph else 100


def _nearest(generation: Generation, chosen: Chosen, asked: Asked, count: int) -> list[Rows]:
    """Rows near to any like, and where there is one to their mean, which may be far from each of them."""
    graph = generation.graph_of(chosen.feature, chosen.metric)
    if graph is not None:
        facts = generation.graphs[graph]
        feature = generation.feature(facts.feature)
        vectors = [like.vectors[facts.feature] for like in asked.likes]
        if len(vectors) > 1 and asked.pool != "best" and has_mean(feature):
            vectors.append(mean_vector(feature, METRICS[facts.metric], asked.likes))
        return [generation.from_graph(graph, vector, count) for vector in vectors]
    if len(asked.likes) == 1:
        query = asked.likes[0].for_metric(chosen)
        return [np.asarray(generation.scan(chosen.feature.name, chosen.metric, query[None], count)[0])]
    distances = distances_to(generation, chosen, asked.likes, asked.pool, np.arange(len(generation)))
    return [np.argsort(distances, kind="stable")[:count]]


def _finder(generation: Generation, chosen: Chosen) -> str:
    graph = generation.graph_of(chosen.feature, chosen.metric)
    return f"a scan of {chosen.feature.name}" if graph is None else f"the graph of {graph}"


# -- diversity ----------------------------------------------------------------------------------------------


def _diverse(generation: Generation, asked: Asked, ranked: Ranked, values: Numbers) -> Ranked:
    """The k of a larger number that are good and not much like one another by the first feature."""
    first = asked.chosen[0]
    calibration = generation.calibration(first.feature.name, first.metric.name)
    matrix: NDArray[Any] = generation.matrix(first.feature.name)
    block = matrix[ranked.rows] if matrix.dtype == np.uint64 else np.asarray(matrix[ranked.rows], np.float32)

    def similarity(i: int) -> Numbers:
        return calibration.score(first.metric(first.feature.as_query(block[i], first.metric), block))

    taken = diversified(values, similarity, asked.k, asked.diversity)
    return replace(
        ranked,
        rows=ranked.rows[taken],
        scores=ranked.scores[taken],
        distances=ranked.distances[:, taken],
        parts=ranked.parts[:, taken],
        unlike=ranked.unlike[:, taken],
        places=ranked.places[:, taken],
    )
