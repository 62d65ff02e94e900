"""Encoder that runs a network by OpenVINO, on the CPU."""

from __future__ import annotations

import atexit
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from imrec_core.errors import BadModel, MissingDependency
from imrec_core.models.encoder_protocol import Pending, Pixels, Vectors, concatenate
from imrec_core.models.model import Model
from imrec_core.models.openvino import REQUEST, convert
from imrec_core.models.quantization import Ranges, stored_ranges
from imrec_core.runtime.cpu import adds_bytes_exactly, cpu_count


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
        BadModel: `precision` is `int8`, and they were not measured, or the CPU would overflow.
    """
    if precision == "int8" and not adds_bytes_exactly():
        raise BadModel(model.name, "this CPU has no VNNI, which int8 needs; use auto, bf16 or fp32")
    if precision != "int8" and not (precision == "auto" and model.is_reduced and adds_bytes_exactly()):
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
