"""Image features; `FEATURES` maps names to declarations.

Colour histograms are in `colour.py`, edges and texture in `structure.py`, hashes in `hashes.py` and `pdq.py`, local
descriptors in `local.py`. `neural.py` declares an embedding for each of `models.MODELS`, and `projections.py` their
projections. `own.py` makes the features that a `lake.toml` declares.
"""

from imrec_core.features import colour, hashes, networks, pdq, projections, sift_vlad, structure
from imrec_core.features.custom import chosen_features, decoded_side, known_features
from imrec_core.features.feature import FEATURES, Feature, Learnt, Projection, feature, find_feature

__all__ = [
    "FEATURES",
    "Feature",
    "Learnt",
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
