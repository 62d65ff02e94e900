"""Scanning many files: the first time, and again with nothing new; each in a process of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from imrec_core.catalog import manifests
from imrec_core.lake.lake import Lake
from tests.benchmarks.alone import Alone, alone, clocked
from tests.benchmarks.rows import Row

if TYPE_CHECKING:  # not for the processes that scan: a scan loads less
    from tests.benchmarks.testbed import Testbed

_IN_A_FOLDER = 5000
_LINKS = 10_000  # of one file; ext4 has room for 65,000


def measure(work: Testbed) -> list[Row]:
    """Hard links of photos: a scan opens no file."""
    photos = work.folder / "catalog"
    _link(work, photos)
    lake = work.new_lake("lake-catalog", photos)
    first, again = (alone(__name__, "scanned", str(lake.root)) for _ in range(2))
    shutil.rmtree(photos)
    shutil.rmtree(lake.root)
    assert (first.result["new"], again.result["unchanged"]) == (work.files, work.files)
    promised = max(work.files / 500_000, 1)
    return [
        Row("files", work.files, "", f"{_IN_A_FOLDER} in a folder"),
        Row("scanned", first.seconds, "s", "and manifests written"),
        Row("scanned again", again.seconds, "s", "nothing new", at_most=8 * promised),
        *memory({"scanned": first, "scanned again": again}, at_most=500),
    ]


def memory(stages: dict[str, Alone], at_most: float | None = None) -> list[Row]:
    """Peaks of stages that were alone."""
    return [
        Row(
            f"peak memory, {stage}",
            of.peak / 1e6,
            "MB",
            f"{of.own_peak / 1e6:,.0f} MB its own, beyond imports",
            at_most=at_most,
        )
        for stage, of in stages.items()
    ]


def _link(work: Testbed, into: Path) -> None:
    """Files below `into` that take no room; a file is copied again when it has many links."""
    photos = sorted(path for path in work.photos.rglob("*") if path.is_file())
    for i in range(work.files):
        if i % _IN_A_FOLDER == 0:
            folder = into / f"{i // _IN_A_FOLDER:04d}"
            folder.mkdir(parents=True)
        copy = into / f"{i % len(photos)}.copy"  # an ending that no picture has
        if i % (_LINKS * len(photos)) < len(photos):
            copy.unlink(missing_ok=True)
            shutil.copyfile(photos[i % len(photos)], copy)
        os.link(copy, folder / f"photo_{i:07d}.jpg")


def scanned(root: str) -> dict[str, int]:
    with clocked():
        found = manifests.update(Lake(root))
    return {"new": found.new, "unchanged": found.unchanged}
