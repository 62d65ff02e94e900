"""SearchRequest: a validated search of one generation, built from options and encoded queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError, UnknownName
from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.index.exact_search import Distances
from imrec_core.index.generation import Generation, Rows
from imrec_core.runtime.numbers import finite_number, shorten
from imrec_core.search.context import SearchContext
from imrec_core.search.expansion import expand
from imrec_core.search.feature_weights import resolve_features
from imrec_core.search.fusion import FUSIONS
from imrec_core.search.pooling import POOLS, comparable_queries, query_distances
from imrec_core.search.query import By, Query, Text
from imrec_core.search.query_encoder import heavy_enough
from imrec_core.sql.policy import SqlPolicy

MOST_DIVERSE = 1000
"""Maximum number of diversified hits: each is compared with all others in the pool."""

MOST_WITHIN = 10_000
"""Hits of a search with `max_distance` that gives no k."""

_K = 5  # hits of other searches that give no k
MOST_EXPANDED = 100
"""Maximum number of nearest images that a query is expanded with."""


@dataclass(frozen=True)
class SearchOptions:
    """The options of `Recommender.search` that depend neither on the queries nor on the generation."""

    k: Any = None  # an int; None is replaced by the default
    by: By | None = None
    pool: str = "mean"
    fuse: str = "score"
    max_false_match_rate: float | None = None
    distinct: str | None = None
    diversify: float = 0.0
    exact: bool = False
    expand: int = 0
    with_self: bool = False
    max_distance: float | None = None

    def __post_init__(self) -> None:
        k: Any = self.k
        if k is None:
            k = _K if self.max_distance is None else MOST_WITHIN
        object.__setattr__(self, "k", int(k) if isinstance(k, np.integer) else k)
        if self.max_distance is not None:  # a graph could miss a row within the distance
            object.__setattr__(self, "exact", True)

    def check(self) -> None:
        """Check the values.

        Raises:
            QueryError: A number is out of its range.
            UnknownName: There is no such pool, fusion or kind of distinct hits.
        """
        if not isinstance(self.k, int) or self.k < 1:
            raise QueryError(f"k is {shorten(self.k)}; it must be a whole number of 1 or more")
        names = [("pool", self.pool, POOLS), ("fusion", self.fuse, FUSIONS)]
        if self.distinct is not None:
            names.append(("distinct", self.distinct, ("content",)))
        for kind, name, known in names:
            if str(name) not in known:
                raise UnknownName(kind, str(name), known)
        rate = self.max_false_match_rate
        if rate is not None and (not _is_number(rate) or not 0 < rate <= 1):
            raise QueryError(f"max_false_match_rate is {shorten(rate)}; it must be a number above 0, at most 1")
        distance = self.max_distance
        if distance is not None and (not _is_number(distance) or distance < 0):
            raise QueryError(f"max_distance is {shorten(distance)}; it must be a finite number of 0 or more")
        if not _is_number(self.diversify) or not 0 <= self.diversify <= 1:
            raise QueryError(f"diversify is {shorten(self.diversify)}; it must be a number from 0 (off) to 1")
        if type(self.expand) is not int or not 0 <= self.expand <= MOST_EXPANDED:
            raise QueryError(f"expand is {shorten(self.expand)}; it must be a whole number from 0 to {MOST_EXPANDED}")
        if self.diversify and self.k > MOST_DIVERSE:
            raise QueryError(f"k is {self.k}; with diversify it must be at most {MOST_DIVERSE}")

    def check_queries(self, queries: Iterable[Query]) -> None:
        """Check that the match threshold, if there is one, applies to the queries.

        Raises:
            QueryError: A query is text, for which false match rates are not calibrated.
        """
        if self.max_false_match_rate is not None and any(isinstance(query, Text) for query in queries):
            raise QueryError(
                "max_false_match_rate is for image queries; text queries have no calibrated false match rate"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and finite_number(value) is not None


@dataclass(frozen=True)
class SearchRequest:
    """A search of one generation, with encoded queries.

    Attributes:
        features: Features with metrics and weights.
        own_rows: Rows that are queries, and so not hits.
        allowed_rows: Rows that can be hits, ascending; None for all.
        distances: Distances of `allowed_rows` to the like by each feature, if computed for several searches at once.
        has_text: Whether a query is text.
    """

    options: SearchOptions
    features: Sequence[WeightedFeature]
    likes: Sequence[EncodedQuery]
    unlikes: Sequence[EncodedQuery] = ()
    own_rows: tuple[int, ...] = ()
    allowed_rows: Rows | None = None
    distances: Sequence[Distances] | None = None
    has_text: bool = False

    @property
    def weighted_positions(self) -> list[int]:
        """Positions of the features that rank the rows, in an order independent of that of `features`.

        They have a weight above 0. Features by which no like has anything to compare leave the ranking to the others.
        """
        weighted = [i for i, feature in enumerate(self.features) if feature.weight > 0]
        positions = [i for i in weighted if self.can_compare(self.features[i])] or weighted
        return sorted(positions, key=lambda i: self.features[i].name) if len(positions) > 1 else positions

    def can_compare(self, feature: FeatureMetric) -> bool:
        """Return whether any like has something to compare by a feature."""
        return bool(comparable_queries(feature, self.likes))


def build_request(
    context: SearchContext,
    options: SearchOptions,
    likes: Sequence[tuple[Query, float]],
    unlikes: Sequence[tuple[Query, float]],
    *,
    where: str | None,
    among: Sequence[str] | NDArray[np.uint64] | None,
    policy: SqlPolicy,
) -> SearchRequest:
    """Encode queries and resolve features and rows in the generation.

    Args:
        likes, unlikes: Queries with their weights.
        where, among: As for `Recommender.search`.
        policy: Limits on `where`.

    Raises:
        QueryError, ImageError, UnknownName: As `Recommender.search`.
    """
    generation, encoder = context.generation, context.encoder
    queries = [query for query, _ in (*likes, *unlikes)]
    features = resolve_features(generation, encoder.settings, options.by, queries)
    encoded_likes, encoded_unlikes = encoder.encode_all(generation, likes, unlikes, features)
    own_rows = excluded_rows(options, [*encoded_likes, *encoded_unlikes])
    likes_kept = [expand(generation, features, like, options.expand) for like in heavy_enough(encoded_likes)]
    allowed_rows = filter_rows(generation, where, among, policy)
    has_text = any(isinstance(query, Text) for query in queries)
    request = SearchRequest(
        options, features, likes_kept, heavy_enough(encoded_unlikes), own_rows, allowed_rows, has_text=has_text
    )
    return within_distance(generation, request)


def excluded_rows(options: SearchOptions, queries: Sequence[EncodedQuery]) -> tuple[int, ...]:
    """Return the rows that are queries themselves, ascending; none `with_self`."""
    return () if options.with_self else tuple(sorted({row for query in queries for row in query.own_rows}))


def within_distance(generation: Generation, request: SearchRequest) -> SearchRequest:
    """Restrict the allowed rows to those within `max_distance` of the likes, by their exact distances.

    Raises:
        QueryError: There is a `max_distance` and more than one feature.
    """
    limit, features = request.options.max_distance, request.features
    if limit is None:
        return request
    if len(features) > 1:
        names = ", ".join(feature.name for feature in features)
        raise QueryError(f"max_distance is a distance by one feature, but the search is by {names}; name one of them")
    rows = generation.live if request.allowed_rows is None else request.allowed_rows
    distances = query_distances(generation, features[0], request.likes, request.options.pool, rows)
    return replace(request, allowed_rows=rows[distances <= np.float32(limit)])


def filter_rows(
    generation: Generation, where: str | None, among: Sequence[str] | NDArray[np.uint64] | None, policy: SqlPolicy
) -> Rows | None:
    """Return the rows for which a condition holds, ascending; None for all rows.

    Args:
        where: SQL condition over the rows; None for none.
        among: Image ids, or the integers that they spell in hexadecimal; None for all images.
        policy: Limits on `where`.

    Raises:
        BadFilter: `where` is not a valid condition over the rows.
    """
    matching = generation.filter.rows(where, policy) if where else None
    if among is None:
        return matching
    rows = np.unique(generation.rows_of(among))
    rows = rows[rows >= 0]
    return rows if matching is None else np.intersect1d(matching, rows, assume_unique=True)
