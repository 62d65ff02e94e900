"""Content PCA: the principal components by which searches rank the embeddings of a network.

Compared with the embedding itself, the mean is subtracted, the trailing components and those of large variance count
less, and the result has length 1. All of it is fitted to the images of the lake, so that it does less in small lakes,
where variances are estimated from few images (`tests/benchmarks/content_vector.py` measures the choice of constants):

- The mean is shrunk by 3 images, so that a lake of one image, or of equal images, still has a direction.
- A component is divided by its variance to a power that grows with the number of images, up to 1/8. Full whitening, a
  power of 1/2, ranks much worse than none.
- Components behind the first 1.5 √images are multiplied by 0.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from imrec_core.features.reduction.method import Arrays, Block, Facts, Matrix, Method, check_dims, require_rows
from imrec_core.features.reduction.pca import Moments, moments_of, pca_arrays, pca_facts, principal_axes, project

_MEAN_IMAGES = 3  # by which the mean is shrunk
_POWER, _POWER_IMAGES = 1 / 8, 4000  # largest power; number of images at which it is half of that
_LEADING, _TRAILING = 1.5, 0.7  # leading components per root of the images, weight of the others


def fit_content_pca(blocks: Sequence[Block], *, dims: int, folder: Path) -> tuple[Arrays, Facts]:
    """Fit the scaled principal axes of all rows.

    Returns:
        `mean` `(base dims,)` and `axes` `(dims, base dims)`, float32; and statistics of the fit. Axes without variance
        are 0, so that fewer rows than `dims` are enough.

    Raises:
        LakeError: There are no rows.
        DeclarationError: `dims` is larger than that of the vectors.
    """
    moments = moments_of(blocks)
    require_rows("content_pca", moments.count, least=1)
    check_dims("content_pca", dims, len(moments.mean))
    moments = _with_shrunk_mean(moments)
    axes, variances = principal_axes(moments, dims)
    scales = _scales(variances, moments.count)
    facts = pca_facts(moments, variances) | {"power": round(_power(moments.count), 4)}
    return pca_arrays(moments, axes * scales[:, None]), facts


def _with_shrunk_mean(moments: Moments) -> Moments:
    """Return the moments about a mean that is shrunk towards 0."""
    mean = moments.mean * (moments.count / (moments.count + _MEAN_IMAGES))
    shift = moments.mean - mean
    return replace(moments, mean=mean, scatter=moments.scatter + moments.count * np.outer(shift, shift))


def _power(images: int) -> float:
    return _POWER * images / (images + _POWER_IMAGES)


def _scales(variances: Matrix, images: int) -> Matrix:
    """Return the factor of each component `(dims,)`."""
    has_variance = variances > 0
    scales = np.zeros(len(variances))
    scales[has_variance] = (variances[has_variance] / variances[0]) ** -_power(images)
    scales[round(_LEADING * images**0.5) :] *= _TRAILING
    return scales


def project_to_unit(vectors: Matrix, arrays: Arrays) -> Matrix:
    """Project vectors `(n, base dims)` on the fitted axes, and scale them to length 1."""
    projected = project(vectors, arrays)
    return np.asarray(projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12))


CONTENT_PCA = Method(
    name="content_pca",
    summary="principal components for searches: lightly whitened, of length 1.",
    source="Jégou & Chum 2012, doi:10.1007/978-3-642-33709-3_55, with a smaller power",
    fit=fit_content_pca,
    project=project_to_unit,
    params={},
)
