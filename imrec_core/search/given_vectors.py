"""Checks of the vectors and hash objects that a query gives instead of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import QueryError
from imrec_core.extraction.embed import Vectors
from imrec_core.features.feature_metric import WeightedFeature
from imrec_core.features.image_hash import HashObject, MultiHashObject, check_and_pad, pack_image_hash


def check_hash(query: HashObject | MultiHashObject, weighted: Sequence[WeightedFeature]) -> Vectors:
    """Return an object of imagehash as the vector of the only feature of a search.

    Raises:
        QueryError: There are several features, or the object is not of the feature.
    """
    if len(weighted) > 1:
        raise QueryError(f"an ImageHash was given for {', '.join(w.name for w in weighted)}; expected one feature")
    return {weighted[0].feature.name: pack_image_hash(query, weighted[0].feature)}


def check_vector(vector: NDArray[Any], weighted: Sequence[WeightedFeature]) -> Vectors:
    """Return a vector of the only feature of a search.

    Raises:
        QueryError: There are several features, or the vector is not of the feature.
    """
    feature, metric = weighted[0].feature, weighted[0].metric
    if feature.is_variable and len(weighted) == 1 and vector.dtype == np.uint64:
        return {feature.name: check_and_pad(vector)}
    if len(weighted) > 1 or vector.shape != (feature.width,):
        raise QueryError(
            f"a vector of {vector.shape[0]} numbers was given for {', '.join(w.name for w in weighted)}; "
            f"expected one feature, and {feature.width} numbers for {feature.name}"
        )
    allowed = "u" if feature.dtype == "uint64" else "fiu"
    if vector.dtype.kind not in allowed or not np.isfinite(vector).all():
        raise QueryError(f"the vector is {vector.dtype}; {feature.name} has finite numbers of type {feature.dtype}")
    with np.errstate(invalid="ignore"):
        if not np.isfinite(metric(vector, vector[None])).all():
            raise QueryError(f"{metric.name} is not defined for that vector; is a number in it negative?")
    return {feature.name: vector}
