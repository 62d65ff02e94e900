"""Moves of single files that never overwrite, and the journal by which interrupted moves continue."""

from __future__ import annotations

import errno
import filecmp
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imrec_core.errors import BadPlan

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def move_file(source: Path, target: Path, note: Callable[[], None] = lambda: None) -> None:
    """Move one file without overwriting, or finish an interrupted move.

    Links the target, then unlinks the source: a rename would replace a file that another process creates in between.

    Raises:
        BadPlan: Another process created the target, or the file system reports an error.
    """
    try:
        if not os.path.lexists(source):
            return
        note()
        if not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _copy(source, target)
        if not has_equal_bytes(source, target):
            raise BadPlan(f"{target} was created by another process; {source} was not moved")
        source.unlink()
    except OSError as error:
        raise BadPlan(
            f"cannot move {source} to {target} ({error.strerror or error}); "
            "run the command again to continue, or with --undo to move the files back"
        ) from error


def is_one_file(a: Path, b: Path) -> bool:
    """Test whether two paths are one file, for example through linked folders; hard links are two files."""
    return os.path.realpath(a) == os.path.realpath(b)


def has_equal_bytes(a: Path, b: Path) -> bool:
    """Test whether two files have equal bytes: a move interrupted between link and unlink leaves both."""
    try:
        return os.path.samefile(a, b) or filecmp.cmp(a, b, shallow=False)
    except OSError:
        return False


def unfinished_path(target: Path) -> Path:
    """Name the temporary file of a copy, beside its target."""
    return target.with_name(f".{target.name}.imrec-part")


def remove_empty_folders(folder: Path, top: Path) -> None:
    """Remove empty folders upwards, up to `top`."""
    while folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


@dataclass(frozen=True)
class Journal:
    """Journal of a plan: a line with the target folder, then one per file, written before the file moves."""

    path: Path

    @classmethod
    def beside(cls, plan: Path) -> Journal:
        return cls(plan.with_name(f"{plan.name}.journal"))

    def _lines(self) -> list[str]:
        """Read the complete lines; a truncated one was never acted on."""
        try:
            lines = self.path.read_text("utf-8").split("\n")[:-1]
            return [str(json.loads(line)) for line in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise BadPlan(f"{self.path} cannot be read ({error})") from error

    def folder(self) -> Path | None:
        """Return the target folder; None if the plan was not applied."""
        return Path(self._lines()[0]) if self._lines() else None

    def moves(self) -> set[str]:
        """Return the relative targets of the files whose move has begun."""
        return set(self._lines()[1:])

    def begin(self, to: Path) -> None:
        lines = self._lines()
        whole = "".join(json.dumps(line) + "\n" for line in lines or [str(to)])
        try:
            self.path.write_text(whole, "utf-8")  # drops a truncated line
        except OSError as error:
            raise BadPlan(f"cannot write {self.path}: {error.strerror or error}; nothing was moved") from error

    def append(self, below: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(below) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


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
