"""Features that are computed from the vectors of another feature, not from pixels."""

from __future__ import annotations

import numpy as np

from imrec_core.features.declare import FEATURES, Feature, Matrix, Projection, register
from imrec_core.metrics import cosine, euclidean, manhattan
from imrec_core.models import MODELS


def pca(base: str, dims: int) -> Feature:
    """Declare `<base>_pca`: the `dims` directions in which the base's vectors differ most."""
    return register(
        Feature(
            name=f"{base}_pca",
            summary=f"{base}, reduced to {dims} numbers by principal components.",
            dims=dims,
            dtype="float32",
            metrics=(euclidean, cosine, manhattan),
            source="Pearson 1901, doi:10.1080/14786440109462720",
            min_side=FEATURES[base].min_side,
            projection=Projection(base, "pca", project_pca),
        )
    )


def project_pca(vectors: Matrix, fitted: dict[str, Matrix]) -> Matrix:
    """Vectors `(n, base dims)` on the fitted axes `(dims, base dims)`, centred."""
    centred = np.asarray(vectors, dtype=np.float32) - fitted["mean"]
    return np.asarray(centred @ fitted["axes"].T, dtype=np.float32)


for _model in MODELS.values():
    pca(_model.name, _model.pca_dims)
