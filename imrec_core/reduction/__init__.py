"""Ways to reduce vectors to fewer numbers that are learnt from all of them: arrays in, arrays out.

`METHODS` names them all. What a method learns are plain arrays, so that projecting needs numpy alone; torch and optuna
are loaded while an autoencoder is fitted, and by nothing else.
"""

from __future__ import annotations

from imrec_core.errors import UnknownName
from imrec_core.reduction.autoencoder import AUTOENCODER
from imrec_core.reduction.kernel_pca import KERNEL_PCA
from imrec_core.reduction.method import Arrays, Block, Facts, Method
from imrec_core.reduction.pca import PCA, WHITENED_PCA

METHODS: dict[str, Method] = {method.name: method for method in (PCA, WHITENED_PCA, KERNEL_PCA, AUTOENCODER)}


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in METHODS:
        raise UnknownName("way to reduce", name, METHODS)
    return METHODS[name]


__all__ = ["METHODS", "Arrays", "Block", "Facts", "Method", "find_method"]
