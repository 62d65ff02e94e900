"""Memory that is kept for a while, and garbage that is not looked for."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from imrec_core.runtime.memory import cycle_collection_paused, keeping_freed_memory


def resident_bytes() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the process from /proc")
def test_freed_memory_is_returned_after_the_block():
    with keeping_freed_memory():
        blocks = [np.ones(8 << 20, np.uint8) for _ in range(20)]
        used = resident_bytes()
        del blocks[:-1]  # the last one keeps the heap from shrinking at its end
    assert resident_bytes() < used - 100_000_000


def test_cycles_are_collected_again_after_an_error():
    with pytest.raises(ValueError, match="stop"), cycle_collection_paused():
        assert not gc.isenabled()
        raise ValueError("stop")
    assert gc.isenabled()


def test_collection_that_was_off_stays_off():
    gc.disable()
    try:
        with cycle_collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
