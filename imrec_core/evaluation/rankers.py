"""What is judged, features in a metric and mixes of them, and its exact distances between a lake's own images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.index import exact_search
from imrec_core.index.generation import Generation
from imrec_core.search.fusion import FUSIONS, check_weights

Rows = NDArray[np.int64]
Matrix = NDArray[Any]

MIX = "mix"

_SEED = 20_26
_DISTANCES = 16_000_000  # held at a time: 64 MB


@dataclass(frozen=True)
class RankerSet:
    """What is judged, and what must be computed for it.

    Attributes:
        judged: Names, features first.
        ways: By name, those that are judged themselves and those that are only part of a mix.
        mixes: Weights above 0 by name, which sum to 1.
        fusions: Of the mixes that are not fused by their scores: a name in `fusion.FUSIONS`.
    """

    judged: tuple[str, ...]
    ways: Mapping[str, FeatureMetric]
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
        """Of features and mixes as `judging.judge` takes them.

        Raises:
            UnknownName: No such feature or metric.
            BadWeights: Those of a mix will not do.
        """
        if mixes is None:
            alike = default_mix(resolve_rankers(generation, by))
            mixes = {MIX: alike} if len(alike) > 1 else {}
        for weights in mixes.values():
            check_weights(list(weights.values()))
        alone = list(dict.fromkeys(by or generation.features))
        shares = {
            name: {part: weight / sum(weights.values()) for part, weight in weights.items() if weight}
            for name, weights in mixes.items()
        }
        needed = dict.fromkeys([*alone, *(part for weights in shares.values() for part in weights)])
        return cls((*alone, *mixes), resolve_rankers(generation, list(needed)), shares, fusions or {})

    @property
    def held(self) -> int:
        """How many times the distances of one feature are held at once."""
        return max(1, len(self.mixes))

    def weighted(self, weights: Mapping[str, float]) -> list[WeightedFeature]:
        """Return the parts of a mix, by the names of `ways`, as a search takes them."""
        return [self.ways[name].weighted(name, weight) for name, weight in weights.items()]

    def distances(
        self, generation: Generation, queries: Mapping[str, Sequence[Matrix]], rows: Rows, own: Rows | None = None
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """What is judged and its distances `(queries, rows)`; of a mix the places of the rows in a search's order.

        Args:
            queries: By the names of `ways`, as the metric takes them.
            rows: Of the matrices, ascending.
            own: The row of each query, where it is one of the rows: a mix is fused without it, as in a search, and what
                stands in its place means nothing.
        """
        leads: dict[str, NDArray[Any]] = {}
        heaviest = {mix: max(sorted(weights), key=weights.__getitem__) for mix, weights in self.mixes.items()}
        for name, distances in self.values(generation, queries, rows, own):
            if name in self.mixes:
                lead = leads[heaviest[name]]
                yield name, np.array([_ranks(*of_query) for of_query in zip(distances, lead, strict=True)])
                continue
            if name in heaviest.values():
                leads[name] = distances
            if name in self.judged:
                yield name, distances

    def values(
        self, generation: Generation, queries: Mapping[str, Sequence[Matrix]], rows: Rows, own: Rows | None = None
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """Distances `(queries, rows)` of all ways, then of the mixes: 1 minus what their fusion gives.

        Arguments are those of `distances`. Every fusion is a weighted mean of what it makes of one feature, so one
        feature is added after another; `rrf` and `dbsf` look at all the rows given.
        """
        count = len(next(iter(queries.values())))
        fused = {mix: np.zeros((count, len(rows))) for mix in self.mixes}
        for name, way in sorted(self.ways.items()):  # the order in which a search adds them
            distances = exact_search.distances(way.metric, queries[name], generation.matrix(way.feature.name), rows)
            calibration = generation.calibration(way.feature.name, way.metric.name)
            for mix, weights in self.mixes.items():
                if name not in weights:
                    continue
                fusion = self.fusions.get(mix, "score")
                for i, of_query in enumerate(distances):
                    others = slice(None) if own is None else rows != own[i]
                    away = of_query[others].astype(np.float64)
                    closeness = calibration.score(away) if fusion == "score" else -away
                    fused[mix][i, others] += weights[name] * FUSIONS[fusion]([closeness], [1.0])
            yield name, distances
        for mix, sums in fused.items():
            yield mix, np.subtract(1, sums, out=sums)


def _ranks(distances: NDArray[Any], lead: NDArray[Any]) -> NDArray[np.int32]:
    """The place of each row `(n,)` by a mix's distance; between equals that by its heaviest feature decides.

    As a search has it: far away scores are flat. Those that are equal in both share a place.
    """
    order = np.lexsort((lead, distances))
    rises = (np.diff(distances[order]) > 0) | (np.diff(lead[order]) > 0)
    ranks = np.zeros(len(order), np.int32)
    ranks[order[1:]] = np.cumsum(rises)
    return ranks


def default_mix(ways: Mapping[str, FeatureMetric]) -> dict[str, float]:
    """All alike, but those that are computed from another one among them: they would count it twice."""
    among = {way.feature.name for way in ways.values()}
    return {name: 1.0 for name, way in ways.items() if not among & {base.name for base in way.feature.bases}}


def resolve_rankers(generation: Generation, by: Sequence[str]) -> dict[str, FeatureMetric]:
    """Features and metrics by the names that were given for them; every feature in its default where none was.

    Raises:
        UnknownName: No such feature or metric.
    """
    return {name: FeatureMetric.parse(name, generation.feature) for name in by or generation.features}


def sample(rows: Rows, count: int) -> Rows:
    """Up to `count` of the rows, ascending; the same for the same rows."""
    return np.sort(np.random.default_rng(_SEED).permutation(rows)[:count])


def as_queries(generation: Generation, way: FeatureMetric, rows: Rows) -> list[Matrix]:
    """The vectors of rows as a metric takes queries."""
    vectors = np.asarray(generation.matrix(way.feature.name)[rows])
    return [way.feature.as_query(vector, way.metric) for vector in vectors]


def query_blocks(queries: Rows, rows: int) -> Iterator[Rows]:
    """Queries in parts whose distances to so many rows fit into memory together."""
    step = max(1, _DISTANCES // max(rows, 1))
    yield from (queries[first : first + step] for first in range(0, len(queries), step))
