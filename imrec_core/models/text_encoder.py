"""Text embeddings in the vector space of images, by models with a text tower."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import DeclarationError
from imrec_core.models.libraries import LOADERS, load_both_towers
from imrec_core.models.loading import load_tokenizer, loading
from imrec_core.models.model import Model
from imrec_core.models.registry import MODELS

if TYPE_CHECKING:
    import torch

_load_lock = threading.Lock()


def encode_text(model: Model, texts: Sequence[str]) -> NDArray[np.float32]:
    """Encode texts as unit vectors `(n, dims)`.

    They are comparable with the image embeddings of the same model.

    Raises:
        DeclarationError: The model has no text tower.
        MissingDependency, MissingWeights, BadModel: As `encoders.load_encoder`.
    """
    if not model.text:
        able = ", ".join(m.name for m in MODELS.values() if m.text)
        raise DeclarationError(f"{model.name} does not encode text; choose one of: {able}")
    if not texts:
        return np.empty((0, model.dims), np.float32)
    import torch

    with _load_lock:
        tower, tokenize = _text_tower(model, model.identity)
    with torch.inference_mode():
        vectors = tower.encode_text(tokenize(list(texts)), normalize=True)  # type: ignore[operator]
    return np.asarray(vectors.float().numpy())


@functools.cache
def _text_tower(model: Model, identity: str) -> tuple[torch.nn.Module, Callable[[list[str]], Any]]:
    """Load the network without its image tower, and its tokenizer."""
    with loading(model, LOADERS[model.loader].find):
        network = load_both_towers(model)
    del network.visual
    return network, load_tokenizer(model)
