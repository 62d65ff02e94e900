"""Reading and atomic writing of files, on local disks and in object stores.

A local path is a `pathlib.Path`; all others are `UPath`s of fsspec. Writes are atomic: a local file is moved into
place, an object is uploaded in one request. Transient faults are retried and then raised as `StorageFault`. A missing
file or missing permission raises an `OSError` at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from imrec_core.errors import LakeError
from imrec_core.lake.storage import object_store, regular_files
from imrec_core.lake.storage.os_errors import TRANSIENT, translate_os_errors
from imrec_core.lake.storage.retry import retry
from imrec_core.lake.storage.syncing import sync, sync_folder

if TYPE_CHECKING:
    from upath import UPath

AnyPath: TypeAlias = "Path | UPath"

TEMPORARY = ".writing-"
"""Prefix of the names of temporary files."""

THIS_MACHINE = hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
"""Part of the names of temporary files, because several machines may share a disk."""


@dataclass(frozen=True)
class Status:
    """Size and version of a file. Equal statuses mean equal content.

    Attributes:
        version: Inode and modification time on a disk; entity tag in an object store.
    """

    byte_size: int
    version: str


# -- paths --------------------------------------------------------------------------------------------------


def is_url(text: str) -> bool:
    """Return whether text is a URL, not a local path."""
    return "://" in text


def is_remote(path: object) -> bool:
    """Return whether a path is in an object store."""
    return hasattr(path, "protocol") and not isinstance(path, Path)


def place(text: str | os.PathLike[str] | AnyPath) -> AnyPath:
    """Convert text to a path: a local path, or a URL such as `s3://bucket/prefix`.

    Raises:
        LakeError: fsspec does not know the protocol of the URL.
    """
    if not isinstance(text, str):
        return text if is_remote(text) else Path(text)  # type: ignore[return-value, arg-type]
    if not is_url(text):
        return Path(text)
    from upath import UPath  # imported here, because it is slow and most lakes are local

    protocol, _, rest = text.partition("://")
    if protocol == "file":
        return Path(rest)
    try:
        return UPath(text.rstrip("/"), use_listings_cache=False)  # that cache misses writes of other processes
    except ValueError as error:
        raise LakeError(f"{text}: {error}; give a folder or a URL such as s3://bucket/prefix") from error


def below(base: AnyPath, text: str) -> AnyPath:
    """Convert text to a path: a URL, or a local path, relative to the folder `base`."""
    if is_url(text):
        return place(text)
    local = Path(text).expanduser()
    return local if local.is_absolute() else base / text


def cache_folder(root: AnyPath, base: str) -> Path:
    """Return the local folder for files of a remote lake, below `base`."""
    return Path(base) / "lakes" / hashlib.blake2b(str(root).encode(), digest_size=8).hexdigest()


# -- reading ------------------------------------------------------------------------------------------------


def read_bytes(path: AnyPath, byte_size: int | None = None, *, at_most: int | None = None) -> bytes:
    """Read the bytes of a regular file, as many as it has when it is opened.

    Args:
        byte_size: Size of an object by a listing, which saves a request.
        at_most: Size above which a file on a disk is refused and not read.

    Raises:
        OSError: The file is missing, no regular file, too large (EFBIG), or cannot be read.
        StorageFault: The object store failed, or returned only a part.
    """
    if not isinstance(path, Path):
        return object_store.read(path, byte_size)
    return retry(lambda: regular_files.read(path, at_most), _is_transient)


def read_listed(path: AnyPath) -> bytes:
    """Read all bytes of a file. The size of an object comes from a listing, which saves a request."""
    if isinstance(path, Path):
        return read_bytes(path)
    found = status(path)
    return read_bytes(path, found.byte_size if found else None)


def read_text(path: AnyPath) -> str | None:
    """Read a file as UTF-8; return None if it is missing. Bytes of a damaged file that are not UTF-8 become `�`."""
    try:
        return read_listed(path).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_transient(error: Exception) -> bool:
    """Return whether an error may be a transient fault of a network disk."""
    return isinstance(error, OSError) and error.errno in TRANSIENT


def status(path: AnyPath) -> Status | None:
    """Return size and version of a file, of an object up to two seconds old; None if it is missing.

    Raises:
        StorageFault: The object store failed.
    """
    if not isinstance(path, Path):
        entry = object_store.cached_listing(path.parent).get(path.name)
        return None if entry is None else Status(object_store.size_of(entry), object_store.version_of(entry))
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Status(found.st_size, f"{found.st_ino}-{found.st_mtime_ns}")


def exists(path: AnyPath) -> bool:
    """Return whether there is a file or a non-empty folder; see `status`."""
    return status(path) is not None


def list_names(folder: AnyPath) -> list[str]:
    """List the names in a folder, sorted, in an object store up to two seconds old; empty if it is missing.

    Raises:
        StorageFault: The object store failed.
    """
    if not isinstance(folder, Path):
        return sorted(object_store.cached_listing(folder))
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def fingerprint(path: AnyPath) -> tuple[int, int] | None:
    """Return the current size and modification time of a file, as a scan records them; None if it is missing.

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
    """Return whether a folder is missing or empty, for example because a disk is not mounted."""
    try:
        if not isinstance(folder, Path):
            return object_store.entry(folder) is None  # there are no empty folders in an object store
        return next(folder.iterdir(), None) is None
    except (OSError, LakeError):
        return True


def invalidate_listings(path: AnyPath) -> None:
    """Drop cached listings of an object store, so that writes of other processes become visible."""
    if not isinstance(path, Path):
        object_store.invalidate(path)


# -- writing ------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: AnyPath, *, synced: bool = True) -> Iterator[Path]:
    """Yield a temporary local path that replaces `path` when the block ends without an error.

    On a disk it may also become a folder.

    Args:
        synced: Whether to write it through to the disk first. Files that can be made again at once need not be.

    Raises:
        StorageFull: The disk is full. An earlier file is unchanged.
        StorageDenied: The folder may not be written.
        StorageFault: The disk or the object store failed.
        LakeError: Another error of the disk.
    """
    if not isinstance(path, Path):
        with translate_os_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="imrec-") as folder:
            temporary = Path(folder) / path.name
            yield temporary
            object_store.upload(temporary, path)
        return
    with translate_os_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with moved_into_place(path, synced=synced) as temporary:
            yield temporary


@contextmanager
def moved_into_place(path: Path, *, synced: bool = False) -> Iterator[Path]:
    """Yield a temporary path for a file or folder that replaces `path` when the block ends without an error.

    Args:
        synced: As for `replacing`.

    Raises:
        OSError: As the disk raises it; `replacing` translates it.
    """
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{THIS_MACHINE}-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        if synced:
            sync(temporary)
        os.replace(temporary, path)
        if synced:
            sync_folder(path.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def set_aside(path: AnyPath, to: Path | None) -> None:
    """Move a local file to another path on its disk, or delete it if there is none.

    Raises:
        OSError: The file is missing, or the disk or its permissions do not allow it.
        StorageFault: The object store failed.
    """
    if not isinstance(path, Path):
        object_store.remove(path)
    elif to is None:
        path.unlink()
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, to)


def write_bytes(path: AnyPath, data: bytes, *, synced: bool = True) -> None:
    """Write a file atomically; see `replacing`."""
    with replacing(path, synced=synced) as temporary:
        temporary.write_bytes(data)


def write_text(path: AnyPath, text: str) -> None:
    """Write a file atomically as UTF-8; see `replacing`."""
    write_bytes(path, text.encode())


def remove(path: AnyPath) -> None:
    """Remove a file, or a folder with its contents, if it exists.

    Raises:
        OSError: The disk denies it.
        StorageFault: The object store failed.
    """
    if not isinstance(path, Path):
        object_store.remove(path)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sizes(path: AnyPath) -> dict[tuple[int, int] | str, int]:
    """Return the size in bytes of each file at or below a path; empty if it is missing.

    The key of a local file is its device and inode, so that two links count once.

    Raises:
        StorageFault: The object store failed.
    """
    found: dict[tuple[int, int] | str, int] = {}
    if not isinstance(path, Path):
        found.update(object_store.sizes(path))
        return found
    stack = [str(path)]
    while stack:
        entry = stack.pop()
        with suppress(OSError):  # removed by another process, or not readable
            status = os.lstat(entry)
            if stat.S_ISDIR(status.st_mode):
                stack += [os.path.join(entry, name) for name in os.listdir(entry)]
            else:
                found[status.st_dev, status.st_ino] = status.st_size
    return found


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a temporary file of a write."""
    return name.startswith(TEMPORARY)


def is_running(pid: int) -> bool:
    """Return whether a process of this machine has that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
