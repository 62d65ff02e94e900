"""Encoder: what a network that is ready to run offers, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Pending = Callable[[], Vectors]


class Encoder(Protocol):
    """A network that is ready to run.

    Attributes:
        backend: `openvino`, `torch-cuda` or `torch-cpu`.
        precision: `int8`, `bf16` or `fp32`; recorded with the vectors.
        batch: Number of images that keep all its devices busy; larger inputs are split.
    """

    backend: str
    precision: str

    @property
    def batch(self) -> int: ...

    def submit(self, pixels: Pixels) -> Pending:
        """Start encoding a batch `(n, crop, crop, 3)`; call the result for the unit vectors `(n, dims)`."""
        ...

    def __call__(self, pixels: Pixels) -> Vectors: ...


def concatenate(parts: list[Vectors], dims: int) -> Vectors:
    """Join vectors `(n, dims)` in a new array; `(0, dims)` without any."""
    return np.concatenate(parts) if parts else np.empty((0, dims), np.float32)
