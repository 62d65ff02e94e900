"""Image features; `FEATURES` maps names to declarations.

Colour histograms are in `colour.py`, edges and texture in `structure.py`, hashes in `hashes.py`, `crop_resistant.py`
and `pdq.py`, local descriptors in `sift_vlad.py`. `networks.py` declares an embedding for each of `models.MODELS`, and
`projections.py` their projections. `custom.py` makes the features that a `lake.toml` declares.
"""

# In the order in which features are listed.
from imrec_core.features import colour, hashes, crop_resistant, sift_vlad, networks, pdq  # isort: skip
from imrec_core.features import projections, structure  # isort: skip
from imrec_core.features.custom import chosen_features, decoded_side, generation_features, known_features, table_name
from imrec_core.features.feature import FEATURES, Feature, Fitter, Projection, feature, find_feature
from imrec_core.runtime.lazy import lazy_names

__all__ = [
    "FEATURES",
    "Feature",
    "Fitter",
    "Projection",
    "chosen_features",
    "colour",
    "crop_resistant",
    "decoded_side",
    "feature",
    "find_feature",
    "generation_features",
    "hashes",
    "known_features",
    "networks",
    "pdq",
    "projections",
    "sift_vlad",
    "structure",
    "table_name",
]

__getattr__ = lazy_names(__name__, {"Fitter": "feature"}, {"Learnt": "Fitter"})  # its name in version 0.1
