"""When memory is freed: what the allocators of glibc and Arrow keep, and when Python looks for cycles."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from imrec_core.runtime.cpu import cpu_count

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # parameters of mallopt
_KEPT = 256 << 20  # bytes of freed memory that are kept
_LARGE = 32 << 20  # bytes; the largest threshold that glibc sets by itself


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Keep freed memory for reuse during the block, and return it to the system before and after.

    For glibc only. To return the memory of each decoded image and to fault in that of the next, in several threads,
    cost 6 % of the whole extraction (2026-11). Blocks of 32 MB, an image of 8 megapixels, are returned at once: that
    takes little of the time in which they are decoded, and each thread would keep several.
    """
    return_freed_memory()
    # By default eight arenas per core: threads of one shard after another fill them, and each keeps a few images.
    _call("mallopt", _ARENA_MAX, 2 * cpu_count())
    _call("mallopt", _MMAP_THRESHOLD, _LARGE)
    _call("mallopt", _TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        _call("mallopt", _TRIM_THRESHOLD, _LARGE)
        return_freed_memory()


def return_freed_memory() -> None:
    """Return memory that was freed, also within the heap, to the system (glibc and Arrow)."""
    pa.default_memory_pool().release_unused()
    _call("malloc_trim", 0)


def _call(function: str, *arguments: int) -> None:
    """Call a function of glibc's allocator; other libraries lack it."""
    if (found := getattr(ctypes.CDLL(None), function, None)) is not None:
        found(*arguments)


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
