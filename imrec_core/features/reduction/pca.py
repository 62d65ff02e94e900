"""Principal component analysis, plain or whitened, from moments that are computed in one pass and merged."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.reduction.method import (
    Arrays,
    Block,
    Facts,
    Matrix,
    Method,
    check_dims,
    iterate_rows,
    orient_axes,
    require_rows,
    share_curve,
)
from imrec_core.runtime.half_floats import to_single

# An axis with less than this share of the widest axis' variance is rounding error (below 1e-7 with float32 products, as
# measured on rows of lower rank than width). Whitening would amplify it to variance 1.
_NO_VARIANCE = 1e-6

_ALL_ROWS = 65_536  # rows from which moments are those of a sample


@dataclass
class Moments:
    """Count, mean and scatter matrix of rows, which can be merged (Chan et al. 1983).

    Attributes:
        mean: `(dims,)` float64.
        scatter: `(dims, dims)` float64, the sum over rows of the outer product of the centred row with itself.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Matrix) -> Moments:
        """Compute the moments of rows `(n, dims)`.

        Products are computed in float32, and sums of blocks in float64.
        """
        values = to_single(rows)
        mean = values.mean(axis=0, dtype=np.float64) if len(values) else np.zeros(values.shape[1])
        centred = values - mean.astype(np.float32)
        return cls(len(values), mean, (centred.T @ centred).astype(np.float64))

    def scaled(self, count: int) -> Moments:
        """Return the moments of `count` rows that are distributed as these."""
        return Moments(count, self.mean, self.scatter * (count / max(self.count, 1)))

    def merged(self, other: Moments) -> Moments:
        """Combine the moments of two sets of rows."""
        count = self.count + other.count
        if not count:
            return self
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        scatter = self.scatter + other.scatter
        scatter += np.outer(shift, shift) * (self.count * other.count / count)
        return Moments(count, mean, scatter)


def moments_of(blocks: Sequence[Block]) -> Moments:
    """Compute the moments of all rows of all blocks in one pass, or of a sample of many rows.

    The first 65,536 rows all count. Of the next 65,536 every second counts twice, then of twice as many every fourth
    counts four times, and so on.
    """
    total: Moments | None = None
    seen = 0
    with ThreadPoolExecutor(1) as pool:  # reads blocks while products are computed
        reading = iterate_rows(blocks)
        following = pool.submit(next, reading, None)
        while (rows := following.result()) is not None:
            following = pool.submit(next, reading, None)
            sample = rows[:: 1 << (seen // _ALL_ROWS).bit_length()]
            moments = Moments.of(sample).scaled(len(rows))
            total = total.merged(moments) if total else moments
            seen += len(rows)
    return total or Moments(0, np.zeros(0), np.zeros((0, 0)))


def principal_axes(moments: Moments, dims: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the `dims` directions of largest variance, largest first.

    Returns:
        Axes `(dims, base dims)` of length 1, their entry of largest magnitude positive; and the variances `(dims,)`, 0
        for an axis along which the rows do not differ.
    """
    import scipy.linalg
    from threadpoolctl import threadpool_limits

    width = len(moments.mean)
    covariance = moments.scatter / moments.count
    with threadpool_limits(1, user_api="blas"):  # 0.13 s; all eigenvectors 0.25 s, two threads more
        variances, vectors = scipy.linalg.eigh(covariance, subset_by_index=(width - dims, width - 1), driver="evr")
    variances = variances[::-1].copy()
    variances[variances <= _NO_VARIANCE * variances[0]] = 0
    return orient_axes(vectors[:, ::-1].T), variances


def fit_pca(blocks: Sequence[Block], *, dims: int, folder: Path) -> tuple[Arrays, Facts]:
    """Fit the principal axes of the covariance of all rows.

    Returns:
        `mean` `(base dims,)` and `axes` `(dims, base dims)`, float32; and statistics of the fit.

    Raises:
        LakeError: There are fewer than 2 rows.
        DeclarationError: `dims` is larger than that of the vectors.
    """
    axes, _, moments, facts = _fit_axes("pca", blocks, dims)
    return pca_arrays(moments, axes), facts


def fit_whitened_pca(blocks: Sequence[Block], *, dims: int, folder: Path) -> tuple[Arrays, Facts]:
    """Fit principal axes as `fit_pca`, scaled to equal variance.

    An axis is divided by the standard deviation along it, and is 0 without variance.
    """
    axes, variances, moments, facts = _fit_axes("whitened_pca", blocks, dims)
    spread = np.sqrt(variances)
    scales = np.divide(1, spread, out=np.zeros(dims), where=spread > 0)
    return pca_arrays(moments, axes * scales[:, None]), facts


def _fit_axes(name: str, blocks: Sequence[Block], dims: int) -> tuple[Matrix, Matrix, Moments, Facts]:
    moments = moments_of(blocks)
    require_rows(name, moments.count, least=2)
    check_dims(name, dims, len(moments.mean))
    axes, variances = principal_axes(moments, dims)
    return axes, variances, moments, pca_facts(moments, variances)


def pca_facts(moments: Moments, variances: Matrix) -> Facts:
    """Return the statistics of a fit for display, from the variances `(dims,)` along its axes."""
    spectrum = variances / max(np.trace(moments.scatter) / moments.count, 1e-30)
    return {
        "rows": moments.count,
        "dims": len(variances),
        "axes_with_variance": int((variances > 0).sum()),
        "variance_kept": float(spectrum.sum()),
        "spectrum": spectrum.round(6).tolist(),
        "curves": share_curve("variance kept", spectrum, "axes", "share of the variance"),
    }


def pca_arrays(moments: Moments, axes: Matrix) -> Arrays:
    """Return what `project` needs."""
    return {"mean": moments.mean.astype(np.float32), "axes": axes.astype(np.float32)}


def project(vectors: Matrix, arrays: Arrays) -> Matrix:
    """Centre vectors `(n, base dims)` and project them on the fitted axes."""
    centred = to_single(vectors) - arrays["mean"]
    return np.asarray(centred @ arrays["axes"].T, dtype=np.float32)


PCA = Method(
    name="pca",
    summary="principal components.",
    source="Pearson 1901, doi:10.1080/14786440109462720",
    fit=fit_pca,
    project=project,
    params={},
)

WHITENED_PCA = Method(
    name="whitened_pca",
    summary="principal components, whitened: scaled to equal variance.",
    source="Jégou & Chum 2012, doi:10.1007/978-3-642-33709-3_55",
    fit=fit_whitened_pca,
    project=project,
    params={},
)
