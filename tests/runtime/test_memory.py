"""Memory that is kept for a while, and garbage that is not looked for."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from imrec_core import FEATURES
from imrec_core.catalog import manifests
from imrec_core.extraction.extract import extract_shards
from imrec_core.runtime.memory import cycle_collection_paused, keeping_freed_memory
from tests.support import toy

reads_memory = pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the process from /proc")


def resident_bytes() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))


def use_and_free() -> tuple[int, np.ndarray]:
    """Use 160 MB and free it; return the bytes in use before, and what keeps the heap from shrinking at its end."""
    blocks = [np.ones(8 << 20, np.uint8) for _ in range(20)]
    used = resident_bytes()
    return used, blocks.pop()


@reads_memory
def test_freed_memory_is_returned_after_the_block():
    with keeping_freed_memory():
        used, _last = use_and_free()
        assert resident_bytes() > used - 100_000_000
    assert resident_bytes() < used - 100_000_000


@reads_memory
def test_extraction_returns_freed_memory_after_each_shard(tmp_path):
    toy.write_photos(tmp_path / "photos", range(4))
    lake = toy.new_lake(tmp_path / "lake", ("phash",), shard_size=2)
    manifests.update(lake)
    extracted = extract_shards(lake, lake.live_shards(), [FEATURES["phash"]])
    next(extracted)
    used, _last = use_and_free()
    next(extracted)
    assert resident_bytes() < used - 100_000_000
    assert list(extracted) == []


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
