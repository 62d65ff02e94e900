"""Move plans: move duplicates to a folder by a JSON plan that users can edit, apply and undo.

Files are moved, never deleted. Nothing moves unless every file matches the plan and every target is free. A journal
next to the plan records each file before it moves, so that after a crash the plan can be continued or undone.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from imrec_core.duplicates.contents import Copy
from imrec_core.duplicates.decisions import hash_file
from imrec_core.duplicates.groups import Duplicates
from imrec_core.errors import BadPlan, ImageError
from imrec_core.lake.storage.files import is_url

_FORMAT = 1
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


@dataclass(frozen=True)
class File:
    """State of a file when the plan was made."""

    path: str
    byte_size: int
    mtime_ns: int
    content_hash: str

    @classmethod
    def of(cls, copy: Copy) -> File:
        """Take the state from a file of a group."""
        return cls(copy.path, copy.byte_size, copy.mtime_ns, copy.content_hash)

    def trouble(self, at: Path | None = None) -> str:
        """Describe how the file differs from the plan; empty if it does not.

        The file is read and hashed if only its modification time differs.
        """
        path = at or Path(self.path)
        try:
            if path.is_symlink():
                return f"{path} is a link; move it by hand"
            stat = path.stat()
            if not path.is_file():
                return f"{path} is not a file"
            if stat.st_size != self.byte_size:
                return f"{path} has changed"
            is_same = stat.st_mtime_ns == self.mtime_ns or hash_file(path) == self.content_hash
            return "" if is_same else f"{path} has changed"
        except FileNotFoundError:
            return f"{path} is missing"
        except (OSError, ValueError, ImageError) as error:
            return f"{path} cannot be read ({error})"


@dataclass(frozen=True)
class Move:
    """One file to move.

    Attributes:
        below: Target, relative to the folder of moved files: the source, then the path in it.
        kept: The file of its group that is kept.
    """

    file: File
    below: str
    kept: File
    tier: str


@dataclass(frozen=True)
class MovePlan:
    """Files to move, with the state in which they must be.

    Attributes:
        roots: Root folders of the sources, by name; the target must not be inside one.
    """

    moves: tuple[Move, ...]
    roots: dict[str, str]
    tier: str
    keep: str

    @classmethod
    def of(cls, found: Duplicates) -> MovePlan:
        """Plan to move all files of the groups, except those to keep.

        Groups with symbolic links are left out: neither a link nor its target may move.
        """
        stays = {copy.path for group in found for copy in group.copies if copy.is_kept}
        moves: dict[str, Move] = {}
        for group in found:
            if any(os.path.islink(copy.path) for copy in group.copies):
                continue
            for copy in group.copies:
                if copy.path not in stays:
                    below = f"{copy.source}/{copy.below}"
                    move = Move(File.of(copy), below, File.of(group.representative), group.tier)
                    moves.setdefault(copy.path, move)
        return cls(tuple(moves.values()), found.roots, found.tier, found.keep)

    def to_json(self) -> str:
        """Convert to a JSON string, the content of a plan file."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)

    def save(self, path: Path) -> None:
        """Write the plan to a new file.

        Raises:
            BadPlan: The file exists already, or cannot be written.
        """
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(self.to_json())
        except FileExistsError:
            raise BadPlan(f"{path} already exists; give the plan another name") from None
        except OSError as error:
            raise BadPlan(f"cannot write {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: Path) -> MovePlan:
        """Read a plan.

        Raises:
            BadPlan: The file is missing or invalid.
        """
        try:
            stored: Any = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise BadPlan(f"{path} cannot be read as a plan ({error})") from error
        try:
            if stored["format"] != _FORMAT:
                raise BadPlan(f"{path}: plan format is {stored['format']!r}, expected {_FORMAT}")
            moves = tuple(
                Move(File(**move["file"]), str(move["below"]), File(**move["kept"]), str(move["tier"]))
                for move in stored["moves"]
            )
            plan = cls(moves, dict(stored["roots"]), str(stored["tier"]), str(stored["keep"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadPlan(f"{path} is not a plan of imrec duplicates ({type(error).__name__}: {error})") from error
        _refuse(path, _contradictions(plan))
        return plan


def _contradictions(plan: MovePlan) -> Iterable[str]:
    moved = Counter(move.file.path for move in plan.moves)
    for path, times in moved.items():
        if times > 1:
            yield f"{path} would be moved {times} times"
    for place, times in Counter(move.below for move in plan.moves).items():
        if times > 1:
            yield f"{times} files would be moved to {place}"
    for move in plan.moves:
        if move.kept.path in moved:
            yield f"{move.kept.path} would be moved, but must stay in place of {move.file.path}"
        if is_url(move.file.path):
            yield f"{move.file.path} is in an object store; imrec moves local files only"
        parts = Path(move.below).parts
        if not parts or Path(move.below).is_absolute() or ".." in parts:
            yield f"{move.below!r} is not a path inside the target folder"


def _refuse(path: Path, troubles: Iterable[str]) -> None:
    """Raise an error with the first five troubles, if there are any."""
    found = list(troubles)
    if found:
        more = f", and {len(found) - 5} more" if len(found) > 5 else ""
        raise BadPlan(f"{path}: nothing was moved: {'; '.join(found[:5])}{more}")


# -- apply and undo -----------------------------------------------------------------------------------------


def apply_plan(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> int:
    """Move the files of a plan to a folder, or continue an interrupted run.

    Returns:
        Number of files moved, including those of an interrupted run.

    Raises:
        BadPlan: A file to move or to keep is changed or missing, a target exists, the folder is inside a source, or
            the plan was applied to another folder. Nothing was moved.
    """
    path, to = Path(path), Path(to).absolute()
    plan = MovePlan.load(path)
    journal = _Journal.beside(path)
    begun = journal.folder()
    if begun is not None and begun != to:
        raise BadPlan(f"{path} was applied to {begun}; undo it first, or give the same folder")
    sources = [root for root in map(Path, plan.roots.values()) if to.resolve().is_relative_to(root.resolve())]
    if sources:
        raise BadPlan(f"{to} is inside {sources[0]}, a source of the lake; choose a folder outside all sources")
    begun_moves = journal.moves()
    _refuse(path, (t for move in plan.moves for t in _troubles(move, to, is_begun=move.below in begun_moves)))
    journal.begin(to)
    for move in plan.moves:
        _carry(Path(move.file.path), to / move.below, partial(journal.append, move.below))
    return len(plan.moves)


def _troubles(move: Move, to: Path, *, is_begun: bool) -> Iterable[str]:
    """List the reasons against a move; a move of an interrupted run may be half done."""
    source, target = Path(move.file.path), to / move.below
    kept = move.kept.trouble()
    if kept:
        yield f"{kept}, but must stay"
    elif _is_one_file(source, Path(move.kept.path)):
        yield f"{source} and {move.kept.path} are the same file"
    if not is_begun and os.path.lexists(target):
        yield f"{target} already exists"
    if not is_begun or (os.path.lexists(source) and not os.path.lexists(target)):
        trouble = move.file.trouble()
        if trouble:
            yield trouble
    elif os.path.lexists(source) and os.path.lexists(target) and not _is_same(source, target):
        yield f"{target} already exists"
    elif not os.path.lexists(source) and not os.path.lexists(target):
        yield f"{source} is missing"


def _is_one_file(a: Path, b: Path) -> bool:
    """Test whether two paths are one file, for example through linked folders; hard links are two files."""
    return os.path.realpath(a) == os.path.realpath(b)


def undo_plan(path: str | os.PathLike[str]) -> int:
    """Move the files of a plan back, and remove the folders that became empty.

    Returns:
        Number of files moved back.

    Raises:
        BadPlan: The plan was not applied, a moved file is changed or missing, or another file has its old path.
    """
    path = Path(path)
    plan = MovePlan.load(path)
    journal = _Journal.beside(path)
    to, begun_moves = journal.folder(), journal.moves()
    if to is None:
        raise BadPlan(f"{path} was not applied, or is already undone: there is no {journal.path}")
    begun = [move for move in plan.moves if move.below in begun_moves]
    _refuse(path, (trouble for move in begun for trouble in _troubles_back(move, to)))
    count = 0
    for move in reversed(begun):
        source, target = Path(move.file.path), to / move.below
        if os.path.lexists(target):
            count += 1
            _carry(target, source)
        _unfinished(target).unlink(missing_ok=True)
        _remove_empty(target.parent, to)
    journal.end()
    return count


def _troubles_back(move: Move, to: Path) -> Iterable[str]:
    source, target = Path(move.file.path), to / move.below
    if os.path.lexists(target):
        trouble = move.file.trouble(target)
        if trouble:
            yield trouble
        elif os.path.lexists(source) and not _is_same(source, target):
            yield f"{source} already exists, with other content"
    elif not os.path.lexists(source):
        yield f"{target} is missing"


def _is_same(a: Path, b: Path) -> bool:
    """Test whether two files have equal bytes: a move interrupted between link and unlink leaves both."""
    try:
        return os.path.samefile(a, b) or filecmp.cmp(a, b, shallow=False)
    except OSError:
        return False


def _carry(source: Path, target: Path, note: Callable[[], None] = lambda: None) -> None:
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
        if not _is_same(source, target):
            raise BadPlan(f"{target} was created by another process; {source} was not moved")
        source.unlink()
    except OSError as error:
        raise BadPlan(
            f"cannot move {source} to {target} ({error.strerror or error}); "
            "run the command again to continue, or with --undo to move the files back"
        ) from error


def _copy(source: Path, target: Path) -> None:
    """Copy a file atomically, for moves to another disk and file systems without links."""
    unfinished = _unfinished(target)
    try:
        shutil.copy2(source, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _unfinished(target: Path) -> Path:
    return target.with_name(f".{target.name}.imrec-part")


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove empty folders upwards, up to `top`."""
    while folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


# -- the journal --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Journal:
    """Journal of a plan: a line with the target folder, then one per file, written before the file moves."""

    path: Path

    @classmethod
    def beside(cls, plan: Path) -> _Journal:
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
