"""Principal components in the space of a Gaussian kernel, learnt from a sample of landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import DeclarationError
from imrec_core.reduction.method import (
    Arrays,
    Block,
    Facts,
    Matrix,
    Method,
    check_dims,
    require,
    sampled,
    share_curve,
    upright,
)

_BATCH = 4096  # rows that are compared with the landmarks at a time; 31 MB of kernel for 2,000 of them
_FEW = 500  # landmarks of which all eigenvectors are as fast as some
_NO_VARIANCE = 1e-9  # of the widest axis: what rounding in float64 leaves of an axis that is not there


def fit_kernel_pca(
    blocks: Sequence[Block], *, dims: int, folder: Path, landmarks: int = 2000, gamma: float = 0.0, seed: int = 0
) -> tuple[Arrays, Facts]:
    """Principal axes of the landmarks under the kernel `exp(-gamma |x - y|²)`.

    Takes up to 16 bytes per pair of landmarks while it runs: 64 MB for 2,000 of them, 1.6 GB for 10,000.

    Args:
        landmarks: Rows that are drawn at random to stand for all; the time grows with their square.
        gamma: Of the kernel; 0 takes 1 / median of the squared distances between landmarks.

    Returns:
        `mean` `(base dims,)`, `landmarks` `(landmarks, base dims)` less that mean, `coefficients`
        `(landmarks, dims)`, `offset` `(dims,)` and `gamma` `()`; and the facts.

    Raises:
        LakeError: There are fewer than 2 rows.
        DeclarationError: `dims` is more than the vectors have, or not less than the landmarks.
    """
    if landmarks <= dims:
        raise DeclarationError(f"kernel_pca: {landmarks} landmarks are too few for {dims} axes; choose more landmarks")
    sample, rows = sampled(blocks, landmarks, seed)
    require("kernel_pca", rows, least=2)
    check_dims("kernel_pca", dims, sample.shape[1])
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    points = sample.astype(np.float32) - mean  # near 0, where a difference of squares loses least
    gamma = gamma or _median_heuristic(points)
    kernel = _kernel(points.astype(np.float64), points.astype(np.float64), gamma)
    columns = kernel.mean(axis=0)
    variances, vectors, total = _spectrum(kernel, columns, dims)
    scales = np.divide(1, np.sqrt(variances), out=np.zeros(dims), where=variances > 0)
    # An axis is at right angles to (1, …, 1), so that centring the kernel of a new row comes down to an offset.
    coefficients = upright((vectors - vectors.mean(axis=0)).T).T * scales
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
    apart = squares[np.triu_indices(len(squares), k=1)]
    apart = apart[apart > 0]
    return 1 / float(np.median(apart)) if len(apart) else 1.0


def _spectrum(kernel: Matrix, columns: Matrix, dims: int) -> tuple[Matrix, Matrix, float]:
    """Variances `(dims,)`, axes `(n, dims)` and total variance of a kernel, which is centred in place."""
    kernel -= columns
    kernel -= columns[:, None]
    kernel += columns.mean()
    total, count = float(np.trace(kernel)), len(kernel)
    found = min(dims, count)
    variances, vectors = _largest(kernel, found)
    variances = np.pad(variances[::-1], (0, dims - found))
    vectors = np.pad(vectors[:, ::-1], ((0, 0), (0, dims - found)))
    variances[variances <= _NO_VARIANCE * variances[0]] = 0
    return variances, vectors, total


def _largest(kernel: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """The `count` largest eigenvalues, ascending, and their vectors, of a symmetric matrix, which may be used up."""
    import scipy.linalg
    import scipy.sparse.linalg
    from threadpoolctl import threadpool_limits

    size = len(kernel)
    with threadpool_limits(1, user_api="blas"):  # of 4,000 landmarks, two threads took 28 s where one took 8
        if size > _FEW and count < size // 4:  # 2 s of 4,000, equal to the last digits
            start = np.random.default_rng(0).standard_normal(size)
            try:
                variances, vectors = scipy.sparse.linalg.eigsh(kernel, count, v0=start)
                return variances, vectors
            except scipy.sparse.linalg.ArpackError:  # all rows equal, or axes too much alike
                pass
        # The transpose is in the order of LAPACK, which then needs no copy.
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
    """`(rows, points)`, in the precision of what is given."""
    squares: NDArray[np.floating] = rows @ points.T
    squares *= -2
    squares += np.einsum("ij,ij->i", rows, rows)[:, None]
    squares += np.einsum("ij,ij->i", points, points)
    np.maximum(squares, 0, out=squares)  # rounding can leave a little less than 0
    return squares


def project(vectors: Matrix, arrays: Arrays) -> Matrix:
    """Vectors `(n, base dims)` on the fitted axes, a batch at a time."""
    projected = np.empty((len(vectors), arrays["coefficients"].shape[1]), dtype=np.float32)
    for first in range(0, len(vectors), _BATCH):
        rows = np.asarray(vectors[first : first + _BATCH], dtype=np.float32) - arrays["mean"]
        kernel = _kernel(rows, arrays["landmarks"], float(arrays["gamma"]))
        projected[first : first + _BATCH] = kernel @ arrays["coefficients"] - arrays["offset"]
    return projected


KERNEL_PCA = Method(
    name="kernel_pca",
    summary="kernel principal components, of a Gaussian kernel over landmarks.",
    source="Schölkopf et al. 1998, doi:10.1162/089976698300017467",
    fit=fit_kernel_pca,
    project=project,
    params={"landmarks": 2000, "gamma": 0.0, "seed": 0},
)
