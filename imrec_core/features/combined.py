"""Combined features: weighted concatenations whose Euclidean distance is a weighted sum over their parts.

Each part is lifted as in the HNSW graph of its metric, so that the squared Euclidean distance has the order of the
metric. It is then divided by the root mean square distance between random images. So a weight is the share of a part in
the squared distance of two random images, independent of its units, and one HNSW index serves the weighted sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imrec_core.errors import BadSettings, LakeError
from imrec_core.features.feature import Arrays, Blocks, Feature, Matrix, Projection, find_feature
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.metrics import Metric, cosine, euclidean, l2_normalise
from imrec_core.runtime.numbers import finite_number, shorten

# A part with less variance than this share of its mean square is equal in all images, up to rounding. Its scale is 0,
# as a division by almost 0 would amplify the rounding.
_NO_VARIANCE = 1e-9


@dataclass(frozen=True)
class Part(FeatureMetric):
    """Feature and metric of a combination, with their weight."""

    weight: float

    def lifted(self, vectors: Matrix) -> Matrix:
        """Lift vectors `(n, width)` to float32 `(n, dims)`.

        Their squared Euclidean distance has the order of the metric.
        """
        lifted = self.metric.lifted(vectors)
        if self.metric.space == "cosine":
            lifted = l2_normalise(lifted)
        return np.asarray(lifted, np.float32)

    @property
    def dims(self) -> int:
        """Length of a lifted vector."""
        return int(self.lifted(np.zeros((1, self.feature.width), self.feature.dtype)).shape[1])


def combination(name: str, weights: Mapping[str, float], known: Mapping[str, Feature]) -> Feature:
    """Make the combined feature `name` from known features.

    Args:
        weights: Weight of each part, by `feature` or `feature:metric`.

    Raises:
        UnknownName: A part is not a known feature, or its feature does not have the metric.
        BadSettings: A weight is not finite and above 0, or the metric of a part has no index.
    """
    parts = [_parse_part(name, part, weight, known) for part, weight in weights.items()]
    shares = "; ".join(f"{weight:g} {part}" for part, weight in weights.items())
    if len(parts) < 2:
        raise BadSettings(f"lake.toml: combined.{name} has {shares or 'no feature'}; expected two features or more")

    def fit(blocks: Sequence[Blocks], folder: Path) -> tuple[Arrays, dict[str, Any]]:
        return _fit(parts, blocks)

    return Feature(
        name=name,
        summary=f"Weighted concatenation: {shares}.",
        group="combined",
        dims=sum(part.dims for part in parts),
        dtype="float16",
        metrics=(euclidean, cosine),
        source="imrec: each part over its root mean square distance of random images, times the root of its weight",
        min_side=max(part.feature.min_side for part in parts),
        projection=Projection(tuple(part.feature for part in parts), fit, lambda v, fitted: _project(parts, v, fitted)),
        params={"combined": dict(weights)},
    )


def _parse_part(name: str, text: str, weight: Any, known: Mapping[str, Feature]) -> Part:
    parsed = FeatureMetric.parse(text, lambda feature_name: find_feature(feature_name, known))
    feature, metric = parsed.feature, parsed.metric
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not (finite_number(weight) or 0) > 0:
        raise BadSettings(
            f"lake.toml: combined.{name}: the weight of {text} is {shorten(weight)}; expected a number above 0"
        )
    if not _is_combinable(metric):
        able = ", ".join(str(FeatureMetric(feature, m)) for m in feature.metrics if _is_combinable(m))
        raise BadSettings(
            f"lake.toml: combined.{name}: {text} has the metric {metric.name}, which cannot be combined; use {able}"
        )
    return Part(feature, metric, float(weight))


def _is_combinable(metric: Metric) -> bool:
    """Return whether a metric is a Euclidean distance of lifted vectors."""
    return metric.space in ("l2", "cosine") and not metric.close


def _fit(parts: Sequence[Part], blocks: Sequence[Blocks]) -> tuple[Arrays, dict[str, Any]]:
    """Fit one scale per part.

    It is the root of the weight over the root mean square distance of two random images. That mean square is twice the
    sum of the variances, so one pass is enough.

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
        raise LakeError(f"a combined feature needs at least 2 readable images; found {count}")
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
