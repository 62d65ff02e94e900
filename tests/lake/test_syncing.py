"""Files and folders are written through to the disk before they count."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from imrec_core.index.build import build_generation
from imrec_core.lake.storage import files
from tests.support import toy


@pytest.fixture
def steps(monkeypatch) -> list[tuple[str, str]]:
    """Syncs and moves, in their order, with the name of the file or folder."""
    found: list[tuple[str, str]] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(handle: int) -> None:
        found.append(("sync", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        sync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        found.append(("move", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return found


def plain(steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(step, name.rpartition("-")[2] if name.startswith(files.TEMPORARY) else name) for step, name in steps]


def test_file_is_synced_before_it_is_moved_and_its_folder_after(tmp_path, steps):
    files.write_text(tmp_path / "file", "text")
    assert plain(steps) == [("sync", "file"), ("move", "file"), ("sync", tmp_path.name)]
    steps.clear()
    files.write_bytes(tmp_path / "thumbnail", b"", synced=False)
    assert plain(steps) == [("move", "thumbnail")]


def test_generation_is_synced_before_current_names_it(tmp_path, steps):
    lake = toy.vector_lake(tmp_path / "lake", {"phash": np.arange(20, dtype=np.uint64)[:, None]})
    steps.clear()
    build_generation(lake)
    done = plain(steps)
    written = sorted(path.name for path in lake.generation_path("000001").iterdir())
    assert done[: len(written)] == [("sync", name) for name in written]
    assert done[len(written) :] == [
        *(("sync", "000001"), ("move", "000001"), ("sync", "generations")),
        *(("sync", "CURRENT"), ("move", "CURRENT"), ("sync", "generations")),
    ]
