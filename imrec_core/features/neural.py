"""One feature for each pretrained network of `models.MODELS`."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch
from imrec_core.encoders import load_encoder
from imrec_core.features.declare import Feature, register
from imrec_core.metrics import cosine, dot, euclidean, manhattan
from imrec_core.models import MODELS, Model


def network(model: Model) -> Feature:
    """The feature that a network makes: its embedding, at length 1."""
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
        # A text's vector is no picture's: axes on which pictures differ most would lose what it says.
        candidates=None if model.text else f"{model.name}_pca",
    )


def _embed(batch: ImageBatch, model: Model) -> NDArray[np.float32]:
    return load_encoder(model)(batch.prepared(model.preprocess))


for _model in MODELS.values():
    register(network(_model))
