"""Write files through to the disk before they count, so that a power cut leaves the old or the new content."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def sync(path: Path) -> None:
    """Write a file through to the disk, or a folder with the files in it.

    Raises:
        OSError: The disk is full or failed.
    """
    if path.is_dir():
        for file in sorted(path.iterdir()):
            sync(file)
        sync_folder(path)
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder through to the disk, where the system can open folders."""
    with suppress(OSError):  # Windows, and some network disks
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
