"""Temporary files of writes that were killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from imrec_core.lake.storage.files import TEMPORARY, THIS_MACHINE, is_running

_MAX_AGE = 86400.0  # seconds after which no process is still writing


def sweep(root: Path) -> None:
    """Remove temporary files of dead processes of this machine, and those of any machine that are a day old."""
    for path in unfinished(root):
        with suppress(FileNotFoundError):  # its process has finished it
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def unfinished(root: Path) -> Iterator[Path]:
    """Yield the temporary files and folders that `sweep` removes."""
    for path in root.rglob(f"{TEMPORARY}*"):
        pid, _, rest = path.name.removeprefix(TEMPORARY).partition("-")
        if not pid.isdecimal():
            continue
        with suppress(FileNotFoundError):
            is_dead = rest.startswith(f"{THIS_MACHINE}-") and not is_running(int(pid))
            if is_dead or time.time() - path.stat().st_mtime > _MAX_AGE:
                yield path
