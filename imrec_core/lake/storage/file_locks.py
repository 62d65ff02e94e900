"""Locks between the processes of one machine: exclusive locks for work, shared locks for folders being read."""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes of this machine.

    If another process holds it, log a warning and wait. The operating system releases the lock when its holder dies.

    Args:
        path: Path of the lock without a suffix: `<lake>/<folder>/<work>`.
    """
    from filelock import FileLock
    from filelock import Timeout as LockTimeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except LockTimeout:
        where, work = path.parent.parent, path.name
        log.warning("%s: waiting for %s, which is at work on: %s", where, _holder(path), work)
        lock.acquire()
    try:
        with suppress(OSError):  # only the warning of a waiting process needs it
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
    """Open a file with a shared lock, so that `remove_unless_held` keeps its folder until the file is closed.

    The lock works between processes of one machine. Without `flock`, the folder may be removed, but open and mapped
    files stay readable.
    """
    file = path.open("rb")
    if fcntl is not None:
        with suppress(OSError):  # some network disks have no locks
            fcntl.flock(file, fcntl.LOCK_SH)
    return file


@contextmanager
def marked(file: Path) -> Iterator[None]:
    """Hold a file with a shared lock, for `is_held`; several processes may. Does nothing where the disk refuses."""
    with ExitStack() as held:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            held.enter_context(hold(file))
        yield


def is_held(folder: Path, name: str) -> bool:
    """Return whether a process holds the file of that name in a folder."""
    if fcntl is None or not (folder / name).exists():
        return False
    try:
        with (folder / name).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # as in `hold`
        pass
    return False


def remove_unless_held(folder: Path, name: str) -> None:
    """Remove a folder unless a process holds its file of that name.

    A process that calls `hold` during the removal waits, and then finds no file.
    """
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
