"""Memory that glibc's allocator keeps after it is freed. Other C libraries have no such settings, and need none."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt
_DEFAULT, _LARGE = 128 << 10, 256 << 20  # bytes


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Keep freed memory for reuse during the block, then return it to the system.

    Each decoded image is a large block. To return it and to fault in a new one, in several threads, cost 6 % of the
    whole extraction (2026-11).
    """
    _set_thresholds(_LARGE)
    try:
        yield
    finally:
        _set_thresholds(_DEFAULT)
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _set_thresholds(size: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, size)
