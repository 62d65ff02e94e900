"""Encoder that runs a network by torch, on the CPU or on one or several CUDA devices."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imrec_core.errors import DeclarationError
from imrec_core.models.device_names import parse_devices
from imrec_core.models.encoder_protocol import Pending, Pixels, Vectors, concatenate
from imrec_core.models.model import Model
from imrec_core.models.torch_module import torch_module

if TYPE_CHECKING:
    import torch

    from imrec_core.models.torch_device import CudaDevice, Device

log = logging.getLogger(__name__)

LEAST_BATCH, LARGEST_BATCH = 16, 512
_INPUT_BYTES = 100_000_000  # of a batch; main memory holds several: page-locked, decoded, and waiting
_SHARE = 0.5  # of the free memory; the rest is for fragments, other networks and other processes
_PROBE = 16  # images


@dataclass(frozen=True)
class _Replica:
    """A network on one device."""

    device: Device
    module: torch.nn.Module


class TorchEncoder:
    """Network run by torch, channels-last, under autocast unless the precision is fp32.

    Each device holds a replica of the network. Batches are split into parts, which go to the devices in turn.

    Args:
        device: `cpu`, or CUDA devices as `parse_devices` reads them.
        batch: Maximum number of images per pass of a device; None for the declared number on the CPU, and for one
            that fits the free memory on CUDA devices.

    Raises:
        DeclarationError: There is no such device, or the precision is int8.
    """

    def __init__(self, model: Model, device: str, precision: str = "auto", batch: int | None = None) -> None:
        from imrec_core.models.torch_device import open_devices

        if precision == "int8":
            raise DeclarationError("torch runs no model in int8; use auto, bf16 or fp32")
        names = parse_devices(device)
        devices = open_devices(names)
        self.backend = "torch-cpu" if names == ("cpu",) else "torch-cuda"  # however many: the vectors are the same
        # Without bf16 fp32, not fp16: its largest number is 65,504, so that activations may overflow, and lakes would
        # hold vectors of a third precision.
        fastest = "bf16" if all(device.has_bf16 for device in devices) else "fp32"
        self.precision = fastest if precision == "auto" else precision
        self._name, self._dims = model.name, model.dims
        self._replicas = [_replica(model, device) for device in devices]
        self._turn = 0
        self._lock = threading.Lock()
        self._part = batch or self._fitting_batch(model)

    @property
    def batch(self) -> int:
        return self._part * len(self._replicas)

    def submit(self, pixels: Pixels) -> Pending:
        started: list[Pending] = []
        first = 0
        while first < len(pixels):
            part = pixels[first : first + self._part]
            replica = self._next_replica()
            pending = self._start(replica, part)
            if pending is None:
                self._halve(len(part), replica)
            else:
                started.append(pending)
                first += len(part)
        return lambda: concatenate([pending() for pending in started], self._dims)

    def __call__(self, pixels: Pixels) -> Vectors:
        return self.submit(pixels)()

    def _next_replica(self) -> _Replica:
        with self._lock:
            self._turn = (self._turn + 1) % len(self._replicas)
            return self._replicas[self._turn]

    def _start(self, replica: _Replica, part: Pixels) -> Pending | None:
        """Start one pass; None if the memory of the device is full.

        The caller frees memory: the error itself would keep the tensors of the pass alive.
        """
        import torch

        kind = replica.device.device.type
        try:
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, self.precision == "bf16"):
                return replica.device.run(replica.module, part)
        except torch.OutOfMemoryError:
            return None

    def _halve(self, tried: int, replica: _Replica) -> None:
        """Halve the number of images per pass after a pass of `tried` images did not fit.

        Raises:
            DeclarationError: It was one image.
        """
        import torch

        device = replica.device.device
        if tried == 1:
            raise DeclarationError(f"{self._name}: the memory of {device} does not hold a pass of one image")
        with self._lock:
            if self._part > tried // 2:  # otherwise another thread has halved it
                self._part = tried // 2
                log.warning("%s: %s out of memory with batches of %d; now %d", self._name, device, tried, self._part)
        torch.cuda.empty_cache()

    def _fitting_batch(self, model: Model) -> int:
        """Return the declared batch on the CPU; otherwise one that the free memory of every device holds."""
        from imrec_core.models.torch_device import CudaDevice

        devices = [replica.device for replica in self._replicas if isinstance(replica.device, CudaDevice)]
        if not devices:
            return model.batch
        image_bytes = self._image_bytes(model, devices[0])
        free = min(device.free_bytes() for device in devices)
        side = model.preprocess.crop
        return choose_batch(free, image_bytes, side * side * 3) if image_bytes else LEAST_BATCH

    def _image_bytes(self, model: Model, device: CudaDevice) -> int:
        """Measure the memory that a pass takes per image; 0 if a small one does not fit."""
        side = model.preprocess.crop
        pixels = np.zeros((_PROBE, side, side, 3), np.uint8)
        fits: list[bool] = []

        def work() -> None:
            pending = self._start(self._replicas[0], pixels)
            fits.append(pending is not None)
            if pending:
                pending()

        work()  # the first pass also takes memory that libraries keep
        peak = device.peak_bytes(work)
        return max(peak // _PROBE, 1) if all(fits) else 0


def choose_batch(free: int, image_bytes: int, input_bytes: int) -> int:
    """Choose the number of images per pass of a CUDA device.

    Args:
        free: Free memory of the device in bytes.
        image_bytes: Memory that a pass takes per image, in bytes.
        input_bytes: Pixels of one image, in bytes.

    Returns:
        A power of two from 16 to 512: the largest whose pass takes at most half of the free memory, and whose pixels
        take at most 100 MB.
    """
    most = int(min(_SHARE * free / image_bytes, _INPUT_BYTES / input_bytes, LARGEST_BATCH))
    return max(1 << most.bit_length() >> 1, LEAST_BATCH)


def _replica(model: Model, device: Device) -> _Replica:
    """Load the network onto a device; a copy of the one on another device might not be possible."""
    import torch

    module = torch_module(model).to(device.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _Replica(device, module)
