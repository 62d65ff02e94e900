"""Encoders: pretrained networks that run on this machine's CPU or GPU, by OpenVINO or torch.

On the CPU OpenVINO runs the converted torch module: in 8-bit integers for the qualities below the best where the ranges
of its activations are known, otherwise in bf16 if the CPU supports it. The converted network is cached on
disk, so that later processes need neither torch nor the conversion. On CUDA torch runs the module channels-last under
autocast. Without OpenVINO torch runs it on the CPU, with a warning. ONNX files always run on OpenVINO, on the CPU.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from imrec_core.errors import BadModel, DeclarationError, MissingDependency
from imrec_core.lake.settings import Settings
from imrec_core.models.model import Model
from imrec_core.models.openvino import REQUEST, NotConvertible, convert
from imrec_core.models.quantization import Ranges, stored_ranges
from imrec_core.models.registry import find_model
from imrec_core.models.torch_module import torch_module
from imrec_core.runtime.cpu import cpu_count

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Pending = Callable[[], Vectors]


class Encoder(Protocol):
    """A network that is ready to run.

    Attributes:
        backend: `openvino`, `torch-cuda` or `torch-cpu`.
        precision: `int8`, `bf16` or `fp32`; recorded with the vectors.
        batch: Maximum number of images per pass; larger inputs are split.
    """

    backend: str
    precision: str
    batch: int

    def submit(self, pixels: Pixels) -> Pending:
        """Start encoding a batch `(n, crop, crop, 3)`; call the result for the unit vectors `(n, dims)`."""
        ...

    def __call__(self, pixels: Pixels) -> Vectors: ...


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
        device: `auto`, `cpu` or `cuda`.
        backend: `auto`, `openvino` or `torch`.
        batch: Maximum number of images per pass; None for the declared number, or the fastest for OpenVINO. An ONNX
            file may fix the number.

    Raises:
        UnknownName: There is no such model.
        DeclarationError: `device` is `cuda`, and there is no CUDA device.
        UntrustedModel: The model would run code of a lake that is not trusted.
        MissingDependency: The library of the model, or of `backend`, is not installed.
        MissingWeights: The weights are not on this machine and cannot be fetched.
        BadModel: The weights are damaged, or do not match the declaration.
    """
    model = find_model(model) if isinstance(model, str) else model
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
    if is_onnx and device == "cuda":
        log.warning("%s is an ONNX file, which runs on the CPU", model.name)
    if not is_onnx and device != "cpu" and (device == "cuda" or _has_cuda_device()):
        return TorchEncoder(model, "cuda", precision, batch)
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


def _has_cuda_device() -> bool:
    """Test for a CUDA device, without importing torch where there cannot be one."""
    if not (Path("/dev/nvidiactl").exists() or os.name == "nt"):
        return False
    import torch

    return torch.cuda.is_available()


def _concatenate(parts: list[Vectors], dims: int) -> Vectors:
    return np.concatenate(parts) if parts else np.empty((0, dims), np.float32)


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
            return _concatenate([future.result() for future in futures], self._dims)

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


class TorchEncoder:
    """Network run by torch, channels-last, under autocast unless the precision is fp32."""

    def __init__(self, model: Model, device: str, precision: str = "auto", batch: int | None = None) -> None:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise DeclarationError("device cuda: torch finds no CUDA device; use --device cpu")
        if precision == "int8":
            raise DeclarationError("torch runs no model in int8; use auto, bf16 or fp32")
        self.backend = f"torch-{device}"
        self.precision = "bf16" if precision == "auto" else precision
        self.batch = batch or model.batch
        self._dims = model.dims
        self._device = torch.device(device)
        self._module = torch_module(model).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def submit(self, pixels: Pixels) -> Pending:
        import torch

        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, self.precision == "bf16"):
            parts = [
                self._module(torch.from_numpy(pixels[first : first + self.batch]).to(self._device, non_blocking=True))
                for first in range(0, len(pixels), self.batch)
            ]
        return lambda: _concatenate([part.float().cpu().numpy() for part in parts], self._dims)

    def __call__(self, pixels: Pixels) -> Vectors:
        return self.submit(pixels)()
