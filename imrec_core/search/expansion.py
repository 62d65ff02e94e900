"""Query expansion: a query becomes the mean of itself and the images that are surely related to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features import Feature
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.index.calibration import Calibration
from imrec_core.index.exact_search import Distances
from imrec_core.index.generation import Generation
from imrec_core.index.neighbourhoods import average

_RELATED = 1e-3  # largest false match rate of the images that a query is expanded with


def expand(
    generation: Generation, features: Sequence[WeightedFeature], query: EncodedQuery, count: int
) -> EncodedQuery:
    """Expand a query by the features whose vectors can be averaged; see `index.neighbourhoods`.

    Args:
        count: Maximum number of images; 0 leaves the query as it is.

    Raises:
        QueryError: None of the features can be averaged.
    """
    if not count:
        return query
    able = {f.feature.name: f.feature for f in features if f.weight and _can_average(f.feature)}
    if not able:
        names = ", ".join(f.name for f in features)
        raise QueryError(f"expand needs the embedding of a network, which can be averaged; the search is by {names}")
    vectors = dict(query.vectors)
    for name, feature in able.items():
        is_related = partial(_is_related, generation.calibration(name, feature.metric.name))
        made = average(generation, feature, vectors[name], count, is_related)
        vectors[name] = made.astype(feature.dtype)
    return EncodedQuery(query.weight, vectors)


def _is_related(calibration: Calibration, distances: Distances) -> NDArray[np.bool_]:
    return calibration.false_match_rate(distances) <= _RELATED


def _can_average(feature: Feature) -> bool:
    return feature.unit_norm and feature.metric.name == "cosine"
