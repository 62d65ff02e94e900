"""Arrays in mapped temporary files: equal to their originals, gone with them, and in memory if the disk is full."""

from __future__ import annotations

import errno
import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest

from imrec_core.duplicates import mapped_arrays
from imrec_core.duplicates.mapped_arrays import MappedArrays


def various():
    random = np.random.default_rng(0)
    return [
        random.random((7, 2), np.float32),
        random.integers(0, 256, (7, 128), np.uint8),
        np.empty((0, 2), np.float32),
        random.integers(0, 256, 3, np.uint8),
        random.integers(0, 256, 5000, np.uint8),  # larger than a file
        random.random(9),
    ]


def mapped_bytes(folder):
    lines = Path("/proc/self/maps").read_text().splitlines()
    bounds = [line.split()[0].split("-") for line in lines if f"{folder}/" in line]
    return sum(int(end, 16) - int(start, 16) for start, end in bounds)


def test_copies_equal_their_originals_and_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_arrays, "_SIZES", (256, 1024))
    arrays, originals = MappedArrays(tmp_path / "new"), various() * 3
    copies = [arrays.copy(array) for array in originals]
    for original, copied in zip(originals, copies, strict=True):
        assert (copied.dtype, copied.shape) == (original.dtype, original.shape)
        assert np.array_equal(original, copied)
        assert copied.flags.aligned
    assert list((tmp_path / "new").iterdir()) == []


def test_files_are_mapped_until_their_arrays_are_gone(tmp_path):
    arrays = MappedArrays(tmp_path)
    copied = [arrays.copy(array) for array in various()]
    assert mapped_bytes(tmp_path) == mapped_arrays._SIZES[0]
    del arrays
    assert mapped_bytes(tmp_path) > 0
    del copied
    gc.collect()
    assert mapped_bytes(tmp_path) == 0


def test_a_full_disk_leaves_the_arrays_in_memory_with_one_warning(tmp_path, monkeypatch, caplog):
    def fail(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    monkeypatch.setattr(mapped_arrays, "_SIZES", (64, 64))
    arrays, originals = MappedArrays(tmp_path), various()
    copies = [arrays.copy(array) for array in originals]
    assert all(map(np.array_equal, originals, copies))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text


@pytest.mark.parametrize("blocked", [True, False])
def test_a_folder_that_cannot_be_made_leaves_the_arrays_in_memory(tmp_path, blocked):
    folder = tmp_path / "folder"
    if blocked:
        folder.write_bytes(b"a file")
    copied = MappedArrays(folder).copy(np.arange(4))
    assert np.array_equal(copied, np.arange(4))
    assert folder.is_dir() is not blocked
