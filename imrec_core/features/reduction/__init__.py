"""Dimensionality reduction methods that are fitted to vectors, from arrays to arrays.

`METHODS` holds all methods. Fitted parameters are plain arrays, so that projection needs only numpy. torch and optuna
are imported only to fit an autoencoder.
"""

from __future__ import annotations

from imrec_core.errors import UnknownName
from imrec_core.features.reduction.autoencoder import AUTOENCODER
from imrec_core.features.reduction.content_pca import CONTENT_PCA
from imrec_core.features.reduction.kernel_pca import KERNEL_PCA
from imrec_core.features.reduction.method import Arrays, Block, Facts, Method
from imrec_core.features.reduction.pca import PCA, WHITENED_PCA

METHODS: dict[str, Method] = {
    method.name: method for method in (PCA, WHITENED_PCA, CONTENT_PCA, KERNEL_PCA, AUTOENCODER)
}


def find_method(name: str) -> Method:
    """Return the reduction method of that name.

    Raises:
        UnknownName: No method has that name.
    """
    if name not in METHODS:
        raise UnknownName("reduction method", name, METHODS)
    return METHODS[name]


__all__ = ["METHODS", "Arrays", "Block", "Facts", "Method", "find_method"]
