"""A stand-in for `torch.cuda` and a CUDA device, on the CPU, that carries out all work as late as possible."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch

from imrec_core.models.torch_device import CudaDevice


class Event:
    """Mark in a stream; waiting for it carries out the work that the stream was given before."""

    def __init__(self, blocking: bool = False) -> None:
        self._until: tuple[Stream, int] | None = None

    def record(self, stream: Stream) -> None:
        self._until = (stream, stream.given)

    def synchronize(self) -> None:
        self.as_recorded()()

    def as_recorded(self) -> Callable[[], None]:
        """Return a function that waits for what is recorded now, even if the event is recorded again."""
        if self._until is None:
            return lambda: None
        stream, given = self._until
        return lambda: stream.carry_out(given)


class Stream:
    """Work in order, carried out only when an event behind it is waited for."""

    def __init__(self) -> None:
        self.given = self.done = 0
        self._work: list[Callable[[], object]] = []

    def add(self, work: Callable[[], object]) -> None:
        self._work.append(work)
        self.given += 1

    def wait_event(self, event: Event) -> None:
        self.add(event.as_recorded())

    def carry_out(self, given: int) -> None:
        while self.done < given:
            self.done += 1
            self._work.pop(0)()


class FakeCuda:
    """Functions of `torch.cuda` that `CudaDevice` calls.

    Attributes:
        free: Free memory in bytes.
        per_image: Memory of a pass per image; a pass that takes more than `free` raises `torch.OutOfMemoryError`.
    """

    def __init__(self, *, free: int = 10**9, per_image: int = 1, has_bf16: bool = True) -> None:
        self.free, self.per_image, self._has_bf16 = free, per_image, has_bf16
        self.compute, self.peak = Stream(), 0
        self.copies: list[Stream] = []
        self.Event = Event

    def Stream(self, device: Any) -> Stream:
        self.copies.append(Stream())
        return self.copies[-1]

    def device(self, device: Any) -> Any:
        return nullcontext()

    def stream(self, stream: Stream) -> Any:
        return nullcontext()

    def current_stream(self, device: Any) -> Stream:
        return self.compute

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        return including_emulation or self._has_bf16

    def synchronize(self, device: Any) -> None:
        self.compute.carry_out(self.compute.given)

    def empty_cache(self) -> None:
        pass

    def mem_get_info(self, device: Any) -> tuple[int, int]:
        return self.free, 2 * self.free

    def memory_allocated(self, device: Any) -> int:
        return 7

    def reset_peak_memory_stats(self, device: Any) -> None:
        self.peak = 7

    def max_memory_allocated(self, device: Any) -> int:
        return self.peak


class FakeCard(CudaDevice):
    """A CUDA device whose copies and passes are carried out when their results are waited for.

    Attributes:
        sizes: Number of images of each pass, also of those that did not fit.
    """

    def __init__(self, cuda: FakeCuda | None = None) -> None:
        self.cuda = cuda or FakeCuda()
        super().__init__(torch.device("cpu"), self.cuda)
        self.sizes: list[int] = []

    def run(self, network: Any, pixels: Any) -> Any:
        self.sizes.append(len(pixels))
        needed = len(pixels) * self.cuda.per_image

        def late(inputs: torch.Tensor) -> torch.Tensor:
            if needed > self.cuda.free:
                raise torch.OutOfMemoryError("full")
            self.cuda.peak = max(self.cuda.peak, 7 + needed)
            vectors = torch.full_like(network(torch.zeros_like(inputs)), torch.nan)
            self.cuda.compute.add(lambda: _fill(vectors, network, inputs))
            return vectors

        return super().run(late, pixels)

    def _copy(self, source: torch.Tensor, target: torch.Tensor, stream: Any) -> None:
        stream.add(lambda: _fill(target, lambda given: given, source))


def _fill(target: torch.Tensor, network: Any, source: torch.Tensor) -> None:
    with torch.inference_mode():
        target.copy_(network(source))
