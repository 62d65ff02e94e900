"""Networks as torch modules from uint8 pixels to unit vectors, with a check of their output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imrec_core.errors import BadModel
from imrec_core.models.loading import load_module
from imrec_core.models.model import Model

if TYPE_CHECKING:
    import torch


def torch_module(model: Model) -> torch.nn.Module:
    """Load a model in eager fp32 with its preprocessing.

    It maps uint8 pixels `(n, crop, crop, 3)` to unit vectors `(n, dims)`.

    Raises:
        MissingDependency, MissingWeights, BadModel: As `loading.load_module`; BadModel also for undeclared dims.
    """
    features = load_module(model).float().eval()

    import torch

    mean = torch.tensor(model.preprocess.mean)
    std = torch.tensor(model.preprocess.std)

    class Embedding(torch.nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.features = features
            self.register_buffer("mean", mean, persistent=False)
            self.register_buffer("std", std, persistent=False)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            scaled = (pixels.float() / 255 - self.mean) / self.std  # before permute: OpenVINO then copies nothing
            return torch.nn.functional.normalize(self.features(scaled.permute(0, 3, 1, 2)).float())

    _check_output(model, features)
    return Embedding().eval()


def _check_output(model: Model, features: torch.nn.Module) -> None:
    """Run the network on two constant images and check its output."""
    import torch

    side = model.preprocess.crop
    try:
        with torch.inference_mode():
            found = features(torch.zeros(2, 3, side, side))
    except Exception as error:  # a network may raise errors of any class
        reason = " ".join(str(error).split())[:300]
        raise BadModel(model.name, f"the network does not accept images of {side}×{side} pixels ({reason})") from error
    if not isinstance(found, torch.Tensor):
        raise BadModel(model.name, f"the network returns a {type(found).__name__}; expected a tensor (n, {model.dims})")
    if tuple(found.shape) != (2, model.dims):
        raise BadModel(
            model.name,
            f"the network returns {tuple(found.shape)} for 2 images; expected (2, {model.dims}), as declared",
        )
    if not bool(torch.isfinite(found).all()):
        raise BadModel(model.name, "the network returns numbers that are not finite; its weights are damaged")
