"""Rankers to evaluate, features in a metric and mixes of them, and their exact distances between images of a lake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.index import exact_search
from imrec_core.index.calibration import Calibration
from imrec_core.index.generation import Generation
from imrec_core.runtime.cpu import cpu_count
from imrec_core.search.fusion import FUSIONS, check_weights

Rows = NDArray[np.int64]
Matrix = NDArray[Any]

MIX = "mix"

_SEED = 20_26
_DISTANCES = 16_000_000  # in memory at a time: 64 MB


@dataclass(frozen=True)
class RankerSet:
    """Rankers to evaluate, with the features that they need.

    Attributes:
        names: Names of the rankers, features first.
        features: Feature and metric by name, of rankers and of parts of mixes.
        mixes: Weights above 0 by name, which sum to 1.
        fusions: Fusion of the mixes that do not fuse scores: a name in `fusion.FUSIONS`.
    """

    names: tuple[str, ...]
    features: Mapping[str, FeatureMetric]
    mixes: Mapping[str, Mapping[str, float]]
    fusions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        generation: Generation,
        by: Sequence[str] = (),
        mixes: Mapping[str, Mapping[str, float]] | None = None,
        fusions: Mapping[str, str] | None = None,
    ) -> RankerSet:
        """Resolve features and mixes as `evaluate_retrieval` takes them.

        Raises:
            UnknownName: There is no such feature or metric.
            BadWeights: The weights of a mix are invalid.
        """
        if mixes is None:
            equal = default_mix(resolve_rankers(generation, by))
            mixes = {MIX: equal} if len(equal) > 1 else {}
        mixes = {
            name: dict(zip(weights, check_weights(list(weights.values())), strict=True))
            for name, weights in mixes.items()
        }
        single = list(dict.fromkeys(by or generation.features))
        shares = {
            name: {part: weight / sum(weights.values()) for part, weight in weights.items() if weight}
            for name, weights in mixes.items()
        }
        needed = dict.fromkeys([*single, *(part for weights in shares.values() for part in weights)])
        return cls((*single, *mixes), resolve_rankers(generation, list(needed)), shares, fusions or {})

    def weighted_features(self, weights: Mapping[str, float]) -> list[WeightedFeature]:
        """Return the features of a mix with their weights, as a search takes them."""
        return [self.features[name].weighted(name, weight) for name, weight in weights.items()]

    def query_vectors(self, generation: Generation, rows: Rows) -> dict[str, list[Matrix]]:
        """Return the vectors of rows by feature, as the metrics take queries."""
        return {name: query_vectors(generation, pair, rows) for name, pair in self.features.items()}

    def query_blocks(self, queries: Rows, num_rows: int) -> Iterator[Rows]:
        """Split queries into blocks whose distances to `num_rows` rows fit into memory."""
        return query_blocks(queries, num_rows * max(1, len(self.mixes)))

    def distances(
        self, generation: Generation, queries: Mapping[str, Sequence[Matrix]], rows: Rows, own: Rows | None = None
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """Compute distances by each ranker; for a mix, the ranks of the rows in a search.

        Args:
            queries: Query vectors by feature, as the metric takes them.
            rows: Rows to compare with, ascending.
            own: Row of each query if it is one of `rows`. A mix is fused without it, as in a search, and its entry in
                the result is undefined.

        Yields:
            The name of a ranker and its distances `(queries, rows)`.
        """
        by_heaviest: dict[str, NDArray[Any]] = {}
        heaviest = {mix: max(sorted(weights), key=weights.__getitem__) for mix, weights in self.mixes.items()}
        for name, distances in self.all_distances(generation, queries, rows, own):
            if name in self.mixes:
                with ThreadPoolExecutor(cpu_count()) as pool:
                    yield name, np.array(list(pool.map(_ranks, distances, by_heaviest[heaviest[name]])))
                continue
            if name in heaviest.values():
                by_heaviest[name] = distances
            if name in self.names:
                yield name, distances

    def all_distances(
        self, generation: Generation, queries: Mapping[str, Sequence[Matrix]], rows: Rows, own: Rows | None = None
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """Compute distances `(queries, rows)` by all features, then by the mixes: 1 minus the fused score.

        Arguments are those of `distances`. Every fusion is a weighted mean of values by single features, so features
        are added one after another. `rrf` and `dbsf` depend on all given rows.
        """
        count = len(next(iter(queries.values())))
        fused = {mix: np.zeros((count, len(rows))) for mix in self.mixes}
        others = [slice(None)] * count if own is None else [rows != row for row in own]
        for name, pair in sorted(self.features.items()):  # the order in which a search adds them
            distances = exact_search.distances(pair, queries[name], generation.matrix(pair.feature.name), rows)
            calibration = generation.calibration(pair.feature.name, pair.metric.name)
            distances[np.isinf(distances)] = calibration.farthest  # nothing to compare
            add = partial(self._add_closeness, fused, name, calibration)
            with ThreadPoolExecutor(cpu_count()) as pool:
                list(pool.map(add, range(count), distances, others))
            yield name, distances
        for mix, sums in fused.items():
            yield mix, np.subtract(1, sums, out=sums)

    def _add_closeness(
        self,
        fused: Mapping[str, NDArray[Any]],
        name: str,
        calibration: Calibration,
        query: int,
        distances: NDArray[Any],
        others: slice | NDArray[np.bool_],
    ) -> None:
        """Add the closeness by a feature of the `others` of all rows to the sums of a query, in each mix with it."""
        away = distances[others].astype(np.float64)
        for mix, weights in self.mixes.items():
            if name in weights:
                fusion = self.fusions.get(mix, "score")
                closeness = calibration.score(away) if fusion == "score" else -away
                fused[mix][query, others] += weights[name] * FUSIONS[fusion]([closeness], [1.0])


def _ranks(distances: NDArray[Any], ties: NDArray[Any]) -> NDArray[np.int32]:
    """Compute the rank of each row `(n,)` by the distances of a mix; `ties`, those of its heaviest feature, break ties.

    A search ranks in the same way, since scores of distant rows are flat. Rows that are equal in both have the same
    rank.
    """
    order = np.lexsort((ties, distances))
    rises = (np.diff(distances[order]) > 0) | (np.diff(ties[order]) > 0)
    ranks = np.zeros(len(order), np.int32)
    ranks[order[1:]] = np.cumsum(rises)
    return ranks


def default_mix(features: Mapping[str, FeatureMetric]) -> dict[str, float]:
    """Return equal weights, without features that are computed from others of them and would count them twice."""
    names = {pair.feature.name for pair in features.values()}
    return {name: 1.0 for name, pair in features.items() if not names & {base.name for base in pair.feature.bases}}


def resolve_rankers(generation: Generation, by: Sequence[str]) -> dict[str, FeatureMetric]:
    """Resolve `feature` or `feature:metric`; without names, every feature in its default metric.

    Raises:
        UnknownName: There is no such feature or metric.
    """
    return {name: FeatureMetric.parse(name, generation.feature) for name in by or generation.features}


def sample(rows: Rows, count: int) -> Rows:
    """Select up to `count` random rows, ascending; the same for the same rows."""
    return np.sort(np.random.default_rng(_SEED).permutation(rows)[:count])


def query_vectors(generation: Generation, pair: FeatureMetric, rows: Rows) -> list[Matrix]:
    """Return the vectors of rows, as the metric takes queries."""
    vectors = np.asarray(generation.matrix(pair.feature.name)[rows])
    return [pair.feature.as_query(vector, pair.metric) for vector in vectors]


def query_blocks(queries: Rows, num_rows: int) -> Iterator[Rows]:
    """Split queries into blocks whose distances to `num_rows` rows fit into memory."""
    step = max(1, _DISTANCES // max(num_rows, 1))
    yield from (queries[first : first + step] for first in range(0, len(queries), step))
