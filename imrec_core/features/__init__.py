"""Every way to describe an image, declared once.

`FEATURES` maps names to declarations. Modules are imported by name, so that a reader can follow where they are:
colour in `colour.py`, edges and texture in `structure.py`, hashes in `hashes.py` and `pdq.py`, local descriptors in
`local.py`, networks in `neural.py` (made from `models.MODELS`), projections of those in `projections.py`. What a
lake declares in its `lake.toml` is made by `own.py`.
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
