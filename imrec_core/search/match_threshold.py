"""Which rows are matches: how often random pairs of the gallery are as near."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.index.calibration import Calibration
from imrec_core.index.calibration_pairs import random_pair_rows
from imrec_core.index.exact_search import Distances
from imrec_core.index.generation import Generation, Rows
from imrec_core.search.fusion import Numbers, fuse
from imrec_core.search.pooling import query_distances

_KEPT = 256  # joint calibrations of a generation


class JointCalibrations:
    """Joint calibrations of one generation; those used last are kept. Safe to use from several threads.

    Two threads that need the same new one at once may both compute it.

    Args:
        most: Kept at a time; one takes about 4 kB.
    """

    def __init__(self, generation: Generation, most: int = _KEPT) -> None:
        self.generation, self._most = generation, most
        self._changing = threading.Lock()
        self._kept: OrderedDict[tuple[tuple[str, str, float], ...], Calibration] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, chosen: Sequence[WeightedFeature]) -> Calibration:
        """What `joint_calibration` gives for features and their weights."""
        key = tuple((c.feature.name, c.metric.name, c.weight) for c in chosen)
        with self._changing:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = joint_calibration(self.generation, chosen)
        with self._changing:
            self._kept[key] = made
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made


def passes_match_threshold(
    joint: JointCalibrations,
    chosen: Sequence[WeightedFeature],
    likes: Sequence[EncodedQuery],
    pool: str,
    rate: float,
    rows: Rows,
    known: Sequence[Distances] | None = None,
) -> NDArray[np.bool_]:
    """Which rows are near enough to a like, with `pool="all"` to every like.

    What a search may let through is shared among the likes, for a row has as many chances as there are likes; so
    the rate holds for the answer, not for each of them. Weights of likes do not make anything nearer.

    Args:
        joint: Of the generation that the rows are of.
        known: The distances to a single like by each feature, where they were computed before.
    """
    plain = [EncodedQuery(1.0, like.vectors) for like in likes]
    nearest = "all" if pool == "all" else "best"
    each = known or [query_distances(joint.generation, c, plain, nearest, rows) for c in chosen]
    chances = 1 if pool == "all" else len(likes)
    return np.asarray(false_match_rates(joint, chosen, each) <= rate / chances)


def false_match_rates(
    joint: JointCalibrations, chosen: Sequence[WeightedFeature], distances: Sequence[Distances]
) -> Numbers:
    """Share of random pairs as near as each row, by all features together; from the distances by each `(rows,)`."""
    calibrations = [joint.generation.calibration(c.feature.name, c.metric.name) for c in chosen]
    if len(chosen) == 1:
        return calibrations[0].false_match_rate(distances[0])
    scores = [calibration.score(d) for calibration, d in zip(calibrations, distances, strict=True)]
    far = 1 - fuse(scores, [c.weight for c in chosen])
    return joint.of(chosen).false_match_rate(far.astype(np.float32))


def joint_calibration(generation: Generation, chosen: Sequence[WeightedFeature]) -> Calibration:
    """Calibrate one minus the fused score of several features on random pairs.

    A mean of several scores is seldom high by chance, the less so the less the features have to do with one another:
    the false match rate cannot be told from the score alone, and is counted on pairs.
    """
    queries, others = random_pair_rows(generation)
    scores = [_pair_scores(generation, c, queries, others) for c in chosen]
    far = 1 - fuse(scores, [c.weight for c in chosen])
    return Calibration.of(far.astype(np.float32) if len(far) else np.ones(1, np.float32))


def _pair_scores(generation: Generation, chosen: FeatureMetric, queries: Rows, others: Rows) -> Numbers:
    matrix: NDArray[Any] = generation.matrix(chosen.feature.name)
    gallery = matrix[others] if matrix.dtype == np.uint64 else np.asarray(matrix[others], np.float32)
    asked = [chosen.feature.as_query(vector, chosen.metric) for vector in matrix[queries]]
    distances = [chosen.metric(vector, gallery) for vector in asked]
    calibration = generation.calibration(chosen.feature.name, chosen.metric.name)
    return calibration.score(np.concatenate(distances) if distances else np.empty(0, np.float32))
