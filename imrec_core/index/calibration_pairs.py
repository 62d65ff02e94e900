"""Sample pairs of images for calibration: random pairs of a generation, and edited copies with their originals."""

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
from imrec_core.index.calibration import Calibration, PositivePairs
from imrec_core.index.edited_copies import distances_to_original, make_copies
from imrec_core.index.generation import Generation, Rows
from imrec_core.lake.lake import Lake

log = logging.getLogger(__name__)

_PAIRS = (200, 512)  # queries × others: about 100,000 random pairs
_SEED = 20_26


def calibrate(generation: Generation, feature: Feature) -> dict[str, Any]:
    """Calibrate every metric of a feature on random pairs.

    Returns:
        Distances and false match rates by metric, as `generation.json` holds them.
    """
    calibrated = {}
    for metric in feature.metrics:
        calibration = Calibration.of(random_pair_distances(generation, feature, metric))
        calibrated[metric.name] = {"distances": calibration.distances, "rates": calibration.rates}
    return calibrated


def random_pair_rows(generation: Generation) -> tuple[Rows, Rows]:
    """Draw the live rows whose pairs calibrate the generation: up to 200 queries, and 512 others.

    The draw is seeded. Smaller generations are divided in the same proportion.
    """
    sample = _sample(generation.live, sum(_PAIRS))
    part = len(sample) * _PAIRS[0] // sum(_PAIRS)
    return sample[:part], sample[part:]


def random_pair_distances(generation: Generation, feature: Feature, metric: Metric) -> NDArray[np.float32]:
    """Compute the distances of random pairs `(pairs,)`.

    The feature's default metric uses all pairs, about 100,000, and other metrics a quarter of the queries. A generation
    of one image gets a single distance of 1.
    """
    matrix = generation.matrix(feature.name)
    query_rows, other_rows = random_pair_rows(generation)
    queries, others = matrix[query_rows], matrix[other_rows]
    if metric != feature.metric:
        queries = queries[: -(-len(queries) // 4)]
    pair = FeatureMetric(feature, metric)
    return _distances(pair, [feature.as_query(query, metric) for query in queries], others)


def _distances(pair: FeatureMetric, queries: Sequence[NDArray[Any]], others: NDArray[Any]) -> NDArray[np.float32]:
    if not len(queries):  # a generation of one image has no pairs
        return np.ones(1, np.float32)
    gallery = others if others.dtype == np.uint64 else others.astype(np.float32)
    return np.concatenate([pair(query, gallery) for query in queries])


def positive_pair_distances(lake: Lake, generation: Generation, images: int) -> dict[tuple[str, str], PositivePairs]:
    """Compute the distances between a sample of images and their edited copies, by feature and metric.

    If no image can be read, for example because a disk is not mounted, log a warning and return no distances: the
    generation can be searched without them.

    Args:
        images: Maximum number of images to edit.
    """
    features = [generation.feature(name) for name in generation.features]
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
