"""Translation of errors of the operating system into `ImrecError`s of one line that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from imrec_core.errors import LakeError, StorageDenied, StorageFault, StorageFull

TRANSIENT = {
    errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH,
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ENOTCONN,
}  # fmt: skip
"""Errors of a disk that another try may not meet."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)


def is_of_system(error: BaseException) -> bool:
    """Return whether the operating system raised an error, so that it says nothing about the content of a file."""
    return isinstance(error, OSError) and error.errno is not None


def to_lake_error(error: OSError, folder: object = None) -> LakeError:
    """Convert an error of the operating system.

    Args:
        folder: Path that was being used, for errors that name no file.
    """
    path = folder if error.filename is None else error.filename
    where = "" if path is None else f"{os.fsdecode(path) if isinstance(path, bytes) else path}: "
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if error.errno in _FULL:
        disk = "the disk" if path is None else f"the disk of {folder or path}"
        return StorageFull(f"no space left on {disk}; free some and run: imrec build (completed shards are kept)")
    if error.errno in _DENIED:
        return StorageDenied(f"{where}{reason}; change its permissions, or use a folder that you may write to")
    if error.errno in _TOO_MANY_FILES:
        return LakeError(f"{where}{reason}; close other programs, or raise the limit with: ulimit -n 4096")
    if error.errno in TRANSIENT:
        return StorageFault(f"{where}{reason}; completed shards are kept, run the command again")
    return LakeError(f"{where}{reason}; check the disk and run the command again, which makes again what is missing")


@contextmanager
def translate_os_errors(folder: os.PathLike[str] | None = None) -> Iterator[None]:
    """Raise a `LakeError` with advice for an `OSError` of the block; also a decorator.

    A closed pipe or connection of the caller stays what it is.

    Args:
        folder: Folder that the block uses, for errors that name no file.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise to_lake_error(error, folder) from error
