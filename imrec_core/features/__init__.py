"""Image features; `FEATURES` maps names to declarations.

Colour histograms are in `colour.py`, edges and texture in `structure.py`, hashes in `hashes.py` and `pdq.py`, local
descriptors in `local.py`. `neural.py` declares an embedding for each of `models.MODELS`, and `projections.py` their
projections. `own.py` makes the features that a `lake.toml` declares.
"""

from imrec_core.features import colour, hashes, local, neural, pdq, projections, structure
from imrec_core.features.declare import FEATURES, Feature, Learnt, Projection, feature, find_feature
from imrec_core.features.own import chosen_features, decoded_side, known_features

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
    "local",
    "neural",
    "pdq",
    "projections",
    "structure",
]
