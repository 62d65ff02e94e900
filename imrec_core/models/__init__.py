"""Pretrained networks: the registry, their weights, and encoders that run them with OpenVINO or torch."""

from typing import TYPE_CHECKING

from imrec_core.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from imrec_core.models.model import Model as Model
    from imrec_core.models.registry import MODELS as MODELS
    from imrec_core.models.registry import find_model as find_model

__getattr__ = lazy_names(__name__, {"MODELS": "registry", "Model": "model", "find_model": "registry"})
