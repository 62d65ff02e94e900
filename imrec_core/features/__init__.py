"""Every way to describe an image, declared once.

`FEATURES` maps names to declarations. Modules are imported by name, so that a reader can follow where they are:
colour in `colour.py`, edges and texture in `structure.py`, hashes in `hashes.py`, networks in `neural.py` (made from
`models.MODELS`), projections in `projections.py`.
"""

from imrec_core.features import colour, hashes, neural, projections, structure
from imrec_core.features.declare import FEATURES, Feature, Projection, feature, find_feature

__all__ = [
    "FEATURES",
    "Feature",
    "Projection",
    "colour",
    "feature",
    "find_feature",
    "hashes",
    "neural",
    "projections",
    "structure",
]
