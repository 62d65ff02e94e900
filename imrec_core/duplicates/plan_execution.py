"""Applying and undoing of move plans.

Nothing moves unless every file matches the plan and every target is free. When its turn comes, the content of each file
and of the file that is kept for it is compared with the plan, and the kept file once more after the move. A journal
next to the plan records each file before it moves, so that after a crash the plan can be continued or undone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from imrec_core.duplicates.companions import Folders, extension
from imrec_core.duplicates.file_identity import TIME_RESOLUTION, ContentReader, FileId, file_id, is_one_file
from imrec_core.duplicates.file_moves import (
    is_moved_but_for_unlink,
    missing_folders,
    move_file,
    remove_empty_folders,
    unfinished_path,
)
from imrec_core.duplicates.journal import Journal
from imrec_core.duplicates.move_plan import File, Move, MovePlan, refuse
from imrec_core.errors import BadPlan

_TIME_UNITS = (100, 1_000, 10**7, 10**9, TIME_RESOLUTION)  # ns: NTFS, NFS 3 of some servers, exFAT, ext3, FAT


def apply_plan(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> int:
    """Move the files of a plan to a folder, or continue an interrupted run.

    Returns:
        Number of files moved, with their companions, including those of an interrupted run.

    Raises:
        BadPlan: A file to move or to keep is changed or missing, an image has companions that the plan does not know, a
            target exists, the folder is inside a source, or the plan was applied to another folder. Nothing was moved,
            unless a file changed during the run: the message then says so, and that image is in its place.
    """
    path, to = Path(path), Path(to).absolute()
    plan = MovePlan.load(path)
    journal = Journal.beside(path)
    begun = journal.moves()
    _require_target(path, plan, journal, to)
    if begun:
        heading = f"{path}: no other file was moved; to move back those that were: imrec duplicates --undo {path}"
    else:
        heading = f"{path}: nothing was moved"
    refuse(heading, _plan_objections(plan, to, set(begun)))
    journal.begin(to)
    run = _Run(to, journal, begun)
    for number, move in enumerate(plan.moves):
        try:
            run.apply(move)
        except BadPlan as error:
            raise BadPlan(_interruption(path, plan, number, error, journal)) from error
    return len(plan.files)


def _require_target(path: Path, plan: MovePlan, journal: Journal, to: Path) -> None:
    """Refuse another folder than that of an earlier run, and folders inside a source, by whatever path."""
    begun = journal.folder()
    if begun is not None and begun != to:
        raise BadPlan(f"{path} was applied to {begun}; undo it first, or give the same folder")
    outer = {file_id(folder) for folder in (to.resolve(), *to.resolve().parents)}
    for root in plan.roots.values():
        if file_id(root) in outer:
            raise BadPlan(f"{to} is inside {root}, a source of the lake; choose a folder outside all sources")


def _interruption(path: Path, plan: MovePlan, number: int, error: BadPlan, journal: Journal) -> str:
    if not journal.moves():
        remove_empty_folders(journal.folders())
        journal.end()
        return f"{path}: nothing was moved: {error}"
    done = f"{number} of {len(plan.moves)} images are moved"
    return f"{path}: {error}; {done}; run the command again to continue, or with --undo to move the files back"


# -- objections ---------------------------------------------------------------------------------------------


def _plan_objections(plan: MovePlan, to: Path, begun: set[str]) -> Iterator[str]:
    moved = {file_id(file.path) for file, _ in plan.files}
    paths = {file.path for file, _ in plan.files}
    staying = {file_id(move.kept.path) for move in plan.moves}
    folders = Folders({extension(path) for path in paths})
    for move in plan.moves:
        source = Path(move.file.path)
        kept = move.kept.find_change()
        if kept:
            yield f"{kept}, but must stay"
        elif is_one_file(source, move.kept.path):
            yield f"{source} and {move.kept.path} are the same file"
        elif file_id(move.kept.path) in moved:
            yield f"{move.kept.path} would be moved, but must stay in place of {source}"
        for file, below in move.files:
            yield from _file_objections(file, to / below, is_begun=below in begun)
        if os.path.lexists(source):
            yield from _companion_objections(move, folders, paths, staying)


def _companion_objections(move: Move, folders: Folders, paths: set[str], staying: set[FileId]) -> Iterator[str]:
    path = move.file.path
    reason = folders.obstacle(path, paths, staying)
    if reason:
        yield f"{path} cannot be moved: {reason}; make a new plan"
    for companion in folders.companions(path):
        if companion not in paths:
            yield f"{companion} belongs to {path}, but is not in the plan; make a new plan"


def _file_objections(file: File, target: Path, *, is_begun: bool) -> Iterator[str]:
    """List the reasons against moving a file; a move of an interrupted run may be half done."""
    source = Path(file.path)
    is_here, is_there = os.path.lexists(source), os.path.lexists(target)
    if is_there and (not is_begun or (is_here and not is_moved_but_for_unlink(source, target))):
        yield f"{target} already exists"
    if is_here or not (is_begun and is_there):
        change = file.find_change()
        if change:
            yield change


# -- apply --------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """One run over a plan.

    Attributes:
        begun: Relative targets of the files that an interrupted run began to move.
    """

    to: Path
    journal: Journal
    begun: list[str]
    reader: ContentReader = field(default_factory=ContentReader)

    def apply(self, move: Move) -> None:
        """Move an image and its companions, or none of them.

        Raises:
            BadPlan: A file is not as planned or cannot be moved.
        """
        pending = [
            (file, below)
            for file, below in move.files
            if os.path.lexists(file.path) or not os.path.lexists(self.to / below)
        ]
        if not pending and not any(below in self.begun[-1:] for _, below in move.files):
            return  # an earlier run has looked at the kept file after this move
        try:
            self._require_kept(move)
            for file, _ in pending:
                self._require_unchanged(file)
            for file, below in pending:
                self._move(file, below)
                self._require_kept(move)
        except BadPlan as error:
            self._take_back(move, error)
            raise

    def _require_kept(self, move: Move) -> None:
        change = move.kept.find_change(reader=self.reader)
        if change:
            raise BadPlan(f"{change}, but must stay in place of {move.file.path}")
        paths = [path for file, below in move.files for path in (file.path, self.to / below)]
        if file_id(move.kept.path) in map(file_id, paths):
            raise BadPlan(f"{move.file.path} and {move.kept.path} are the same file")

    def _require_unchanged(self, file: File) -> None:
        change = file.find_change(reader=self.reader)
        if change:
            raise BadPlan(change)

    def _move(self, file: File, below: str) -> None:
        source, target = Path(file.path), self.to / below
        if below not in self.begun and os.path.lexists(target):
            raise BadPlan(f"{target} already exists")
        try:
            state, digest = self.reader.read(source)
            if digest != file.content_hash:
                raise BadPlan(f"{source} has changed")
            folders = missing_folders(target.parent)
            if folders:
                self.journal.append_folders(folders)
            move_file(source, target, state=state, note=partial(self.journal.append, below))
        except OSError as error:
            raise BadPlan(f"cannot move {source} to {target} ({error.strerror or error})") from error

    def _take_back(self, move: Move, error: BadPlan) -> None:
        """Move those files back that were moved already."""
        begun = set(self.journal.moves())
        for file, below in reversed(move.files):
            if below in begun and os.path.lexists(self.to / below) and not os.path.lexists(file.path):
                try:
                    move_file(self.to / below, Path(file.path))
                except BadPlan as second:
                    raise BadPlan(f"{error}, and {second}") from second


# -- undo ---------------------------------------------------------------------------------------------------


def undo_plan(path: str | os.PathLike[str]) -> int:
    """Move the files of a plan back, and remove the folders that were created for them.

    Returns:
        Number of files moved back.

    Raises:
        BadPlan: The plan was not applied, a moved file is changed or missing, or another file has its old path.
    """
    path = Path(path)
    plan = MovePlan.load(path)
    journal = Journal.beside(path)
    to, begun = journal.folder(), set(journal.moves())
    if to is None:
        raise BadPlan(f"{path} was not applied, or is already undone: there is no {journal.path}")
    moved = [(file, to / below) for file, below in plan.files if below in begun]
    refuse(f"{path}: nothing was moved", (reason for file, at in moved for reason in _undo_objections(file, at)))
    try:
        count = sum([_move_back(file, target) for file, target in reversed(moved)])
    except BadPlan as error:
        raise BadPlan(f"{path}: {error}; run the command again to continue") from error
    remove_empty_folders(journal.folders())
    journal.end()
    return count


def _move_back(file: File, target: Path) -> bool:
    """Move a file back, unless it is in its place already."""
    unfinished_path(target).unlink(missing_ok=True)
    if not os.path.lexists(target):
        return False
    move_file(target, Path(file.path))
    with suppress(OSError):
        _restore_time(file)
    return True


def _undo_objections(file: File, target: Path) -> Iterator[str]:
    source = Path(file.path)
    if not os.path.lexists(target):
        if not os.path.lexists(source):
            yield f"{target} is missing"
        return
    change = file.find_change(target)
    if change:
        yield change
    elif os.path.lexists(source) and not is_moved_but_for_unlink(target, source):
        yield f"{source} already exists, {'as a link' if source.is_symlink() else 'with other content'}"


def _restore_time(file: File) -> None:
    """Set the modification time as planned if the disk of the target folder has rounded it down."""
    found = os.stat(file.path)
    rounded = {file.mtime_ns // unit * unit for unit in _TIME_UNITS}
    if found.st_mtime_ns != file.mtime_ns and found.st_mtime_ns in rounded:
        os.utime(file.path, ns=(found.st_atime_ns, file.mtime_ns))
