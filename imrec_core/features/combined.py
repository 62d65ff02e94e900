"""Several features as one: a weighted concatenation whose plain Euclidean distance is their weighted sum.

Every part is lifted as its metric's graph has it, so that squared Euclidean distance has that metric's order, and
divided by what that distance is between random images. So a weight says how much of the squared distance of two
random images comes from a part, whatever its units are, and one HNSW index answers the weighted sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imrec_core.errors import BadSettings, LakeError
from imrec_core.features.declare import Arrays, Blocks, Feature, Matrix, Projection, find_feature
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.metrics import Metric, cosine, euclidean

# A part with less variance than this share of its mean square is the same in all images, but for rounding: it has no
# say, since what it was divided by would be next to nothing.
_NO_VARIANCE = 1e-9


@dataclass(frozen=True)
class Part(FeatureMetric):
    """One feature of a combination, in one of its metrics."""

    weight: float

    def lifted(self, vectors: Matrix) -> Matrix:
        """Vectors `(n, width)` as float32 `(n, lifted dims)`; squared Euclidean distance gives the metric's order."""
        lifted = self.metric.lifted(vectors)
        if self.metric.space == "cosine":
            lifted = lifted / np.maximum(np.linalg.norm(lifted, axis=1, keepdims=True), 1e-12)
        return np.asarray(lifted, np.float32)

    @property
    def dims(self) -> int:
        return int(self.lifted(np.zeros((1, self.feature.width), self.feature.dtype)).shape[1])


def combination(name: str, weights: Mapping[str, float], known: Mapping[str, Feature]) -> Feature:
    """The feature `name` of several `known` ones, by `feature` or `feature:metric`, with weights.

    Raises:
        UnknownName: A part is no known feature, or does not have that metric.
        BadSettings: A weight is not above zero and finite, or no index has the order of a part's metric.
    """
    parts = [_part(name, part, weight, known) for part, weight in weights.items()]
    shares = "; ".join(f"{weight:g} {part}" for part, weight in weights.items())
    if len(parts) < 2:
        raise BadSettings(f"lake.toml: combined.{name} names {shares or 'no feature'}; it takes two features or more")

    def fit(blocks: Sequence[Blocks], folder: Path) -> tuple[Arrays, dict[str, Any]]:
        return _fit(parts, blocks)

    return Feature(
        name=name,
        summary=f"Weighted concatenation: {shares}.",
        group="combined",
        dims=sum(part.dims for part in parts),
        dtype="float16",
        metrics=(euclidean, cosine),
        source="ours: each part over its root mean square distance between random images, times the root of its weight",
        min_side=max(part.feature.min_side for part in parts),
        projection=Projection(tuple(part.feature for part in parts), fit, lambda v, fitted: _project(parts, v, fitted)),
        params={"combined": dict(weights)},
    )


def _part(name: str, text: str, weight: Any, known: Mapping[str, Feature]) -> Part:
    parsed = FeatureMetric.parse(text, lambda feature_name: find_feature(feature_name, known))
    feature, metric = parsed.feature, parsed.metric
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight <= 0:
        raise BadSettings(f"lake.toml: combined.{name}: the weight of {text} is {weight!r}; it must be above 0")
    if not _is_combinable(metric):
        able = ", ".join(str(FeatureMetric(feature, m)) for m in feature.metrics if _is_combinable(m))
        raise BadSettings(f"lake.toml: combined.{name}: {text} has {metric.name}, which no index sums; use {able}")
    return Part(feature, metric, float(weight))


def _is_combinable(metric: Metric) -> bool:
    """Whether it is a Euclidean distance of lifted vectors."""
    return metric.space in ("l2", "cosine") and not metric.close


def _fit(parts: Sequence[Part], blocks: Sequence[Blocks]) -> tuple[Arrays, dict[str, Any]]:
    """One scale per part: the root of its weight over the root mean square distance of two random images.

    That mean square is twice the summed variance, so one pass over the sums is enough.

    Raises:
        LakeError: There are fewer than 2 images.
    """
    count, sums, squares = 0, [np.zeros(part.dims) for part in parts], np.zeros(len(parts))
    for block in blocks:
        matrices = block()
        count += len(matrices[0])
        for i, (part, matrix) in enumerate(zip(parts, matrices, strict=True)):
            lifted = part.lifted(matrix)
            sums[i] += lifted.sum(axis=0, dtype=np.float64)
            squares[i] += np.einsum("ij,ij->", lifted, lifted, dtype=np.float64)
    if count < 2:
        raise LakeError(f"a combination needs at least 2 images that could be read, there are {count}")
    variances = squares / count - [float(s @ s) / count**2 for s in sums]
    variances[variances <= _NO_VARIANCE * squares / count] = 0
    spreads = np.sqrt(2 * variances)
    shares = np.array([part.weight for part in parts])
    scales = np.divide(np.sqrt(shares / shares.sum()), spreads, out=np.zeros(len(parts)), where=spreads > 0)
    named = {str(part): round(float(s), 6) for part, s in zip(parts, spreads, strict=True)}
    return {"scales": scales.astype(np.float32)}, {"rows": count, "random distance": named}


def _project(parts: Sequence[Part], vectors: Sequence[Matrix], fitted: Arrays) -> Matrix:
    scaled = [part.lifted(v) * scale for part, v, scale in zip(parts, vectors, fitted["scales"], strict=True)]
    return np.concatenate(scaled, axis=1)
