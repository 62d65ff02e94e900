"""Sample pairs of images for calibration: random pairs of a generation, and edited copies with their originals."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.features import Feature
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index.calibration import Calibration, PositivePairs
from imrec_core.index.edited_copies import distances_to_original, make_copies
from imrec_core.index.generation import Generation, Rows
from imrec_core.index.scenes import Scenes
from imrec_core.lake.lake import Lake

log = logging.getLogger(__name__)

_ALL_PAIRS = 450  # images up to which all pairs count, about 100,000
_PAIRS = (200, 512)  # queries × others of larger generations: as many pairs, of more images
_LEAST_PAIRS = 3  # from which a rate is measured
_REPETITIVE, _REPETITIVE_RATE = 0.5, 0.1  # share of repeated images, from which rates are measured from 10 % on
_ENOUGH = 20_000  # pairs for a metric that is not the default of its feature
_SEED = 20_26


@dataclass(frozen=True)
class RandomPairs:
    """The pairs of images that calibrate a generation: each query with each other image, as far as they count.

    Attributes:
        queries, others: Rows of the images.
        counts: Which pairs count as random `(queries, others)`: not those of one scene.
        least_rate: Smallest false match rate that their distances tell; see `Calibration.of`.
    """

    queries: Rows
    others: Rows
    counts: NDArray[np.bool_]
    least_rate: float

    @classmethod
    def of(cls, generation: Generation) -> RandomPairs:
        """Draw pairs of live rows; the draw is seeded.

        Pairs of one scene do not count: they would make a distance common that is rare between different images. If
        there are no others, all count. Where most images are repeated, as edited copies, not all of their pairs are
        recognised, and the smaller rates are those of `Calibration.of`.
        """
        return cls.of_rows(generation, _sample(generation.live, sum(_PAIRS)))

    @classmethod
    def of_rows(cls, generation: Generation, rows: Rows) -> RandomPairs:
        """Pair rows `(n,)` that were drawn at random, as `of` does."""
        if len(rows) <= _ALL_PAIRS:
            queries = others = rows
            is_pair = np.triu(np.ones((len(rows), len(rows)), np.bool_), 1)
        else:
            queries, others = np.split(rows, [len(rows) * _PAIRS[0] // sum(_PAIRS)])
            is_pair = np.ones((len(queries), len(others)), np.bool_)
        scenes = Scenes.of(generation, rows)
        counts = is_pair & ~scenes.are_shared(queries, others)
        least_rate = _REPETITIVE_RATE if scenes.share_repeated > _REPETITIVE else 0.0
        return cls(queries, others, counts if counts.any() else is_pair, least_rate)

    def calibration(self, distances: NDArray[np.float32]) -> Calibration:
        """Calibrate distances of the pairs that count, or of some of them `(n,)`."""
        return Calibration.of(distances, least_rate=max(self.least_rate, _LEAST_PAIRS / len(distances)))

    def enough_for(self, pair: FeatureMetric) -> RandomPairs:
        """Return all pairs for the default metric of a feature, and fewer for others, of which some are slow."""
        quarter = len(self.queries) // 4
        if pair.metric == pair.feature.metric or self.counts[:quarter].sum() < _ENOUGH:
            return self
        return replace(self, queries=self.queries[:quarter], counts=self.counts[:quarter])

    def distances(self, generation: Generation, pair: FeatureMetric) -> NDArray[np.float32]:
        """Compute the distances of the pairs that count `(pairs,)`; a generation of one image gives a distance of 1."""
        if not self.counts.any():
            return np.ones(1, np.float32)
        feature = pair.feature
        matrix = generation.matrix(feature.name)
        others = matrix[self.others]
        gallery = others if others.dtype == np.uint64 else others.astype(np.float32)
        each = zip(matrix[self.queries], self.counts, strict=True)
        queries = ((feature.as_query(query, pair.metric), of) for query, of in each if of.any())
        return np.concatenate([pair(query, gallery[of]) for query, of in queries])


def calibrate(generation: Generation, pairs: RandomPairs, feature: Feature) -> dict[str, Any]:
    """Calibrate every metric of a feature on random pairs.

    Returns:
        Distances and false match rates by metric, as `generation.json` holds them.
    """
    calibrated = {}
    for metric in feature.metrics:
        pair = FeatureMetric(feature, metric)
        calibration = pairs.calibration(pairs.enough_for(pair).distances(generation, pair))
        calibrated[metric.name] = {"distances": calibration.distances, "rates": calibration.rates}
    return calibrated


class PairCalibrator:
    """Calibrates single metrics of the features of one generation on random pairs, once each."""

    def __init__(self) -> None:
        self._made: dict[str, Calibration] = {}

    def __call__(self, generation: Generation, pair: FeatureMetric) -> Calibration:
        if str(pair) not in self._made:
            pairs = RandomPairs.of(generation)
            self._made[str(pair)] = pairs.calibration(pairs.enough_for(pair).distances(generation, pair))
        return self._made[str(pair)]


def positive_pair_distances(lake: Lake, generation: Generation, images: int) -> dict[tuple[str, str], PositivePairs]:
    """Compute the distances between a sample of images and their edited copies, by feature and metric.

    If no image can be read, for example because a disk is not mounted, log a warning and return no distances: the
    generation can be searched without them.

    Args:
        images: Maximum number of images to edit.
    """
    features = [feature for feature in map(generation.feature, generation.features) if feature.averaged is None]
    pairs = [FeatureMetric(feature, metric) for feature in features for metric in feature.metrics]
    by_name = {str(pair): pair for pair in pairs}
    distances: dict[str, list[NDArray[np.float32]]] = {name: [] for name in by_name}
    rows = np.sort(_sample(generation.live, images))
    try:
        for copies in make_copies(lake, generation, by_name, rows, progress=log.info):
            for name, of_copies in distances_to_original(generation, by_name, copies).items():
                distances[name].append(of_copies)
    except QueryError as error:
        log.warning("no edited copies for the calibration: %s", error)
        return {}
    return {
        (pair.feature.name, pair.metric.name): PositivePairs.of(np.concatenate(distances[name]))
        for name, pair in by_name.items()
    }


def _sample(rows: Rows, count: int) -> Rows:
    """Draw up to `count` rows in random order; the draw depends only on the rows."""
    return np.random.default_rng(_SEED).permutation(rows)[:count]
