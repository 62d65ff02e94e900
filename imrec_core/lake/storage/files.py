"""Files of a lake and of sources, on a disk or in an object store, by paths that look alike.

A local path is a `pathlib.Path`, all others are `UPath`s of fsspec. A file appears whole or not at all: on a disk it
is moved into place, an object is put in one piece. Faults that may pass are tried again, and then told as
`StorageFault`; a file that is missing or refused is an `OSError` at once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from imrec_core.errors import LakeError, StorageFault, StorageFull
from imrec_core.lake.storage import object_store
from imrec_core.lake.storage.retry import retry

if TYPE_CHECKING:
    from upath import UPath

AnyPath: TypeAlias = "Path | UPath"

TEMPORARY = ".writing-"
_HERE = hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()  # machines may share a disk
_OLD = 86400.0  # seconds after which nobody is still writing
_PASSING = {
    errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH,
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ENOTCONN,
}  # fmt: skip


@dataclass(frozen=True)
class Status:
    """What tells whether a file is as it was.

    Attributes:
        version: Inode and time on a disk, the entity tag of an object.
    """

    byte_size: int
    version: str


# -- paths --------------------------------------------------------------------------------------------------


def is_url(text: str) -> bool:
    """Whether a person wrote a URL, not a local path."""
    return "://" in text


def is_remote(path: object) -> bool:
    """Whether a path is one of an object store."""
    return hasattr(path, "protocol") and not isinstance(path, Path)


def place(text: str | os.PathLike[str] | AnyPath) -> AnyPath:
    """The path that a person wrote: a local one, or a URL such as `s3://bucket/prefix`.

    Raises:
        LakeError: Nothing is known of such URLs.
    """
    if not isinstance(text, str):
        return text if is_remote(text) else Path(text)  # type: ignore[return-value, arg-type]
    if not is_url(text):
        return Path(text)
    from upath import UPath  # here: it is slow to import, and most lakes are local

    protocol, _, rest = text.partition("://")
    if protocol == "file":
        return Path(rest)
    try:
        return UPath(text.rstrip("/"), use_listings_cache=False)  # which nobody tells what others write
    except ValueError as error:
        raise LakeError(f"{text}: {error}; give a folder or a URL such as s3://bucket/prefix") from error


def below(base: AnyPath, text: str) -> AnyPath:
    """The path that a person wrote in a file of the folder `base`: a URL, or a path that may be relative to it."""
    if is_url(text):
        return place(text)
    local = Path(text).expanduser()
    return local if local.is_absolute() else base / text


def cache_folder(root: AnyPath, base: str) -> Path:
    """A local folder for what belongs to a remote lake, below `base`."""
    return Path(base) / "lakes" / hashlib.blake2b(str(root).encode(), digest_size=8).hexdigest()


# -- reading ------------------------------------------------------------------------------------------------


def read_bytes(path: AnyPath, byte_size: int | None = None) -> bytes:
    """All bytes of a file.

    Args:
        byte_size: What a listing said of an object, which saves a request.

    Raises:
        OSError: It is not there, is refused, or a disk cannot read it.
        StorageFault: The object store failed, or what came is not all of it.
    """
    if not isinstance(path, Path):
        return object_store.read(path, byte_size)
    return retry(path.read_bytes, _may_pass)


def read_listed(path: AnyPath) -> bytes:
    """All bytes of a file, as `read_bytes`; the size of an object is taken from a listing, which saves a request."""
    if isinstance(path, Path):
        return read_bytes(path)
    found = status(path)
    return read_bytes(path, found.byte_size if found else None)


def read_text(path: AnyPath) -> str | None:
    """The text of a file in UTF-8; None where there is none."""
    try:
        return read_listed(path).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _may_pass(error: Exception) -> bool:
    """Whether it is a fault of a network disk that may be back in a moment."""
    return isinstance(error, OSError) and error.errno in _PASSING


def status(path: AnyPath) -> Status | None:
    """Size and version of a file; None where it is not there. Of an object they may be two seconds old.

    Raises:
        StorageFault: The object store failed.
    """
    if not isinstance(path, Path):
        entry = object_store.listed(path.parent).get(path.name)
        return None if entry is None else Status(object_store.size_of(entry), object_store.version_of(entry))
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Status(found.st_size, f"{found.st_ino}-{found.st_mtime_ns}")


def exists(path: AnyPath) -> bool:
    """Whether there is a file, or a folder that holds something; see `status`."""
    return status(path) is not None


def names(folder: AnyPath) -> list[str]:
    """What lies in a folder, sorted; nothing where there is none. In an object store it may be two seconds old.

    Raises:
        StorageFault: The object store failed.
    """
    if not isinstance(folder, Path):
        return sorted(object_store.listed(folder))
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def fingerprint(path: AnyPath) -> tuple[int, int] | None:
    """Size and time of a file now, as a scan notes them; None where it is not there.

    Raises:
        StorageFault: The object store failed.
    """
    if not isinstance(path, Path):
        entry = object_store.entry(path)
        return None if entry is None else (object_store.size_of(entry), object_store.time_of(entry))
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a NUL in the name
        return None
    return found.st_size, found.st_mtime_ns


def is_away(folder: AnyPath) -> bool:
    """Whether a folder is missing or empty, as where a disk is not mounted or an object store cannot be reached."""
    try:
        if not isinstance(folder, Path):
            return object_store.entry(folder) is None  # there are no empty folders in an object store
        return next(folder.iterdir(), None) is None
    except (OSError, LakeError):
        return True


def forget_listings(path: AnyPath) -> None:
    """Have the next look see what others have written since, to an object or below a folder."""
    if not isinstance(path, Path):
        object_store.forget(path)


# -- writing ------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: AnyPath) -> Iterator[Path]:
    """A local file to write, which takes the place of `path` when the block ends well; on a disk also a folder.

    Raises:
        StorageFull: The disk took no more; what stood there before is untouched.
        StorageFault: The disk or the object store failed.
    """
    if not isinstance(path, Path):
        with _translate_os_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="imrec-") as folder:
            temporary = Path(folder) / path.name
            yield temporary
            object_store.upload(temporary, path)
        return
    with _translate_os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with moved_into_place(path) as temporary:
            yield temporary


@contextmanager
def moved_into_place(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder that replaces `path` when the block ends without an error.

    Raises:
        OSError: As the disk raises it; `replacing` translates it.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{_HERE}-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def _translate_os_errors(folder: Path) -> Iterator[None]:
    """What a disk refuses to write, as errors that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"no space left on the disk of {folder}; free some and run: imrec build (what is done is kept)"
            ) from error
        if error.errno in _PASSING:
            raise StorageFault(f"{folder}: {error.strerror}; what is finished is kept, try again later") from error
        raise


def write_bytes(path: AnyPath, data: bytes) -> None:
    """Write a file whole; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: AnyPath, text: str) -> None:
    """Write a file whole, in UTF-8; see `replacing`."""
    write_bytes(path, text.encode())


def sweep(root: Path) -> None:
    """Remove what processes of this machine that no longer run left half written, and what is old from any."""
    for left in root.rglob(f"{TEMPORARY}*"):
        pid, _, rest = left.name.removeprefix(TEMPORARY).partition("-")
        if not pid.isdecimal():
            continue
        with suppress(FileNotFoundError):  # it is written by now
            is_dead = rest.startswith(f"{_HERE}-") and not is_running(int(pid))
            if is_dead or time.time() - left.stat().st_mtime > _OLD:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def is_temporary(name: str) -> bool:
    """Whether it is the name of a file that is being written."""
    return name.startswith(TEMPORARY)


def is_running(pid: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
