"""Which rows are matches: how often random pairs of the gallery are as near."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.calibration import Calibration
from imrec_core.embed import Described
from imrec_core.features.feature_metric import FeatureMetric, WeightedFeature
from imrec_core.fusion import Numbers, fuse
from imrec_core.generation import Generation, Rows
from imrec_core.pooling import distances_to
from imrec_core.scan import Distances

_PAIRS = (200, 512)  # queries × others, as for the calibration of one feature
_SEED = 20_26


def within(
    generation: Generation,
    chosen: Sequence[WeightedFeature],
    likes: Sequence[Described],
    pool: str,
    rate: float,
    rows: Rows,
    known: Sequence[Distances] | None = None,
) -> NDArray[np.bool_]:
    """Which rows are near enough to a like, with `pool="all"` to every like.

    What a search may let through is shared among the likes, for a row has as many chances as there are likes; so
    the rate holds for the answer, not for each of them. Weights of likes do not make anything nearer.

    Args:
        known: The distances to a single like by each feature, where they were computed before.
    """
    plain = [Described(1.0, like.vectors) for like in likes]
    nearest = "all" if pool == "all" else "best"
    each = known or [distances_to(generation, c, plain, nearest, rows) for c in chosen]
    chances = 1 if pool == "all" else len(likes)
    return np.asarray(false_match_rates(generation, chosen, each) <= rate / chances)


def false_match_rates(
    generation: Generation, chosen: Sequence[WeightedFeature], distances: Sequence[Distances]
) -> Numbers:
    """Share of random pairs as near as each row, by all features together; from the distances by each `(rows,)`."""
    calibrations = [generation.calibration(c.feature.name, c.metric.name) for c in chosen]
    if len(chosen) == 1:
        return calibrations[0].false_match_rate(distances[0])
    scores = [calibration.score(d) for calibration, d in zip(calibrations, distances, strict=True)]
    far = 1 - fuse(scores, [c.weight for c in chosen])
    return joint_calibration(generation, chosen).false_match_rate(far.astype(np.float32))


def joint_calibration(generation: Generation, chosen: Sequence[WeightedFeature]) -> Calibration:
    """How one minus the fused score is distributed over random pairs.

    A mean of several scores is seldom high by chance, the less so the less the features have to do with one another:
    the false match rate cannot be told from the score alone, and is counted on pairs. Kept by the generation.
    """
    key = tuple((c.feature.name, c.metric.name, c.weight) for c in chosen)
    if key not in generation.joint:
        sample = np.random.default_rng(_SEED).permutation(generation.live)[: sum(_PAIRS)]
        part = len(sample) * _PAIRS[0] // sum(_PAIRS)
        scores = [_pair_scores(generation, c, sample[:part], sample[part:]) for c in chosen]
        far = 1 - fuse(scores, [c.weight for c in chosen])
        generation.joint[key] = Calibration.of(far.astype(np.float32) if len(far) else np.ones(1, np.float32))
    return generation.joint[key]


def _pair_scores(generation: Generation, chosen: FeatureMetric, queries: Rows, others: Rows) -> Numbers:
    matrix: NDArray[Any] = generation.matrix(chosen.feature.name)
    gallery = matrix[others] if matrix.dtype == np.uint64 else np.asarray(matrix[others], np.float32)
    asked = [chosen.feature.as_query(vector, chosen.metric) for vector in matrix[queries]]
    distances = [chosen.metric(vector, gallery) for vector in asked]
    calibration = generation.calibration(chosen.feature.name, chosen.metric.name)
    return calibration.score(np.concatenate(distances) if distances else np.empty(0, np.float32))
