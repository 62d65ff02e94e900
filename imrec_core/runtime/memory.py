"""When memory is freed: what glibc's allocator keeps, and when Python looks for cycles."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt
_LARGE, _USUAL = 256 << 20, 32 << 20  # bytes; glibc raises its thresholds to 32 MB at most by itself


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Keep freed memory for reuse during the block, then return it to the system. Only glibc needs and has this.

    Each decoded image is a large block. To return it and to fault in a new one, in several threads, cost 6 % of the
    whole extraction (2026-11).
    """
    _set_thresholds(_LARGE)
    try:
        yield
    finally:
        _set_thresholds(_USUAL)
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _set_thresholds(size: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, size)


@contextmanager
def cycle_collection_paused() -> Iterator[None]:
    """Pause Python's search for reference cycles during a block that makes many small objects without any."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
