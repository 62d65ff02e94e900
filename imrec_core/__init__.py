"""Find the images most like this one, in a folder of half a million."""

from typing import TYPE_CHECKING

from imrec_core.runtime.lazy import lazy_names
from imrec_core.runtime.moved import install

if TYPE_CHECKING:
    from imrec_core.curation.issues import find_issues
    from imrec_core.errors import ImrecError
    from imrec_core.features import FEATURES, Feature, feature
    from imrec_core.features.metrics import METRICS, Metric, metric
    from imrec_core.images.batch import ImageBatch
    from imrec_core.lake.lake import Lake
    from imrec_core.models.model import Model
    from imrec_core.models.registry import MODELS
    from imrec_core.search.hits import Hit, Hits
    from imrec_core.search.query import Crop, ImageId, Text
    from imrec_core.search.recommender import Recommender

_HOME = {
    "Crop": "search.query",
    "FEATURES": "features",
    "METRICS": "features.metrics",
    "MODELS": "models.registry",
    "Feature": "features",
    "Hit": "search.hits",
    "Hits": "search.hits",
    "ImageBatch": "images.batch",
    "ImageId": "search.query",
    "ImrecError": "errors",
    "Lake": "lake.lake",
    "Metric": "features.metrics",
    "Model": "models.model",
    "Recommender": "search.recommender",
    "Text": "search.query",
    "feature": "features",
    "find_issues": "curation.issues",
    "metric": "features.metrics",
}

__all__ = [
    "FEATURES",
    "METRICS",
    "MODELS",
    "Crop",
    "Feature",
    "Hit",
    "Hits",
    "ImageBatch",
    "ImageId",
    "ImrecError",
    "Lake",
    "Metric",
    "Model",
    "Recommender",
    "Text",
    "feature",
    "find_issues",
    "metric",
]


__getattr__ = lazy_names(__name__, _HOME)
install()
