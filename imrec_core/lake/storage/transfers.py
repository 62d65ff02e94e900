"""Upload and download of generations, verified by checksums."""

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

CHECKSUMS = "checksums.json"  # beside the other files of the generation

_TRIES = 3  # downloads of a file whose checksum is wrong


def put(folder: Path, to: UPath, *, last: str) -> None:
    """Upload the files of a folder and their checksums; upload the file `last`, which completes it, at the end."""
    files = [path for path in sorted(folder.iterdir()) if path.name != last]
    checksums = {path.name: [path.stat().st_size, _checksum(path)] for path in (*files, folder / last)}
    (folder / CHECKSUMS).write_text(json.dumps(checksums, indent=1))
    with ThreadPoolExecutor(object_store.CONNECTIONS) as pool:
        list(pool.map(lambda path: object_store.upload(path, to / path.name), [*files, folder / CHECKSUMS]))
    object_store.upload(folder / last, to / last)


def read_checksums(at: UPath) -> bytes:
    """Read the checksums of a generation in an object store.

    Raises:
        StaleIndex: The generation is missing.
    """
    try:
        return files.read_listed(at / CHECKSUMS)
    except FileNotFoundError as error:
        raise StaleIndex(f"generation {at.name}: {at} is gone") from error


def fetch(at: UPath, folder: Path, checksums: bytes) -> None:
    """Download all files into an empty folder.

    Raises:
        StaleIndex: A file is missing or differs from its checksum.
        StorageFault: The object store failed.
    """
    expected: dict[str, list[Any]] = json.loads(checksums)
    with ThreadPoolExecutor(object_store.CONNECTIONS) as pool:
        list(pool.map(lambda name: _download(at, name, expected[name][1], folder), expected))
    (folder / CHECKSUMS).write_bytes(checksums)


def _download(at: UPath, name: str, checksum: str, folder: Path) -> None:
    for _ in range(_TRIES):
        try:
            object_store.download(at / name, folder / name)
        except FileNotFoundError as error:
            raise StaleIndex(f"generation {at.name}: {at / name} is gone") from error
        if _checksum(folder / name) == checksum:
            return
    raise StaleIndex(f"generation {at.name}: {at / name} differs from its checksum; run: imrec build")


def is_fetched(folder: Path, checksums: bytes) -> bool:
    """Return whether a downloaded folder has these checksums and all their files."""
    try:
        if (folder / CHECKSUMS).read_bytes() != checksums:
            return False
        sizes = {name: size for name, (size, _) in json.loads(checksums).items()}
        found = {name: (folder / name).stat().st_size for name in sizes}
        # Generations built here since may have appended vectors to the files, see `index.vector_file`.
        return all(found[n] == size or (n.endswith(".npy") and found[n] > size) for n, size in sizes.items())
    except OSError:
        return False


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
