"""Embedding features of the pretrained models in `models.MODELS`."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.feature import Feature, register
from imrec_core.features.metrics import cosine, dot, euclidean, manhattan
from imrec_core.images.batch import ImageBatch
from imrec_core.models.model import Model
from imrec_core.models.quality import at_size
from imrec_core.models.registry import MODELS


def network(model: Model) -> Feature:
    """Make the embedding feature of a model; its vectors have length 1."""
    return Feature(
        name=model.name,
        summary=model.summary,
        group="networks",
        dims=model.dims,
        dtype="float16",
        metrics=(cosine, euclidean, manhattan, dot),
        source=model.source,
        min_side=model.preprocess.resize,
        unit_norm=True,
        compute=functools.partial(_embed, model=model),
        model=model,
        params={"side": model.preprocess.crop} if model.is_reduced else {},
        # The axes of content vectors are fitted to images, and would lose most of the content of a text embedding.
        content=None if model.text else f"{model.name}_content",
        candidates=None if model.text else f"{model.name}_pca",  # in generations of version 0.1
    )


def with_size(feature: Feature, side: int | None, pca_dims: int) -> Feature:
    """Return the embedding of a model with another size; see `quality.at_size`."""
    assert feature.model is not None
    return network(at_size(feature.model, side, pca_dims))


def _embed(batch: ImageBatch, model: Model) -> NDArray[np.float32]:
    from imrec_core.models.encoders import load_encoder

    return load_encoder(model)(batch.prepared(model.preprocess))


for _model in MODELS.values():
    register(network(_model))
