"""Devices on which torch runs networks: copies of inputs and results, memory, and precision.

This module imports torch; import it in functions only.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from imrec_core.errors import DeclarationError
from imrec_core.models.encoder_protocol import Pending, Pixels

Network = Callable[[torch.Tensor], torch.Tensor]
"""From pixels `(n, crop, crop, 3)` to vectors `(n, dims)`, both on one device."""


class Device(Protocol):
    """A device on which torch runs networks.

    Attributes:
        device: The device as torch knows it.
        has_bf16: Whether it computes in bf16, not by emulation.
    """

    device: torch.device

    @property
    def has_bf16(self) -> bool: ...

    def run(self, network: Network, pixels: Pixels) -> Pending:
        """Start a network on pixels in memory, which may change afterwards; call the result for the vectors.

        Raises:
            torch.OutOfMemoryError: The memory of the device is full.
        """
        ...


def open_devices(names: Sequence[str]) -> list[Device]:
    """Open devices by their names, as `parse_devices` returns them, other than `auto`.

    Raises:
        DeclarationError: torch does not find one of them.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for name in names:
        if name != "cpu" and not count:
            raise DeclarationError(f"device {name}: torch finds no CUDA device; use --device cpu")
        if name != "cpu" and int(name.removeprefix("cuda:")) >= count:
            known = ", ".join(f"cuda:{number}" for number in range(count))
            raise DeclarationError(f"device {name}: torch does not find it; CUDA devices of this machine: {known}")
    return [CpuDevice() if name == "cpu" else CudaDevice(torch.device(name)) for name in names]


class CpuDevice:
    """The CPU, which reads the pixels where they are."""

    has_bf16 = True  # emulated where the CPU lacks it; the vectors are the same

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def run(self, network: Network, pixels: Pixels) -> Pending:
        vectors = network(torch.from_numpy(pixels))
        return lambda: vectors.float().numpy()


class CudaDevice:
    """A CUDA device. Its copies and its computations overlap, and no call waits for a computation.

    Args:
        device: The device; buffers are page-locked if it is a CUDA device.
        cuda: `torch.cuda`, or functions in its place.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        self.device, self._cuda = device, cuda
        self._copies = cuda.Stream(device)
        self._slots = deque([_Slot(cuda), _Slot(cuda)])  # one is copied while the network reads the other
        self._lock = threading.Lock()

    @property
    def has_bf16(self) -> bool:
        with self._cuda.device(self.device):
            return bool(self._cuda.is_bf16_supported(including_emulation=False))

    def run(self, network: Network, pixels: Pixels) -> Pending:
        with self._lock, self._cuda.device(self.device):
            compute = self._cuda.current_stream(self.device)
            slot = self._slots[0]
            self._slots.rotate(-1)
            inputs = self._load(slot, pixels, compute)
            try:
                vectors = network(inputs).float()
            finally:  # also of a network that ran out of memory half-way
                slot.consumed.record(compute)
            # torch's allocator of page-locked memory reuses these small buffers, and waits for their copies itself.
            host = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=self._pins)
            self._copy(vectors, host, compute)
            done = self._cuda.Event(blocking=True)
            done.record(compute)

        def collect() -> Any:
            done.synchronize()
            return host.numpy()

        return collect

    @property
    def _pins(self) -> bool:
        return self.device.type == "cuda"

    def _load(self, slot: _Slot, pixels: Pixels, compute: Any) -> torch.Tensor:
        """Start copying pixels to the device; computations that start later wait for the copy."""
        slot.copied.synchronize()  # until then the copy before reads the page-locked buffer
        if slot.host.shape[1:] != pixels.shape[1:] or len(slot.host) < len(pixels):
            # The device first: if its memory is full, the buffers still have one length.
            inputs = torch.empty(pixels.shape, dtype=torch.uint8, device=self.device)
            slot.host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=self._pins)
            slot.inputs = inputs
            slot.consumed.record(compute)  # computations that started before may still use this memory
        host, inputs = slot.host[: len(pixels)], slot.inputs[: len(pixels)]
        host.numpy()[:] = pixels
        self._copies.wait_event(slot.consumed)
        self._copy(host, inputs, self._copies)
        slot.copied.record(self._copies)
        compute.wait_event(slot.copied)
        return inputs

    def _copy(self, source: torch.Tensor, target: torch.Tensor, stream: Any) -> None:
        """Start a copy in a stream; neither tensor may change until it is complete."""
        with self._cuda.stream(stream):
            target.copy_(source, non_blocking=True)

    def free_bytes(self) -> int:
        """Return the free memory of the device, after returning what torch keeps for later."""
        with self._cuda.device(self.device):
            self._cuda.empty_cache()
            free, _ = self._cuda.mem_get_info(self.device)
        return int(free)

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """Return the most memory that some work takes in addition to what is in use."""
        with self._cuda.device(self.device):
            self._cuda.synchronize(self.device)
            before = self._cuda.memory_allocated(self.device)
            self._cuda.reset_peak_memory_stats(self.device)
            work()
            self._cuda.synchronize(self.device)
            return int(self._cuda.max_memory_allocated(self.device) - before)


class _Slot:
    """Two buffers for inputs of a network, one page-locked and one on the device.

    Attributes:
        copied: Recorded when the copy from `host` to `inputs` is complete.
        consumed: Recorded when the network has read `inputs`.
    """

    def __init__(self, cuda: Any) -> None:
        self.host = self.inputs = torch.empty(0, dtype=torch.uint8)
        self.copied, self.consumed = cuda.Event(blocking=True), cuda.Event()
