"""One feature for each pretrained network of `models.MODELS`."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch
from imrec_core.encoders import load_encoder
from imrec_core.features.declare import Feature, register
from imrec_core.metrics import cosine, euclidean, manhattan
from imrec_core.models import MODELS, Model


def _embed(batch: ImageBatch, model: Model) -> NDArray[np.float32]:
    return load_encoder(model.name)(batch.prepared(model.preprocess))


for _model in MODELS.values():
    register(
        Feature(
            name=_model.name,
            summary=_model.summary,
            dims=_model.dims,
            dtype="float16",
            metrics=(cosine, euclidean, manhattan),
            source=_model.source,
            min_side=_model.preprocess.resize,
            unit_norm=True,
            compute=functools.partial(_embed, model=_model),
            model=_model,
            candidates=f"{_model.name}_pca",
        )
    )
