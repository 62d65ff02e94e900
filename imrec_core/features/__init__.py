"""Image features; `FEATURES` maps names to declarations.

Colour histograms are in `colour.py`, edges and texture in `structure.py`, hashes in `hashes.py` and `pdq.py`, local
descriptors in `sift_vlad.py`. `networks.py` declares an embedding for each of `models.MODELS`, and `projections.py`
their projections. `custom.py` makes the features that a `lake.toml` declares.
"""

import warnings
from typing import Any

# In the order in which features are listed.
from imrec_core.features import colour, hashes, sift_vlad, networks, pdq, projections, structure  # isort: skip
from imrec_core.features.custom import chosen_features, decoded_side, known_features
from imrec_core.features.feature import FEATURES, Feature, Fitter, Projection, feature, find_feature

__all__ = [
    "FEATURES",
    "Feature",
    "Fitter",
    "Projection",
    "chosen_features",
    "colour",
    "decoded_side",
    "feature",
    "find_feature",
    "hashes",
    "known_features",
    "networks",
    "pdq",
    "projections",
    "sift_vlad",
    "structure",
]


def __getattr__(name: str) -> Any:
    if name == "Learnt":  # its name in version 0.1
        warnings.warn("imrec_core.features.Learnt is deprecated; use Fitter", DeprecationWarning, stacklevel=2)
        return Fitter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
