"""What processes of one machine keep from each other: the same work at the same time, folders that are being read."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock
from filelock import Timeout as LockTimeout

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Do some work that no other process does meanwhile; waits for one that does, and says so.

    What has been done by then is seen by whoever waited. The lock of a process that is killed goes with it.

    Args:
        path: Of the lock, without an ending; its name says what is done, its folder's folder where.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except LockTimeout:
        where, work = path.parent.parent, path.name
        log.warning("%s: waiting for %s, which is at work on: %s", where, _holder(path), work)
        lock.acquire()
    try:
        with suppress(OSError):  # only for those who wait to say it
            path.with_suffix(".holder").write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    try:
        return path.with_suffix(".holder").read_text() or "another process"
    except OSError:
        return "another process"


def hold(path: Path) -> IO[bytes]:
    """Open a file, so that whoever would remove its folder sees that it is read; until the file is closed.

    Across the processes of one machine. Without `flock` nobody sees it, but what is open or mapped can still be read.
    """
    file = path.open("rb")
    if fcntl is not None:
        with suppress(OSError):  # some network disks know no locks
            fcntl.flock(file, fcntl.LOCK_SH)
    return file


def remove_unless_held(folder: Path, name: str) -> None:
    """Remove a folder unless its file of that name is held; who opens that meanwhile waits, and finds it gone."""
    with ExitStack() as held:
        if fcntl is not None and (folder / name).exists():
            file = held.enter_context((folder / name).open("rb"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            except OSError:  # as in `hold`
                pass
        shutil.rmtree(folder, ignore_errors=True)
