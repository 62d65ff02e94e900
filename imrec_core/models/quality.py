"""Quality: the size of a network's input and the length of its content vector, by the setting of a lake.

At `best`, images are preprocessed as the network was trained. The other qualities resize the shorter side to fewer
pixels, in a faster way, and crop the centre without a margin. Networks that take one size only keep it.
"""

from __future__ import annotations

from dataclasses import replace

from imrec_core.images.preprocess import MIPMAP
from imrec_core.lake.settings import QUALITIES
from imrec_core.models.model import Model
from imrec_core.models.registry import MODELS

_DIMS = {"fast": 128}
"""Maximum length of content vectors, where it is below that of the model."""


def with_quality(model: Model, quality: str) -> Model:
    """Return a model as declared, with the input and the content vector of a quality.

    Args:
        quality: One of `QUALITIES`.
    """
    side = dict(zip(QUALITIES, model.sides, strict=False)).get(quality)
    return at_size(model, side, min(model.pca_dims, _DIMS.get(quality, model.pca_dims)))


def at_size(model: Model, side: int | None, pca_dims: int) -> Model:
    """Return a model with a side of the input in pixels, None for that as declared, and a length of content vectors."""
    declared = MODELS.get(model.name, model)
    preprocess = declared.preprocess
    if side is not None:
        preprocess = replace(preprocess, resize=side, crop=side, interpolation=MIPMAP)
    return replace(model, preprocess=preprocess, pca_dims=pca_dims, is_reduced=side is not None)
