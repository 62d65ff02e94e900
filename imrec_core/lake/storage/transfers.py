"""A generation on its way to an object store and back: what arrives is what was put, or is not taken."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imrec_core.errors import StaleIndex
from imrec_core.lake.storage import files, object_store

if TYPE_CHECKING:
    from upath import UPath

CHECKSUMS = "checksums.json"  # beside the other files in the store

_FETCHES = 3  # of a file whose checksum is wrong


def put(folder: Path, to: UPath, *, last: str) -> None:
    """Put all files of a folder, and their checksums; the file named `last`, which makes it complete, at the end."""
    files = [path for path in sorted(folder.iterdir()) if path.name != last]
    checksums = {path.name: [path.stat().st_size, _checksum(path)] for path in (*files, folder / last)}
    (folder / CHECKSUMS).write_text(json.dumps(checksums, indent=1))
    with ThreadPoolExecutor(object_store.CONNECTIONS) as pool:
        list(pool.map(lambda path: object_store.upload(path, to / path.name), [*files, folder / CHECKSUMS]))
    object_store.upload(folder / last, to / last)


def checksums_of(at: UPath) -> bytes:
    """The checksums of what was put there.

    Raises:
        StaleIndex: Nothing is there any more.
    """
    try:
        return files.read_listed(at / CHECKSUMS)
    except FileNotFoundError as error:
        raise StaleIndex(f"generation {at.name}: {at} is gone") from error


def fetch(at: UPath, folder: Path, checksums: bytes) -> None:
    """Get all files, each as it was put, into an empty folder.

    Raises:
        StaleIndex: One is gone, or is another than was put.
        StorageFault: The object store failed.
    """
    expected: dict[str, list[Any]] = json.loads(checksums)
    with ThreadPoolExecutor(object_store.CONNECTIONS) as pool:
        list(pool.map(lambda name: _get(at, name, expected[name][1], folder), expected))
    (folder / CHECKSUMS).write_bytes(checksums)


def _get(at: UPath, name: str, checksum: str, folder: Path) -> None:
    for _ in range(_FETCHES):
        try:
            object_store.download(at / name, folder / name)
        except FileNotFoundError as error:
            raise StaleIndex(f"generation {at.name}: {at / name} is gone") from error
        if _checksum(folder / name) == checksum:
            return
    raise StaleIndex(f"generation {at.name}: {at / name} is not what was put there; run: imrec build")


def is_fetched(folder: Path, checksums: bytes) -> bool:
    """Whether a folder that was fetched holds what these checksums are of, and all of it."""
    try:
        if (folder / CHECKSUMS).read_bytes() != checksums:
            return False
        sizes = {name: size for name, (size, _) in json.loads(checksums).items()}
        found = {name: (folder / name).stat().st_size for name in sizes}
        # Vectors of generations made here since then may follow, see `matrices`.
        return all(found[n] == size or (n.endswith(".npy") and found[n] > size) for n, size in sizes.items())
    except OSError:
        return False


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
