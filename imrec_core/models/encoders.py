"""Encoders: pretrained networks that run on this machine's CPU or GPU, by OpenVINO or torch.

On the CPU OpenVINO runs the converted torch module: in 8-bit integers for the qualities below the best where the ranges
of its activations are known, otherwise in bf16 if the CPU supports it. The converted network is cached on
disk, so that later processes need neither torch nor the conversion. On CUDA torch runs the module (`torch_encoder`).
Without OpenVINO torch runs it on the CPU, with a warning. ONNX files always run on OpenVINO, on the CPU.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from imrec_core.errors import BadModel, MissingDependency
from imrec_core.lake.settings import Settings
from imrec_core.models.device_names import parse_devices
from imrec_core.models.encoder import Encoder, Pending, Pixels, Vectors, concatenate
from imrec_core.models.model import Model
from imrec_core.models.openvino import REQUEST, NotConvertible, convert
from imrec_core.models.quantization import Ranges, stored_ranges
from imrec_core.models.registry import find_model
from imrec_core.models.torch_encoder import TorchEncoder
from imrec_core.runtime.cpu import cpu_count

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


class OpenVinoEncoder:
    """Network converted by OpenVINO, on the CPU; batches run on one stream per core."""

    backend = "openvino"

    def __init__(
        self, model: Model, precision: str = "auto", batch: int | None = None, *, cache: Path | None = None
    ) -> None:
        try:
            import openvino as ov
        except ImportError:
            raise MissingDependency("openvino") from None
        cache = cache or Path(platformdirs.user_cache_dir("imrec")) / "openvino"
        core = ov.Core()
        fastest = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"
        ranges = _ranges(model, precision)
        self.precision = "int8" if ranges is not None else fastest if precision == "auto" else precision
        cores = cpu_count()
        compiled = core.compile_model(
            core.read_model(convert(model, cache, batch or min(model.batch, REQUEST), ranges) / "network.xml"),
            "CPU",
            {
                "CACHE_DIR": str(cache / "compiled"),
                "NUM_STREAMS": cores,
                "INFERENCE_NUM_THREADS": cores,
                "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",  # of what is not in integers
            },
        )
        self._dims = model.dims
        self.batch = int(compiled.input(0).shape[0])
        self._queue = ov.AsyncInferQueue(compiled, 2 * cores)
        self._queue.set_callback(_deliver)
        # A result arrives before OpenVINO's thread has left the callback; Python would abort if it exited then.
        atexit.register(self._queue.wait_all)
        self._start = threading.Lock()  # only one thread at a time may take a request from the queue

    def submit(self, pixels: Pixels) -> Pending:
        futures: list[Future[Vectors]] = []
        for first in range(0, len(pixels), self.batch):
            part = pixels[first : first + self.batch]
            padded = part
            if len(part) < self.batch:
                padded = np.zeros((self.batch, *part.shape[1:]), np.uint8)
                padded[: len(part)] = part
            future: Future[Vectors] = Future()
            with self._start:
                self._queue.start_async([padded], (future, len(part)))
            futures.append(future)

        def collect() -> Vectors:
            return concatenate([future.result() for future in futures], self._dims)

        return collect

    def __call__(self, pixels: Pixels) -> Vectors:
        return self.submit(pixels)()


def _ranges(model: Model, precision: str) -> Ranges | None:
    """Return the ranges of activations if the model is to run in integers.

    Raises:
        BadModel: `precision` is `int8`, and they were not measured.
    """
    if precision != "int8" and not (precision == "auto" and model.is_reduced):
        return None
    ranges = stored_ranges(model.name)
    if ranges is None and precision == "int8":
        raise BadModel(model.name, "it has no ranges for int8; use auto, bf16 or fp32")
    return ranges


def _deliver(request: Any, waiting: tuple[Future[Vectors], int]) -> None:
    """Pass on the result of a finished request; runs in a thread of OpenVINO."""
    future, count = waiting
    try:
        future.set_result(request.get_output_tensor(0).data[:count].copy())
    except Exception as error:  # an exception must reach the waiting thread, not OpenVINO's
        future.set_exception(error)
