"""Match threshold: false match rates of distances, from random pairs of images of a lake."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.index.calibration import Calibration
from imrec_core.index.exact_search import Distances
from imrec_core.index.generation import Generation, Rows
from imrec_core.search.fusion import Numbers, fuse
from imrec_core.search.pooling import query_distances

_MAX_CALIBRATIONS = 256  # in the cache of a generation


class JointCalibrations:
    """Cache of the joint calibrations of a generation, safe to use from several threads.

    The least recently used ones are dropped. Two threads may compute the same new calibration at once.

    Args:
        generation: The generation to calibrate on.
        most: Maximum number of calibrations in the cache; one takes about 4 kB.
    """

    def __init__(self, generation: Generation, most: int = _MAX_CALIBRATIONS) -> None:
        self.generation, self._most = generation, most
        self._changing = threading.Lock()
        self._cache: OrderedDict[tuple[tuple[str, str, float], ...], Calibration] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cache)

    def of(self, features: Sequence[WeightedFeature]) -> Calibration:
        """Return the joint calibration of weighted features; see `joint_calibration`."""
        key = tuple((f.feature.name, f.metric.name, f.weight) for f in features)
        with self._changing:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        calibration = joint_calibration(self.generation, features)
        with self._changing:
            self._cache[key] = calibration
            self._cache.move_to_end(key)
            if len(self._cache) > self._most:
                self._cache.popitem(last=False)
        return calibration


def passes_match_threshold(
    joint: JointCalibrations,
    features: Sequence[WeightedFeature],
    likes: Sequence[EncodedQuery],
    pool: str,
    rate: float,
    rows: Rows,
    known: Sequence[Distances] | None = None,
) -> NDArray[np.bool_]:
    """Return whether each row is near enough to any like, or with `pool="all"` to every like `(n,)`.

    The rate is divided by the number of likes, since a row has as many chances: it holds for the whole result. The
    weights of likes do not change it.

    Args:
        joint: Calibrations of the generation that the rows belong to.
        rate: Maximum false match rate, above 0 and at most 1.
        known: Distances of the rows to a single like by each feature, if already computed.
    """
    unweighted = [EncodedQuery(1.0, like.vectors) for like in likes]
    nearest = "all" if pool == "all" else "best"
    distances = known or [query_distances(joint.generation, f, unweighted, nearest, rows) for f in features]
    chances = 1 if pool == "all" else len(likes)
    return np.asarray(false_match_rates(joint, features, distances) <= rate / chances)


def false_match_rates(
    joint: JointCalibrations, features: Sequence[WeightedFeature], distances: Sequence[Distances]
) -> Numbers:
    """Compute the share of random pairs that are as near as each row by all features together `(n,)`.

    Args:
        distances: Distances of the rows by each feature `(n,)`.
    """
    calibrations = [joint.generation.calibration(f.feature.name, f.metric.name) for f in features]
    if len(features) == 1:
        return calibrations[0].false_match_rate(distances[0])
    scores = [calibration.score(d) for calibration, d in zip(calibrations, distances, strict=True)]
    fused_distance = 1 - fuse(scores, [f.weight for f in features])
    return joint.of(features).false_match_rate(fused_distance.astype(np.float32))


def joint_calibration(generation: Generation, features: Sequence[WeightedFeature]) -> Calibration:
    """Calibrate one minus the fused score of several features on random pairs.

    A mean of several scores is rarely high by chance, the more rarely the less the features correlate. Its false match
    rate does not follow from the score alone, so it is counted on pairs.
    """
    from imrec_core.index.calibration_pairs import RandomPairs

    pairs = RandomPairs.of(generation)
    scores = [
        generation.calibration(f.feature.name, f.metric.name).score(pairs.distances(generation, f)) for f in features
    ]
    distances = (1 - fuse(scores, [f.weight for f in features])).astype(np.float32)
    calibration = pairs.calibration(distances)
    return calibration.with_normal_tail(distances, pairs.least_rate) if pairs.least_rate else calibration
