"""Carry duplicates away by a plan that can be read, changed, carried out and undone. Files are moved, never deleted.

A plan is JSON. Nothing is moved unless every file is as the plan says and no place is taken. A journal beside the plan
notes each file before it is moved, so that after a crash the same command goes on, or the plan is undone.
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
from imrec_core.storage import is_url

_FORMAT = 1
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


@dataclass(frozen=True)
class File:
    """A file as it was when the plan was made."""

    path: str
    byte_size: int
    mtime_ns: int
    content_hash: str

    @classmethod
    def of(cls, copy: Copy) -> File:
        return cls(copy.path, copy.byte_size, copy.mtime_ns, copy.content_hash)

    def trouble(self, at: Path | None = None) -> str:
        """What is not as the plan says; empty where all is. A file whose time alone differs is read."""
        path = at or Path(self.path)
        try:
            if path.is_symlink():
                return f"{path} is a link; move it by hand"
            stat = path.stat()
            if not path.is_file():
                return f"{path} is no file"
            if stat.st_size != self.byte_size:
                return f"{path} has changed"
            is_same = stat.st_mtime_ns == self.mtime_ns or hash_file(path) == self.content_hash
            return "" if is_same else f"{path} has changed"
        except FileNotFoundError:
            return f"{path} is gone"
        except (OSError, ValueError, ImageError) as error:
            return f"{path} cannot be read ({error})"


@dataclass(frozen=True)
class Move:
    """One file that is to go.

    Attributes:
        below: Where it goes in the folder of those moved: source, then the path in it.
        kept: The file of its group that stays.
    """

    file: File
    below: str
    kept: File
    tier: str


@dataclass(frozen=True)
class MovePlan:
    """What is to be moved.

    Attributes:
        roots: Folders of the lake's sources, by name; nothing is moved into one.
    """

    moves: tuple[Move, ...]
    roots: dict[str, str]
    tier: str
    keep: str

    @classmethod
    def of(cls, found: Duplicates) -> MovePlan:
        """All files of the groups but those that stay; each once.

        Groups with symbolic links are left out: what a link stands for must not be moved away, nor the link.
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
        """The plan as it is written."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)

    def save(self, path: Path) -> None:
        """Write the plan to a new file.

        Raises:
            BadPlan: There is one already, or it cannot be written.
        """
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(self.to_json())
        except FileExistsError:
            raise BadPlan(f"{path} is there already; give the plan another name") from None
        except OSError as error:
            raise BadPlan(f"cannot write {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: Path) -> MovePlan:
        """Read a plan.

        Raises:
            BadPlan: It is missing or says nothing that can be carried out.
        """
        try:
            stored: Any = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise BadPlan(f"{path} cannot be read as a plan ({error})") from error
        try:
            if stored["format"] != _FORMAT:
                raise BadPlan(f"{path} is a plan of format {stored['format']!r}, this imrec reads {_FORMAT}")
            moves = tuple(
                Move(File(**move["file"]), str(move["below"]), File(**move["kept"]), str(move["tier"]))
                for move in stored["moves"]
            )
            plan = cls(moves, dict(stored["roots"]), str(stored["tier"]), str(stored["keep"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadPlan(f"{path} is no plan of imrec duplicates ({type(error).__name__}: {error})") from error
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
            yield f"{move.kept.path} would be moved, but is to stay for {move.file.path}"
        if is_url(move.file.path):
            yield f"{move.file.path} lies in an object store, where imrec moves nothing; take the plan as a list"
        parts = Path(move.below).parts
        if not parts or Path(move.below).is_absolute() or ".." in parts:
            yield f"{move.below!r} is no place inside a folder"


def _refuse(path: Path, troubles: Iterable[str]) -> None:
    """Raise if there are any: how many, and the first five."""
    found = list(troubles)
    if found:
        more = f", and {len(found) - 5} more" if len(found) > 5 else ""
        raise BadPlan(f"{path}: nothing was moved: {'; '.join(found[:5])}{more}")


# -- carrying out -------------------------------------------------------------------------------------------


def apply_plan(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> int:
    """Move the files of a plan into a folder; goes on where a run before was interrupted.

    Returns:
        Files moved, now or by the run that was interrupted.

    Raises:
        BadPlan: A file has changed or is gone, one that is to stay among them; a place is taken; the folder lies in a
            source; or the plan is being carried out into another folder. Nothing was moved.
    """
    path, to = Path(path), Path(to).absolute()
    plan = MovePlan.load(path)
    journal = _Journal.beside(path)
    begun = journal.folder()
    if begun is not None and begun != to:
        raise BadPlan(f"{path} was carried out into {begun}; undo that first, or give the same folder")
    sources = [root for root in map(Path, plan.roots.values()) if to.resolve().is_relative_to(root.resolve())]
    if sources:
        raise BadPlan(f"{to} lies in {sources[0]}, a source of the lake; the next build would find the files again")
    noted = journal.noted()
    _refuse(path, (trouble for move in plan.moves for trouble in _troubles(move, to, is_noted=move.below in noted)))
    journal.begin(to)
    for move in plan.moves:
        _carry(Path(move.file.path), to / move.below, partial(journal.note, move.below))
    return len(plan.moves)


def _troubles(move: Move, to: Path, *, is_noted: bool) -> Iterable[str]:
    """What speaks against a move; of one that was begun before, only what is odd."""
    source, target = Path(move.file.path), to / move.below
    kept = move.kept.trouble()
    if kept:
        yield f"{kept}, and was to stay"
    elif _is_one_file(source, Path(move.kept.path)):
        yield f"{source} and {move.kept.path} are one file by two names"
    if not is_noted and os.path.lexists(target):
        yield f"{target} is there already"
    if not is_noted or (os.path.lexists(source) and not os.path.lexists(target)):
        trouble = move.file.trouble()
        if trouble:
            yield trouble
    elif os.path.lexists(source) and os.path.lexists(target) and not _is_same(source, target):
        yield f"{target} is there already"
    elif not os.path.lexists(source) and not os.path.lexists(target):
        yield f"{source} is gone"


def _is_one_file(a: Path, b: Path) -> bool:
    """Whether two names lead to one file, as by folders that are links; hard links are two files."""
    return os.path.realpath(a) == os.path.realpath(b)


def undo_plan(path: str | os.PathLike[str]) -> int:
    """Move back what a plan moved away, and remove the folders that were made for it.

    Returns:
        Files moved back.

    Raises:
        BadPlan: It was not carried out; a moved file has changed or is gone; or something else stands in its old place.
    """
    path = Path(path)
    plan = MovePlan.load(path)
    journal = _Journal.beside(path)
    to, noted = journal.folder(), journal.noted()
    if to is None:
        raise BadPlan(f"{path} was not carried out, or is undone already: there is no {journal.path}")
    begun = [move for move in plan.moves if move.below in noted]
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
            yield f"{source} is there again, and is another file"
    elif not os.path.lexists(source):
        yield f"{target} is gone"


def _is_same(a: Path, b: Path) -> bool:
    """Whether two paths hold the same bytes: a move that was cut off between its two halves leaves both."""
    try:
        return os.path.samefile(a, b) or filecmp.cmp(a, b, shallow=False)
    except OSError:
        return False


def _carry(source: Path, target: Path, note: Callable[[], None] = lambda: None) -> None:
    """Move one file, over nothing; a move that was cut off is finished.

    By a second name and then away with the first: a rename would replace what somebody puts there meanwhile.

    Raises:
        BadPlan: The place was taken meanwhile, or the disk refuses.
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
            raise BadPlan(f"{target} was put there meanwhile; {source} stays")
        source.unlink()
    except OSError as error:
        raise BadPlan(
            f"cannot move {source} to {target} ({error.strerror or error}); what was moved is noted: "
            "the same command goes on, --undo takes it back"
        ) from error


def _copy(source: Path, target: Path) -> None:
    """A whole copy, or none: another disk, or one without links."""
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
    """Remove folders that are empty now, up to `top`."""
    while folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


# -- the journal --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Journal:
    """What was begun of a plan: a line with the folder, then a line for each file before it is moved."""

    path: Path

    @classmethod
    def beside(cls, plan: Path) -> _Journal:
        return cls(plan.with_name(f"{plan.name}.journal"))

    def _lines(self) -> list[str]:
        """Whole lines; one that was cut off was not acted on."""
        try:
            lines = self.path.read_text("utf-8").split("\n")[:-1]
            return [str(json.loads(line)) for line in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise BadPlan(f"{self.path} cannot be read ({error})") from error

    def folder(self) -> Path | None:
        """Where files went; None where nothing was begun."""
        return Path(self._lines()[0]) if self._lines() else None

    def noted(self) -> set[str]:
        return set(self._lines()[1:])

    def begin(self, to: Path) -> None:
        lines = self._lines()
        whole = "".join(json.dumps(line) + "\n" for line in lines or [str(to)])
        try:
            self.path.write_text(whole, "utf-8")  # without a line that was cut off
        except OSError as error:
            raise BadPlan(f"cannot write {self.path}: {error.strerror or error}; nothing was moved") from error

    def note(self, below: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(below) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def end(self) -> None:
        self.path.unlink(missing_ok=True)
