"""Loading of encoders: pretrained networks that run on this machine's CPU or GPU, by OpenVINO or torch.

On the CPU OpenVINO runs the converted torch module: for the qualities below the best in 8-bit integers, if the ranges
of its activations are known and the CPU has VNNI, otherwise in bf16 if the CPU supports it. The converted network is
cached on disk, so that later processes need neither torch nor the conversion. On CUDA torch runs the module
(`torch_encoder`). Without OpenVINO torch runs it on the CPU, with a warning. ONNX files always run on OpenVINO, on the
CPU.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from pathlib import Path

from imrec_core.errors import MissingDependency
from imrec_core.lake.settings import Settings
from imrec_core.models.device_names import parse_devices
from imrec_core.models.encoder_protocol import Encoder, Pending, Pixels, Vectors
from imrec_core.models.model import Model
from imrec_core.models.openvino import NotConvertible
from imrec_core.models.openvino_encoder import OpenVinoEncoder
from imrec_core.models.registry import find_model
from imrec_core.models.torch_encoder import TorchEncoder

__all__ = ["Encoder", "OpenVinoEncoder", "Pending", "Pixels", "TorchEncoder", "Vectors", "encoder_of", "load_encoder"]

log = logging.getLogger(__name__)

_load_lock = threading.Lock()


def load_encoder(
    model: Model | str,
    *,
    precision: str = "auto",
    device: str = "auto",
    backend: str = "auto",
    batch: int | None = None,
) -> Encoder:
    """Load the fastest encoder of a model on this machine, once per process.

    Args:
        model: The model, or the name of one of `MODELS`.
        precision: `auto`, `int8`, `bf16` or `fp32`.
        device: `auto`, or devices as `parse_devices` reads them; `auto` is the first CUDA device, or the CPU.
        backend: `auto`, `openvino` or `torch`.
        batch: Maximum number of images per pass; None for the declared number, the fastest for OpenVINO, or one that
            fits the free memory of CUDA devices. An ONNX file may fix the number.

    Raises:
        UnknownName: There is no such model.
        DeclarationError: `device` is not valid, or there is no such CUDA device.
        UntrustedModel: The model would run code of a lake that is not trusted.
        MissingDependency: The library of the model, or of `backend`, is not installed.
        MissingWeights: The weights are not on this machine and cannot be fetched.
        BadModel: The weights are damaged, or do not match the declaration.
    """
    model = find_model(model) if isinstance(model, str) else model
    is_onnx = model.loader == "onnx"
    device = "cuda:0" if device == "auto" and not is_onnx and _has_cuda_device() else ",".join(parse_devices(device))
    with _load_lock:  # concurrent callers share one encoder
        return _load(model, model.identity, precision, device, backend, batch)


def encoder_of(model: Model, settings: Settings, device: str = "auto") -> Encoder:
    """Load the encoder of a model with the settings of a lake; raises as `load_encoder`."""
    batch = settings.batch_of(model.name)
    return load_encoder(model, precision=settings.inference_precision, device=device, batch=batch)


@functools.cache
def _load(model: Model, identity: str, precision: str, device: str, backend: str, batch: int | None = None) -> Encoder:
    """Load an encoder; `identity` is part of the cache key, as the file of a custom model may change."""
    is_onnx = model.loader == "onnx"
    if device.startswith("cuda"):
        if not is_onnx:
            return TorchEncoder(model, device, precision, batch)
        log.warning("%s is an ONNX file, which runs on the CPU", model.name)
    if backend != "torch" or is_onnx:
        try:
            return OpenVinoEncoder(model, precision, batch)
        except MissingDependency as error:
            if error.name != "openvino" or backend == "openvino" or is_onnx:
                raise
            log.warning("openvino is not installed; %s runs on torch, several times slower", model.name)
        except NotConvertible as error:
            if backend == "openvino":
                raise
            log.warning("%s; it runs on torch, several times slower", error)
    return TorchEncoder(model, "cpu", precision, batch)


@functools.cache
def _has_cuda_device() -> bool:
    """Test for a CUDA device, without importing torch where there cannot be one."""
    if not (Path("/dev/nvidiactl").exists() or os.name == "nt"):
        return False
    import torch

    return torch.cuda.is_available()
