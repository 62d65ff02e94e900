"""Moves of single files that never overwrite a file and never remove its only copy."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from imrec_core.duplicates.file_identity import TIME_RESOLUTION, FileState, open_regular
from imrec_core.errors import BadPlan

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_BLOCK = 1 << 20


def move_file(
    source: Path, target: Path, *, state: FileState | None = None, note: Callable[[], None] = lambda: None
) -> None:
    """Move one file without overwriting, or finish an interrupted move.

    Links the target, then unlinks the source: a rename would replace a file that another process creates in between.

    Args:
        state: State of the source when its content was verified. With another state it is not moved.
        note: Called before the file moves.

    Raises:
        BadPlan: The source has changed, another process created the target, or the file system reports an error.
    """
    try:
        if not os.path.lexists(source):
            return
        note()
        if not os.path.lexists(target):
            _link_or_copy(source, target, state)
        if not is_moved_but_for_unlink(source, target):
            raise BadPlan(f"{target} was created by another process; {source} was not moved")
        source.unlink()
    except OSError as error:
        raise BadPlan(f"cannot move {source} to {target} ({error.strerror or error})") from error


def is_moved_but_for_unlink(source: Path, target: Path) -> bool:
    """Test whether an interrupted move left both paths, so that the source can be unlinked.

    The target is the same file by another name, or has equal bytes and the same time. A symbolic link is no copy, nor
    is the same entry of a folder by another path, for example through a bind mount.
    """
    try:
        if source.is_symlink() or target.is_symlink() or os.path.samefile(source.parent, target.parent):
            return False
        if os.path.samefile(source, target):
            return True
        is_of_one_time = abs(source.stat().st_mtime_ns - target.stat().st_mtime_ns) < TIME_RESOLUTION
        return is_of_one_time and _has_equal_bytes(source, target)
    except OSError:
        return False


def unfinished_path(target: Path) -> Path:
    """Name the temporary file of a copy, beside its target."""
    return target.with_name(f".{target.name}.imrec-part")


def missing_folders(folder: Path) -> list[Path]:
    """List the folders that must be created for a folder to exist, the outermost first."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = folder.parent
    return missing[::-1]


def remove_empty_folders(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty, or have only empty ones of them inside."""
    for folder in sorted(set(folders), key=lambda folder: len(folder.parts), reverse=True):
        try:
            folder.rmdir()
        except OSError:  # in use, missing, or a link by now
            continue


def _link_or_copy(source: Path, target: Path, state: FileState | None) -> None:
    """Create the target, and test that its content is what was verified."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if state is not None and FileState.of(os.lstat(source)) != state:
        raise BadPlan(f"{source} has changed since its content was verified")
    try:
        os.link(source, target, follow_symlinks=False)
        is_copy = False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(source, target)
        is_copy = True
    if state is None:
        return
    found = FileState.of(os.lstat(source if is_copy else target))
    if (found if is_copy else replace(found, ctime_ns=state.ctime_ns)) != state:  # linking changes `ctime`
        if is_copy or os.path.samefile(source, target):
            target.unlink()
        raise BadPlan(f"{source} was changed by another process while it was moved")


def _copy(source: Path, target: Path) -> None:
    """Copy a file atomically, for moves to another disk and file systems without links."""
    unfinished = unfinished_path(target)
    try:
        shutil.copy2(source, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _has_equal_bytes(a: Path, b: Path) -> bool:
    """Compare two files byte for byte; `filecmp` would remember results by size and time."""
    with open_regular(a) as first, open_regular(b) as second:
        while True:
            block = first.read(_BLOCK)
            if block != second.read(_BLOCK):
                return False
            if not block:
                return True
