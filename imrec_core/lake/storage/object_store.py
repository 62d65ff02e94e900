"""Requests to object stores through fsspec, with retries of transient faults.

Credentials and endpoints come from the environment, as fsspec and the library of the store expect them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from imrec_core.errors import LakeError, MissingDependency, StorageFault
from imrec_core.lake.storage.retry import retry

if TYPE_CHECKING:
    from upath import UPath

T = TypeVar("T")

CONNECTIONS = 16  # concurrent requests

_PATIENCE = 20.0  # seconds, more than a timeout of s3fs (5 to connect, 15 to read); s3fs has retried longer requests
_MAX_AGE = 2.0  # seconds for which a listing of a folder is cached
_FINAL = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError, LakeError)
_SINGLE_REQUEST = {"s3": {"max_concurrency": 1}}  # otherwise s3fs first requests the size, to read in parts
_EXTRAS = {"s3fs": "s3"}
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")  # of an entry, by store
_VERSIONS = ("ETag", "etag", "md5Hash", *_TIMES)


def send(path: UPath, request: Callable[[], T]) -> T:
    """Call a request with retries, and translate the errors of the store.

    Raises:
        OSError: The object is missing, or access is denied.
        StorageFault: The store failed in all tries.
        LakeError: Credentials are missing.
        MissingDependency: The library of the store is not installed.
    """
    try:
        return retry(request, _is_transient, patience=_PATIENCE)
    except _FINAL:
        raise
    except ImportError as error:
        wanted = str(error).partition("nstall ")[2].split() or [str(error.name)]  # fsspec names the package
        raise MissingDependency(wanted[0].strip(",."), extra=_EXTRAS.get(wanted[0].strip(",."))) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if _lacks_credentials(error):
            raise LakeError(f"{path}: {reason}; give credentials in the environment") from error
        raise StorageFault(f"{path}: {reason}; completed shards are kept, run the command again") from error


def _is_transient(error: Exception) -> bool:
    return not isinstance(error, (*_FINAL, ImportError)) and not _lacks_credentials(error)


def _lacks_credentials(error: Exception) -> bool:
    return "redential" in type(error).__name__  # each library has its own class


class _IncompleteRead(Exception):
    """The store returned fewer bytes than expected."""


# -- reading ------------------------------------------------------------------------------------------------


def read(path: UPath, byte_size: int | None = None) -> bytes:
    """Read all bytes of an object; retry incomplete reads.

    Args:
        byte_size: Size by a listing, which saves a request.

    Raises:
        OSError, LakeError: As for `send`.
    """

    def request() -> bytes:
        data: bytes = path.fs.cat_file(path.path, **_SINGLE_REQUEST.get(path.protocol, {}))
        if len(data) != byte_size:
            size = path.fs.size(path.path)  # the object may have been replaced
            if len(data) != size:
                raise _IncompleteRead(f"{len(data)} bytes came of {size}")
        return data

    return send(path, request)


def read_part(path: UPath, start: int, end: int) -> bytes:
    """Read the bytes of an object from `start` up to `end`, which must not exceed its size.

    Raises:
        OSError, LakeError: As for `send`.
    """

    def request() -> bytes:
        data: bytes = path.fs.cat_file(path.path, start=start, end=end)
        if len(data) != end - start:
            raise _IncompleteRead(f"{len(data)} bytes came of {end - start}")
        return data

    return send(path, request)


def download(path: UPath, file: Path) -> None:
    """Download an object to a local file."""
    send(path, lambda: path.fs.get_file(path.path, str(file)))


# -- listing ------------------------------------------------------------------------------------------------

Entry: TypeAlias = dict[str, Any]
"""Description of an object or a folder by fsspec."""


def entry(path: UPath) -> Entry | None:
    """Return the current entry of an object or a folder; None if it is missing."""
    try:
        return dict(send(path, lambda: path.fs.info(path.path)))
    except FileNotFoundError:
        return None


def listing(folder: UPath) -> list[Entry]:
    """List the current entries of a folder; empty if it is missing.

    Raises:
        StorageFault: The store failed. A fault never yields an empty listing.
    """
    try:
        found: list[Entry] = send(folder, lambda: folder.fs.ls(folder.path, detail=True))
    except FileNotFoundError:
        return []
    return [entry for entry in found if entry["name"].strip("/") != folder.path.strip("/")]


def sizes(path: UPath) -> dict[str, int]:
    """Return the size in bytes of each object at or below a path; empty if there is none."""
    try:
        found = send(path, lambda: path.fs.find(path.path, detail=True))
    except FileNotFoundError:
        return {}
    return {name: size_of(entry) for name, entry in found.items()}


_listings: dict[str, tuple[float, dict[str, Entry]]] = {}  # by folder: time of the listing, and its entries


def cached_listing(folder: UPath) -> dict[str, Entry]:
    """List the entries of a folder by name, up to two seconds old.

    A plan needs the status of every table of every shard, each of which would be a request.
    """
    now = time.monotonic()
    then, entries = _listings.get(str(folder), (now - _MAX_AGE, {}))
    if now - then >= _MAX_AGE:
        entries = {name_of(entry): entry for entry in listing(folder)}
        _listings[str(folder)] = now, entries
    return entries


def invalidate(path: UPath) -> None:
    """Drop the cached listings of a folder, of those below it and of those that contain it."""
    around = {str(path), *map(str, path.parents)}
    for folder in list(_listings):
        if folder in around or folder.startswith(f"{path}/"):
            _listings.pop(folder, None)


def name_of(entry: Entry) -> str:
    """Return the last part of the path of an entry."""
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def size_of(entry: Entry) -> int:
    """Return the size of an entry in bytes; 0 for a folder."""
    return int(entry.get("size") or 0)


def version_of(entry: Entry) -> str:
    """Return the entity tag of an entry, or another version that its store has."""
    return next((str(entry[key]) for key in _VERSIONS if entry.get(key) is not None), "")


def time_of(entry: Entry) -> int:
    """Return the modification time of an object in nanoseconds; the digits below a second come from its version.

    Stores give whole seconds, in which an object may be written twice.
    """
    stamp = next((entry[key] for key in _TIMES if entry.get(key) is not None), 0)
    seconds = int(stamp.timestamp() if isinstance(stamp, datetime) else stamp)
    digest = hashlib.blake2b(version_of(entry).encode(), digest_size=8).digest()
    return seconds * 1_000_000_000 + int.from_bytes(digest) % 1_000_000_000


# -- writing ------------------------------------------------------------------------------------------------


def upload(file: Path, path: UPath) -> None:
    """Upload a local file as an object, atomically."""
    send(path, lambda: path.fs.put_file(str(file), path.path))
    invalidate(path)


def create(path: UPath, data: bytes) -> bool:
    """Create an object unless it exists; return whether it was created."""
    try:
        send(path, lambda: path.fs.pipe_file(path.path, data, mode="create"))
    except FileExistsError:
        return False
    finally:
        invalidate(path)
    return True


def remove(path: UPath) -> None:
    """Remove an object, or a folder with its contents, if it exists."""
    try:
        send(path, lambda: path.fs.rm(path.path, recursive=True))
    except FileNotFoundError:
        pass
    finally:
        invalidate(path)
