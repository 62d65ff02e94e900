"""The folder of an export: what it holds, what is whole in it, and that nothing else is touched."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from imrec_core.errors import BadExport, StorageFull

MANIFEST = "export.json"

_LOCK = ".export.lock"
_TEMPORARY = ".writing-"
_OURS = (
    *("rows-*.parquet", "rows-*.csv", "*.faiss", "images.lance", "qdrant"),
    *("projector_config.pbtxt", "tensor-*.bytes", "tensor-*.tsv", "metadata.tsv", "sprite.jpg"),
    *("atlas.parquet", "graph.graphml", "pictures-*.parquet"),
)
"""What exports write; nothing else is removed."""


@contextmanager
def opened(out: Path, facts: Mapping[str, Any]) -> Iterator[bool]:
    """Hold a folder for one export; what is whole in it stays if it is of that same export.

    Args:
        out: Made where it is missing.
        facts: What is exported, as JSON has it. An export of anything else that is there is removed first.

    Yields:
        Whether an export of something else was there.

    Raises:
        BadExport: The folder holds other files, cannot be written, or another process exports into it.
        StorageFull: The disk took no more.
    """
    with told(out):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise BadExport(f"{out} is no folder; give a new or an empty one") from None
        _refuse_strangers(out)
        try:
            with FileLock(out / _LOCK, timeout=0):
                before = _manifest(out)
                is_other = before is not None and {k: v for k, v in before.items() if k != "complete"} != facts
                if is_other:
                    _write_manifest(out, {"imrec_export": 0})  # equal to none, so that a kill from here on starts anew
                    _remove(out, _OURS)
                _remove(out, (f"{_TEMPORARY}*",))
                if before is None or is_other:
                    _write_manifest(out, {**facts, "complete": False})
                yield is_other
                _write_manifest(out, {**facts, "complete": True})
        except Timeout:
            raise BadExport(f"another export is writing into {out}; wait for it") from None


def _refuse_strangers(out: Path) -> None:
    names = sorted(path.name for path in out.iterdir() if path.name != _LOCK and not path.name.startswith(_TEMPORARY))
    if names and MANIFEST not in names:
        raise BadExport(f"{out} holds something else, such as {names[0]}; give a new or an empty folder")


def _manifest(out: Path) -> dict[str, Any] | None:
    """What the folder says it holds; None where it is empty."""
    try:
        found = json.loads((out / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "imrec_export" not in found:
        raise BadExport(f"{out / MANIFEST} is not imrec's; give a new or an empty folder")
    return found


def _write_manifest(out: Path, facts: Mapping[str, Any]) -> None:
    with moved_into_place(out / MANIFEST) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, ensure_ascii=False), "utf-8")


def _remove(out: Path, patterns: tuple[str, ...]) -> None:
    for path in (path for pattern in patterns for path in out.glob(pattern)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def moved_into_place(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place when the block ends well."""
    temporary = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_missing(out: Path, files: Mapping[str, Callable[[Path], object]], progress: Callable[[str], None]) -> int:
    """Write each file that is not there, whole or not at all; returns how many were.

    Args:
        files: What writes each of them to a path that it is given, by name.
        progress: Is told each file.
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
def told(out: object) -> Iterator[None]:
    """Turn what goes wrong with files into one clear line.

    Raises:
        StorageFull, BadExport: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        # Libraries pass on what Rust, C++ or SQLite says, without a number.
        is_full = "No space left" in str(error) or "disk is full" in str(error)
        if is_full or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"no space left on the disk of {out}; free some and give the same command again (what is done is kept)"
            ) from error
        raise BadExport(f"cannot write to {out}: {error.strerror or error}") from error


def size(out: Path) -> int:
    """Bytes of all that an export wrote."""
    found = (path for pattern in (*_OURS, MANIFEST) for path in out.glob(pattern))
    files = (file for path in found for file in (path.rglob("*") if path.is_dir() else (path,)))
    return sum(file.stat().st_size for file in files if file.is_file())
