"""Every network as extraction runs it, against torch in bf16 channels-last on the same pixels, in turns.

Speed does not depend on what the weights are, so those that are not on this machine are random.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from imrec_core.models.encoders import TorchEncoder, load_encoder
from imrec_core.models.loading import weights_here
from imrec_core.models.model import Model
from imrec_core.models.registry import MODELS
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_TORCH_BATCH = 32
_ROUNDS = 3
_TIMES = 1.5  # as fast as torch, at least


def measure(work: Testbed) -> list[Row]:
    rows = []
    for model in MODELS.values():
        runnable = _runnable(model, work.folder)
        if runnable is None:
            continue
        note = "" if runnable is model else "random weights"
        rows += _compared(model.name, runnable, note)
    return rows


def _compared(name: str, model: Model, note: str) -> list[Row]:
    side = model.preprocess.crop
    pixels = np.random.default_rng(0).integers(0, 256, (2 * _TORCH_BATCH, side, side, 3), np.uint8)
    fast, eager = load_encoder(model, device="cpu"), TorchEncoder(model, "cpu", "bf16")
    spent: dict[str, list[float]] = {"fast": [], "eager": []}
    for turn in range(_ROUNDS + 1):
        for way, run in (("fast", lambda: fast(pixels)), ("eager", lambda: [eager(p) for p in np.split(pixels, 2)])):
            seconds = _seconds(run)
            if turn:  # the first one warms up
                spent[way].append(seconds)
    rates = {way: len(pixels) / median(seconds) for way, seconds in spent.items()}
    return [
        Row(f"{name}, {fast.backend} {fast.precision}", rates["fast"], "images/s", note),
        Row(f"{name}, times torch bf16", rates["fast"] / rates["eager"], "", at_least=_TIMES),
    ]


def _seconds(run: Callable[[], Any]) -> float:
    started = perf_counter()
    run()
    return perf_counter() - started


def _runnable(model: Model, folder: Path) -> Model | None:
    """The model, or one with random weights; None where its library is missing or has no such way."""
    if weights_here(model):
        return model
    if model.loader not in _MAKERS or find_spec(model.loader) is None:
        return None
    import torch

    path = folder / f"{model.name}.pth"
    torch.save(_MAKERS[model.loader](model.architecture).state_dict(), path)
    return replace(model, name=f"{model.name}_random", file=path, sha256="")


def _torchvision(architecture: str) -> Any:
    import torchvision

    return torchvision.models.get_model(architecture)


def _timm(architecture: str) -> Any:
    import timm

    return timm.create_model(architecture, num_classes=0)


def _open_clip(architecture: str) -> Any:
    import open_clip

    return open_clip.create_model(architecture)


_MAKERS: dict[str, Callable[[str], Any]] = {"torchvision": _torchvision, "timm": _timm, "open_clip": _open_clip}
