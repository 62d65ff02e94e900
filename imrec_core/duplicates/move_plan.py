"""Move plans: move duplicates to a folder by a JSON plan that users can edit, apply and undo.

Files are moved, never deleted. Nothing moves unless every file matches the plan and every target is free. A journal
next to the plan records each file before it moves, so that after a crash the plan can be continued or undone.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from imrec_core.duplicates.contents import Copy
from imrec_core.duplicates.decisions import hash_file
from imrec_core.duplicates.file_moves import (
    Journal,
    has_equal_bytes,
    is_one_file,
    move_file,
    remove_empty_folders,
    unfinished_path,
)
from imrec_core.duplicates.groups import Duplicates
from imrec_core.errors import BadPlan, ImageError
from imrec_core.lake.storage.files import is_url

_FORMAT = 1


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

    def find_change(self, at: Path | None = None) -> str:
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
        _refuse(path, _inconsistencies(plan))
        return plan


def _inconsistencies(plan: MovePlan) -> Iterable[str]:
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


def _refuse(path: Path, objections: Iterable[str]) -> None:
    """Raise an error with the first five objections, if there are any."""
    found = list(objections)
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
    journal = Journal.beside(path)
    begun = journal.folder()
    if begun is not None and begun != to:
        raise BadPlan(f"{path} was applied to {begun}; undo it first, or give the same folder")
    sources = [root for root in map(Path, plan.roots.values()) if to.resolve().is_relative_to(root.resolve())]
    if sources:
        raise BadPlan(f"{to} is inside {sources[0]}, a source of the lake; choose a folder outside all sources")
    begun_moves = journal.moves()
    _refuse(path, (t for move in plan.moves for t in _objections(move, to, is_begun=move.below in begun_moves)))
    journal.begin(to)
    for move in plan.moves:
        move_file(Path(move.file.path), to / move.below, partial(journal.append, move.below))
    return len(plan.moves)


def _objections(move: Move, to: Path, *, is_begun: bool) -> Iterable[str]:
    """List the reasons against a move; a move of an interrupted run may be half done."""
    source, target = Path(move.file.path), to / move.below
    kept = move.kept.find_change()
    if kept:
        yield f"{kept}, but must stay"
    elif is_one_file(source, Path(move.kept.path)):
        yield f"{source} and {move.kept.path} are the same file"
    if not is_begun and os.path.lexists(target):
        yield f"{target} already exists"
    if not is_begun or (os.path.lexists(source) and not os.path.lexists(target)):
        objection = move.file.find_change()
        if objection:
            yield objection
    elif os.path.lexists(source) and os.path.lexists(target) and not has_equal_bytes(source, target):
        yield f"{target} already exists"
    elif not os.path.lexists(source) and not os.path.lexists(target):
        yield f"{source} is missing"


def undo_plan(path: str | os.PathLike[str]) -> int:
    """Move the files of a plan back, and remove the folders that became empty.

    Returns:
        Number of files moved back.

    Raises:
        BadPlan: The plan was not applied, a moved file is changed or missing, or another file has its old path.
    """
    path = Path(path)
    plan = MovePlan.load(path)
    journal = Journal.beside(path)
    to, begun_moves = journal.folder(), journal.moves()
    if to is None:
        raise BadPlan(f"{path} was not applied, or is already undone: there is no {journal.path}")
    begun = [move for move in plan.moves if move.below in begun_moves]
    _refuse(path, (objection for move in begun for objection in _undo_objections(move, to)))
    count = 0
    for move in reversed(begun):
        source, target = Path(move.file.path), to / move.below
        if os.path.lexists(target):
            count += 1
            move_file(target, source)
        unfinished_path(target).unlink(missing_ok=True)
        remove_empty_folders(target.parent, to)
    journal.end()
    return count


def _undo_objections(move: Move, to: Path) -> Iterable[str]:
    source, target = Path(move.file.path), to / move.below
    if os.path.lexists(target):
        objection = move.file.find_change(target)
        if objection:
            yield objection
        elif os.path.lexists(source) and not has_equal_bytes(source, target):
            yield f"{source} already exists, with other content"
    elif not os.path.lexists(source):
        yield f"{target} is missing"
