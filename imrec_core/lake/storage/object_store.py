"""Requests to an object store, through fsspec: tried again while they fail in a way that may pass.

Credentials, endpoint and the like come from the environment, as fsspec and the library of the store expect them.
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

CONNECTIONS = 16  # requests at the same time

_PATIENCE = 5.0  # seconds; where a request took longer, the library of the store has tried again itself
_LISTED = 2.0  # seconds for which the listing of a folder is taken to be true
_FINAL = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError, LakeError)
_AT_ONCE = {"s3": {"max_concurrency": 1}}  # else s3fs first asks for the size, to get large objects by parts
_EXTRAS = {"s3fs": "s3"}
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")  # of an entry, by the names of the stores
_VERSIONS = ("ETag", "etag", "md5Hash", *_TIMES)


def ask(path: UPath, request: Callable[[], T]) -> T:
    """What a request gives.

    Raises:
        OSError: What is asked for is not there, or refused.
        StorageFault: The store failed, again and again.
        LakeError: There are no credentials.
        MissingDependency: The library of the store is not installed.
    """
    try:
        return retry(request, _may_pass, patience=_PATIENCE)
    except _FINAL:
        raise
    except ImportError as error:
        wanted = str(error).partition("nstall ")[2].split() or [str(error.name)]  # fsspec says what it wants
        raise MissingDependency(wanted[0].strip(",."), extra=_EXTRAS.get(wanted[0].strip(",."))) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if _lacks_credentials(error):
            raise LakeError(f"{path}: {reason}; give credentials in the environment") from error
        raise StorageFault(f"{path}: {reason}; what is finished is kept, try again later") from error


def _may_pass(error: Exception) -> bool:
    return not isinstance(error, (*_FINAL, ImportError)) and not _lacks_credentials(error)


def _lacks_credentials(error: Exception) -> bool:
    return "redential" in type(error).__name__  # each store has a class of its own


class _Short(Exception):
    """Less came than there is."""


# -- reading ------------------------------------------------------------------------------------------------


def read(path: UPath, byte_size: int | None = None) -> bytes:
    """All bytes of an object; one that comes shorter than it is now is read again.

    Args:
        byte_size: What a listing said, which saves a request.

    Raises:
        OSError, LakeError: As `ask`.
    """

    def request() -> bytes:
        data: bytes = path.fs.cat_file(path.path, **_AT_ONCE.get(path.protocol, {}))
        if len(data) != byte_size:
            size = path.fs.size(path.path)  # it may be another one by now
            if len(data) != size:
                raise _Short(f"{len(data)} bytes came of {size}")
        return data

    return ask(path, request)


def read_part(path: UPath, start: int, end: int) -> bytes:
    """The bytes of an object from `start` up to `end`, which must be in it.

    Raises:
        OSError, LakeError: As `ask`.
    """

    def request() -> bytes:
        data: bytes = path.fs.cat_file(path.path, start=start, end=end)
        if len(data) != end - start:
            raise _Short(f"{len(data)} bytes came of {end - start}")
        return data

    return ask(path, request)


def download(path: UPath, file: Path) -> None:
    """Get an object as a local file."""
    ask(path, lambda: path.fs.get_file(path.path, str(file)))


# -- listing ------------------------------------------------------------------------------------------------

Entry: TypeAlias = dict[str, Any]
"""What fsspec tells of an object or a folder."""


def entry(path: UPath) -> Entry | None:
    """What is there now under a name; None where nothing is."""
    try:
        return dict(ask(path, lambda: path.fs.info(path.path)))
    except FileNotFoundError:
        return None


def listing(folder: UPath) -> list[Entry]:
    """All that lies in a folder now; nothing where there is none.

    Raises:
        StorageFault: The store failed: nothing is ever taken for empty because of that.
    """
    try:
        found: list[Entry] = ask(folder, lambda: folder.fs.ls(folder.path, detail=True))
    except FileNotFoundError:
        return []
    return [entry for entry in found if entry["name"].strip("/") != folder.path.strip("/")]


_known: dict[str, tuple[float, dict[str, Entry]]] = {}  # by folder: when it was listed, and what lay there


def listed(folder: UPath) -> dict[str, Entry]:
    """As `listing`, by name, and up to two seconds old.

    A plan asks for every table of every shard, each of which would be a request.
    """
    now = time.monotonic()
    then, found = _known.get(str(folder), (now - _LISTED, {}))
    if now - then >= _LISTED:
        found = {name_of(entry): entry for entry in listing(folder)}
        _known[str(folder)] = now, found
    return found


def forget(path: UPath) -> None:
    """Have the next look see what was written since, by others too, to an object or below a folder."""
    around = {str(path), *map(str, path.parents)}
    for folder in list(_known):
        if folder in around or folder.startswith(f"{path}/"):
            _known.pop(folder, None)


def name_of(entry: Entry) -> str:
    """The last part of its name."""
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def size_of(entry: Entry) -> int:
    """In bytes; 0 of a folder."""
    return int(entry.get("size") or 0)


def version_of(entry: Entry) -> str:
    """The entity tag, by whatever name its store has for it."""
    return next((str(entry[key]) for key in _VERSIONS if entry.get(key) is not None), "")


def time_of(entry: Entry) -> int:
    """When an object was last written, in nanoseconds, the digits below a second being of its version.

    Stores tell whole seconds, in which an object may be written twice.
    """
    stamp = next((entry[key] for key in _TIMES if entry.get(key) is not None), 0)
    seconds = int(stamp.timestamp() if isinstance(stamp, datetime) else stamp)
    digest = hashlib.blake2b(version_of(entry).encode(), digest_size=8).digest()
    return seconds * 1_000_000_000 + int.from_bytes(digest) % 1_000_000_000


# -- writing ------------------------------------------------------------------------------------------------


def upload(file: Path, path: UPath) -> None:
    """Put a local file as an object: it is there whole, or as it was before."""
    ask(path, lambda: path.fs.put_file(str(file), path.path))
    forget(path)


def create(path: UPath, data: bytes) -> bool:
    """Put an object unless there is one of that name; whether it was put."""
    try:
        ask(path, lambda: path.fs.pipe_file(path.path, data, mode="create"))
    except FileExistsError:
        return False
    finally:
        forget(path)
    return True


def remove(path: UPath) -> None:
    """Remove an object, or a folder with all that is in it; nothing where it is gone."""
    try:
        ask(path, lambda: path.fs.rm(path.path, recursive=True))
    except FileNotFoundError:
        pass
    finally:
        forget(path)
