"""A pretrained network made to run fast on this machine.

On the CPU the torch module is converted by OpenVINO, in bf16 where the CPU has it; the converted network is kept
on disk, so that a second process needs neither torch nor the conversion. On CUDA torch runs it channels-last under
autocast. Without OpenVINO torch runs it on the CPU, and says so. An ONNX file runs on OpenVINO, on the CPU, always.
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

from imrec_core.errors import DeclarationError, MissingDependency
from imrec_core.lake.settings import Settings
from imrec_core.models.model import Model
from imrec_core.models.openvino import REQUEST, NotConvertible, converted
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
        precision: `bf16` or `fp32`; recorded with the vectors.
        batch: Pictures that the network takes at a time; more are given to it in turn.
    """

    backend: str
    precision: str
    batch: int

    def submit(self, pixels: Pixels) -> Pending:
        """Start on a batch `(n, crop, crop, 3)`; call what is returned for its unit vectors `(n, dims)`."""
        ...

    def __call__(self, pixels: Pixels) -> Vectors: ...


_one_loads = threading.Lock()


def load_encoder(
    model: Model | str,
    *,
    precision: str = "auto",
    device: str = "auto",
    backend: str = "auto",
    batch: int | None = None,
) -> Encoder:
    """The fastest encoder of a model on this machine; one per process.

    Args:
        model: The model, or the name of one of `MODELS`.
        precision: `auto`, `bf16` or `fp32`.
        device: `auto`, `cpu` or `cuda`.
        backend: `auto`, `openvino` or `torch`.
        batch: Pictures that it takes at a time; None for what is declared, or what OpenVINO is fastest with. An ONNX
            file may have a number of its own.

    Raises:
        UnknownName: No such model.
        DeclarationError: CUDA was asked for and is not there.
        MissingDependency: The library of the model, or the backend asked for, is not installed.
        MissingWeights: Its weights are not here and could not be fetched.
        BadModel: Its weights are damaged, or it is not what is declared.
    """
    model = find_model(model) if isinstance(model, str) else model
    with _one_loads:  # threads that come at the same time shall share one
        return _load(model, model.identity, precision, device, backend, batch)


def encoder_of(model: Model, settings: Settings, device: str = "auto") -> Encoder:
    """Load the encoder of a model as the settings of a lake say; raises as `load_encoder`."""
    batch = settings.batch_of(model.name)
    return load_encoder(model, precision=settings.precision, device=device, batch=batch)


@functools.cache
def _load(model: Model, identity: str, precision: str, device: str, backend: str, batch: int | None = None) -> Encoder:
    """The identity is there for the cache: a file of one's own may have changed."""
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
    """Whether there is a CUDA device, without importing torch where there cannot be one."""
    if not (Path("/dev/nvidiactl").exists() or os.name == "nt"):
        return False
    import torch

    return torch.cuda.is_available()


def _joined(parts: list[Vectors], dims: int) -> Vectors:
    return np.concatenate(parts) if parts else np.empty((0, dims), np.float32)


class OpenVinoEncoder:
    """The network converted by OpenVINO, on the CPU; batches run on one stream per core."""

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
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = ("bf16" if has_bf16 else "fp32") if precision == "auto" else precision
        cores = cpu_count()
        compiled = core.compile_model(
            core.read_model(converted(model, cache, batch or min(model.batch, REQUEST)) / "network.xml"),
            "CPU",
            {
                "CACHE_DIR": str(cache / "compiled"),
                "NUM_STREAMS": cores,
                "INFERENCE_NUM_THREADS": cores,
                "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            },
        )
        self._dims = model.dims
        self.batch = int(compiled.input(0).shape[0])
        self._queue = ov.AsyncInferQueue(compiled, 2 * cores)
        self._queue.set_callback(_deliver)
        # A result arrives before OpenVINO's thread has left the callback; if Python ended then, it would abort.
        atexit.register(self._queue.wait_all)
        self._start = threading.Lock()  # the queue hands out its requests from one thread at a time

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
            return _joined([future.result() for future in futures], self._dims)

        return collect

    def __call__(self, pixels: Pixels) -> Vectors:
        return self.submit(pixels)()


def _deliver(request: Any, waiting: tuple[Future[Vectors], int]) -> None:
    """Called by OpenVINO's thread when a request is done."""
    future, count = waiting
    try:
        future.set_result(request.get_output_tensor(0).data[:count].copy())
    except Exception as error:  # an exception must reach the waiting thread, not OpenVINO's
        future.set_exception(error)


class TorchEncoder:
    """The network run by torch, channels-last; under autocast unless fp32 is asked for."""

    def __init__(self, model: Model, device: str, precision: str = "auto", batch: int | None = None) -> None:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise DeclarationError("device cuda was asked for, but torch finds none; use --device cpu")
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
        return lambda: _joined([part.float().cpu().numpy() for part in parts], self._dims)

    def __call__(self, pixels: Pixels) -> Vectors:
        return self.submit(pixels)()
