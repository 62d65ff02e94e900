"""Kernel PCA with a Gaussian kernel, fitted to a random sample of rows (landmarks)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import DeclarationError
from imrec_core.features.reduction.method import (
    Arrays,
    Block,
    Facts,
    Matrix,
    Method,
    check_dims,
    orient_axes,
    require_rows,
    sample_rows,
    share_curve,
)

_BATCH = 4096  # rows per kernel matrix; 31 MB for 2,000 landmarks
_FEW = 500  # landmarks up to which computing all eigenvectors takes no longer than some
_NO_VARIANCE = 1e-9  # share of the widest axis' variance below which an axis is rounding error of float64


def fit_kernel_pca(
    blocks: Sequence[Block], *, dims: int, folder: Path, landmarks: int = 2000, gamma: float = 0.0, seed: int = 0
) -> tuple[Arrays, Facts]:
    """Fit the principal axes of the landmarks under the kernel `exp(-gamma |x - y|²)`.

    The fit uses up to 16 bytes per pair of landmarks: 64 MB for 2,000 landmarks, 1.6 GB for 10,000.

    Args:
        landmarks: Number of random rows that represent all rows; the time grows with its square.
        gamma: Parameter of the kernel; 0 uses 1 / median of the squared distances between landmarks.

    Returns:
        `mean` `(base dims,)`, `landmarks` `(landmarks, base dims)` minus that mean, `coefficients`
        `(landmarks, dims)`, `offset` `(dims,)` and `gamma` `()`; and statistics of the fit.

    Raises:
        LakeError: There are fewer than 2 rows.
        DeclarationError: `dims` is larger than that of the vectors, or not below `landmarks`.
    """
    if landmarks <= dims:
        raise DeclarationError(f"kernel_pca: landmarks is {landmarks}; expected more than dims, which is {dims}")
    sample, rows = sample_rows(blocks, landmarks, seed)
    require_rows("kernel_pca", rows, least=2)
    check_dims("kernel_pca", dims, sample.shape[1])
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    points = sample.astype(np.float32) - mean  # centred, so that differences of squares lose little precision
    gamma = gamma or _median_heuristic(points)
    kernel = _kernel(points.astype(np.float64), points.astype(np.float64), gamma)
    columns = kernel.mean(axis=0)
    variances, vectors, total = _spectrum(kernel, columns, dims)
    scales = np.divide(1, np.sqrt(variances), out=np.zeros(dims), where=variances > 0)
    # Axes are orthogonal to (1, …, 1), so that centring the kernel of a new row is a constant offset.
    coefficients = orient_axes((vectors - vectors.mean(axis=0)).T).T * scales
    arrays = {
        "mean": mean,
        "landmarks": points,
        "coefficients": coefficients.astype(np.float32),
        "offset": (columns @ coefficients).astype(np.float32),
        "gamma": np.asarray(gamma, dtype=np.float32),
    }
    shares = variances / max(total, 1e-30)
    facts = {
        "rows": rows,
        "dims": dims,
        "landmarks": len(points),
        "gamma": float(gamma),
        "axes_with_variance": int((variances > 0).sum()),
        "variance_kept": float(shares.sum()),
        "curves": share_curve("spectrum of the kernel", shares, "axes", "share of the kernel's variance"),
    }
    return arrays, facts


def _median_heuristic(points: Matrix) -> float:
    squares = _squared_distances(points[:1000], points[:1000])
    distances = squares[np.triu_indices(len(squares), k=1)]
    distances = distances[distances > 0]
    return 1 / float(np.median(distances)) if len(distances) else 1.0


def _spectrum(kernel: Matrix, columns: Matrix, dims: int) -> tuple[Matrix, Matrix, float]:
    """Centre a kernel in place, and compute its spectrum.

    Returns variances `(dims,)`, axes `(n, dims)` and the total variance.
    """
    kernel -= columns
    kernel -= columns[:, None]
    kernel += columns.mean()
    total, count = float(np.trace(kernel)), len(kernel)
    found = min(dims, count)
    variances, vectors = _largest_eigenpairs(kernel, found)
    variances = np.pad(variances[::-1], (0, dims - found))
    vectors = np.pad(vectors[:, ::-1], ((0, 0), (0, dims - found)))
    variances[variances <= _NO_VARIANCE * variances[0]] = 0
    return variances, vectors, total


def _largest_eigenpairs(kernel: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """Compute the `count` largest eigenvalues, ascending, and their eigenvectors.

    The matrix must be symmetric, and may be overwritten.
    """
    import scipy.linalg
    import scipy.sparse.linalg
    from threadpoolctl import threadpool_limits

    size = len(kernel)
    with threadpool_limits(1, user_api="blas"):  # 4,000 landmarks: 28 s with two threads, 8 s with one
        if size > _FEW and count < size // 4:  # 2 s for 4,000, equal up to the last digits
            start = np.random.default_rng(0).standard_normal(size)
            try:
                variances, vectors = scipy.sparse.linalg.eigsh(kernel, count, v0=start)
                return variances, vectors
            except scipy.sparse.linalg.ArpackError:  # equal rows, or nearly equal eigenvalues
                pass
        # The transpose has the memory layout of LAPACK, which then needs no copy.
        variances, vectors = scipy.linalg.eigh(
            kernel.T, subset_by_index=(size - count, size - 1), driver="evr", overwrite_a=True
        )
        return variances, vectors


def _kernel(rows: Matrix, points: Matrix, gamma: float) -> NDArray[np.floating]:
    squares = _squared_distances(rows, points)
    squares *= -gamma
    np.exp(squares, out=squares)
    return squares


def _squared_distances(rows: Matrix, points: Matrix) -> NDArray[np.floating]:
    """Compute squared distances `(rows, points)` in the precision of the arguments."""
    squares: NDArray[np.floating] = rows @ points.T
    squares *= -2
    squares += np.einsum("ij,ij->i", rows, rows)[:, None]
    squares += np.einsum("ij,ij->i", points, points)
    np.maximum(squares, 0, out=squares)  # rounding may give values slightly below 0
    return squares


def project(vectors: Matrix, arrays: Arrays) -> Matrix:
    """Project vectors `(n, base dims)` on the fitted axes in batches."""
    projected = np.empty((len(vectors), arrays["coefficients"].shape[1]), dtype=np.float32)
    for first in range(0, len(vectors), _BATCH):
        rows = np.asarray(vectors[first : first + _BATCH], dtype=np.float32) - arrays["mean"]
        kernel = _kernel(rows, arrays["landmarks"], float(arrays["gamma"]))
        projected[first : first + _BATCH] = kernel @ arrays["coefficients"] - arrays["offset"]
    return projected


KERNEL_PCA = Method(
    name="kernel_pca",
    summary="kernel principal components with a Gaussian kernel over landmarks.",
    source="Schölkopf et al. 1998, doi:10.1162/089976698300017467",
    fit=fit_kernel_pca,
    project=project,
    params={"landmarks": 2000, "gamma": 0.0, "seed": 0},
)
