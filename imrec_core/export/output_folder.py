"""Folder of an export: its manifest and lock, resuming, and replacing an older export without touching other files."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imrec_core.errors import BadExport, StorageFull
from imrec_core.lake.storage.files import TEMPORARY, is_temporary, moved_into_place

MANIFEST = "export.json"

_LOCK = ".export.lock"
_OURS = (
    *("rows-*.parquet", "rows-*.csv", "*.faiss", "images.lance", "qdrant"),
    *("projector_config.pbtxt", "tensor-*.bytes", "tensor-*.tsv", "metadata.tsv", "sprite.jpg"),
    *("atlas.parquet", "graph.graphml", "pictures-*.parquet"),
)
"""Files that exports write; no others are ever removed."""


@contextmanager
def open_folder(out: Path, facts: Mapping[str, Any]) -> Iterator[bool]:
    """Lock a folder for an export; keep the complete files of an equal export, remove those of a different one.

    Args:
        out: The folder, created if missing.
        facts: JSON values that identify the export.

    Yields:
        Whether a different export was removed.

    Raises:
        BadExport: The folder holds other files, cannot be written, or another process exports to it.
        StorageFull: The disk is full.
    """
    with translate_os_errors(out):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise BadExport(f"{out} is not a folder; choose a new or empty folder") from None
        _refuse_other_files(out)
        try:
            with FileLock(out / _LOCK, timeout=0):
                before = _read_manifest(out)
                is_other = before is not None and {k: v for k, v in before.items() if k != "complete"} != facts
                if is_other:
                    _write_manifest(out, {"imrec_export": 0})  # equals no facts: if killed, the next run removes again
                    _remove(out, _OURS)
                _remove(out, (f"{TEMPORARY}*",))
                if before is None or is_other:
                    _write_manifest(out, {**facts, "complete": False})
                yield is_other
                _write_manifest(out, {**facts, "complete": True})
        except Timeout:
            raise BadExport(f"another export is writing to {out}; wait until it ends") from None


def _refuse_other_files(out: Path) -> None:
    names = sorted(path.name for path in out.iterdir() if path.name != _LOCK and not is_temporary(path.name))
    if names and MANIFEST not in names:
        raise BadExport(f"{out} contains other files, such as {names[0]!r}; choose a new or empty folder")


def _read_manifest(out: Path) -> dict[str, Any] | None:
    """Read the manifest of the folder; None if there is none."""
    try:
        found = json.loads((out / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "imrec_export" not in found:
        raise BadExport(f"{out / MANIFEST} was not written by imrec; choose a new or empty folder")
    return found


def _write_manifest(out: Path, facts: Mapping[str, Any]) -> None:
    with moved_into_place(out / MANIFEST) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, ensure_ascii=False), "utf-8")


def _remove(out: Path, patterns: tuple[str, ...]) -> None:
    for path in (path for pattern in patterns for path in out.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_missing(out: Path, files: Mapping[str, Callable[[Path], object]], progress: Callable[[str], None]) -> int:
    """Write each missing file atomically; return how many existed.

    Args:
        files: By file name, a function that writes the file to a path.
        progress: Called with the name of each file written.
    """
    kept = 0
    for name, write in files.items():
        if (out / name).exists():
            kept += 1
            continue
        with moved_into_place(out / name) as temporary:
            write(temporary)
        progress(name)
    return kept


@contextmanager
def translate_os_errors(out: object) -> Iterator[None]:
    """Translate an `OSError` into an error with advice.

    Raises:
        StorageFull: The disk is full.
        BadExport: For any other `OSError`.
    """
    try:
        yield
    except OSError as error:
        # Libraries pass on messages of Rust, C++ or SQLite without an errno.
        is_full = "No space left" in str(error) or "disk is full" in str(error)
        if is_full or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"no space left on the disk of {out}; free some and run the command again (completed parts are kept)"
            ) from error
        raise BadExport(f"cannot write to {out}: {error.strerror or error}") from error


def size(out: Path) -> int:
    """Sum the sizes of the files of an export, in bytes."""
    found = (path for pattern in (*_OURS, MANIFEST) for path in out.glob(pattern))
    files = (file for path in found for file in (path.rglob("*") if path.is_dir() else (path,)))
    return sum(file.stat().st_size for file in files if file.is_file())
