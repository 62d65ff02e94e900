"""A lake of real photos, built with the command-line tool; for slow tests on machines that have the photos."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from imrec_core import Lake
from tests.support.running import environment

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "../shared/data/photos/images"

# Names of the copies, with the photos that they are made of.
COPIES = {
    "exact.jpg": "corel_buses/corel_354.jpg",
    "encoded.jpg": "corel_roses/corel_601.jpg",
    "smaller.jpg": "corel_mountains/corel_867.jpg",
}


def real_lake(folder: Path) -> Lake:
    """Build a lake of the photos and three copies, with the default features and a map.

    Skips the test if the photos are missing.
    """
    if not PHOTOS.is_dir():
        pytest.skip(f"needs the real photos in {PHOTOS.relative_to(ROOT)}")
    shutil.copytree(PHOTOS, folder / "photos", copy_function=shutil.copyfile)
    _write_copies(folder / "photos", folder / "copies")
    lake = Lake(folder / "lake")
    build = ("build", *(f"{name}={folder / name}" for name in ("photos", "copies")))
    for arguments in (build, ("map",)):
        with start_command(*arguments, lake=lake) as running:
            assert running.wait() == 0
    return lake


def _write_copies(photos: Path, folder: Path) -> None:
    folder.mkdir()
    exact, encoded, smaller = COPIES
    shutil.copyfile(photos / COPIES[exact], folder / exact)
    with Image.open(photos / COPIES[encoded]) as photo:
        photo.save(folder / encoded, quality=60)
    with Image.open(photos / COPIES[smaller]) as photo:
        photo.resize((photo.width * 2 // 3, photo.height * 2 // 3)).save(folder / smaller, quality=90)


def start_command(*arguments: str, lake: Lake) -> subprocess.Popen[bytes]:
    """Start the command-line tool on a lake, as a process."""
    command = [sys.executable, "-m", "imrec_dagster.cli", *arguments]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, env=environment(lake, lake.dagster_home), stdout=quiet, stderr=quiet)


def copy_lake(lake: Lake, folder: Path) -> Lake:
    """Copy a lake; the copy uses the same photos."""
    return Lake(shutil.copytree(lake.root, folder / "lake"))
