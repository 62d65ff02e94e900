"""How far random images of a generation, and edited copies of some, are from each other: what scores are made of."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.features import Feature
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.metrics import Metric
from imrec_core.index.calibration import Calibration, TruePairs
from imrec_core.index.edited_copies import distances_to_original, make_copies
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake

log = logging.getLogger(__name__)

_PAIRS = (200, 512)  # queries × others: some 100,000 random pairs for the calibration
_SEED = 20_26


def calibrate(generation: Generation, feature: Feature) -> dict[str, Any]:
    """Distances of random pairs, by metric."""
    calibrated = {}
    for metric in feature.metrics:
        found = Calibration.of(random_pair_distances(generation, feature, metric))
        calibrated[metric.name] = {"distances": found.distances, "rates": found.rates}
    return calibrated


def random_pair_distances(generation: Generation, feature: Feature, metric: Metric) -> NDArray[np.float32]:
    """How far random pairs of images are apart, the same pairs each time; by the default metric most of them.

    Some 100,000; a lake of one image has the one pair that is 1 apart.
    """
    matrix = generation.matrix(feature.name)
    chosen = _sample(generation.live, sum(_PAIRS))
    part = len(chosen) * _PAIRS[0] // sum(_PAIRS)
    queries, others = matrix[chosen[:part]], matrix[chosen[part:]]
    asked = queries if metric == feature.metric else queries[: -(-part // 4)]
    return _pairs(metric, [feature.as_query(query, metric) for query in asked], others)


def _pairs(metric: Metric, queries: Sequence[NDArray[Any]], others: NDArray[Any]) -> NDArray[np.float32]:
    if not len(queries):  # a lake of one image has no pairs
        return np.ones(1, np.float32)
    gallery = others if others.dtype == np.uint64 else others.astype(np.float32)
    return np.concatenate([metric(query, gallery) for query in queries])


def positive_pair_distances(lake: Lake, generation: Generation, photos: int) -> dict[tuple[str, str], TruePairs]:
    """How far edited copies of a sample of the images are from their originals, by feature and metric.

    None where no image can be read any more, with a warning: a disk that is away keeps nobody from searching.
    """
    features = [generation.feature(name) for name in generation.features]
    pairs = [FeatureMetric(feature, metric) for feature in features for metric in feature.metrics]
    ways = {str(pair): pair for pair in pairs}
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ways}
    rows = np.sort(_sample(generation.live, photos))
    try:
        for copies in make_copies(lake, generation, ways, rows, progress=log.info):
            for name, distances in distances_to_original(generation, ways, copies).items():
                found[name].append(distances)
    except QueryError as error:
        log.warning("no true pairs: %s", error)
        return {}
    return {(p.feature.name, p.metric.name): TruePairs.of(np.concatenate(found[n])) for n, p in ways.items()}


def _sample(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Up to `count` of the rows, in random order, the same for the same number of rows."""
    return np.random.default_rng(_SEED).permutation(rows)[:count]
