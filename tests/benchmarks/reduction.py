"""Learning projections: how long, how much memory, and what they keep of the neighbours."""

import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from imrec_core.features.reduction import METHODS
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_ROWS, _DIMS, _SHARD = 100_000, 1280, 4096
_SECONDS, _BYTES = 15.0, 1.0  # of memory beyond the sums, in GB


def measure(work: Testbed) -> list[Row]:
    """PCA over vectors as embeddings are stored, read shard by shard."""
    rows = []
    with tempfile.TemporaryDirectory(dir=work.folder) as folder:
        blocks = _blocks(Path(folder))
        for method, dims in (("pca", 128), ("whitened_pca", 128), ("kernel_pca", 64)):
            started = perf_counter()
            METHODS[method].fit(blocks, dims=dims, folder=Path(folder))
            seconds = perf_counter() - started
            tracemalloc.start()  # in a second fit: it slows the first down
            METHODS[method].fit(blocks, dims=dims, folder=Path(folder))
            peak = tracemalloc.get_traced_memory()[1] / 1e9
            tracemalloc.stop()
            wanted = _SECONDS if method == "pca" else None
            rows.append(Row(f"{method} to {dims}, fit", seconds, "s", f"{_ROWS}×{_DIMS}", at_most=wanted))
            beyond = peak - _DIMS * _DIMS * 8 / 1e9
            limit = _BYTES if wanted else None
            rows.append(Row(f"{method} to {dims}, memory beyond the sums", beyond, "GB", at_most=limit))
    return rows


def _blocks(folder: Path) -> list[Callable[[], np.ndarray]]:
    """Shards of float16 vectors on disk, their variance falling from one axis to the next as embeddings' does."""
    rng = np.random.default_rng(0)
    spread = (1 / np.arange(1, _DIMS + 1) ** 0.5).astype(np.float32)
    paths = []
    for number, first in enumerate(range(0, _ROWS, _SHARD)):
        rows = rng.standard_normal((min(_SHARD, _ROWS - first), _DIMS), np.float32) * spread
        paths.append(folder / f"{number}.npy")
        np.save(paths[-1], rows.astype(np.float16))
    return [lambda path=path: np.load(path) for path in paths]
