"""Move plans: which duplicates to move to a folder, as a JSON file that users can edit; `plan_execution.py` applies it.

Files are moved, never deleted. Companions of an image, such as sidecars, move with it; where they cannot, the image
stays. A plan holds the state of each file, so that nothing moves on outdated information.
"""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from imrec_core.duplicates.companions import Folders, extension
from imrec_core.duplicates.contents import Copy
from imrec_core.duplicates.file_identity import ContentReader, FileId, file_id
from imrec_core.duplicates.groups import Duplicates
from imrec_core.errors import BadPlan
from imrec_core.lake.settings import RAW_EXTENSIONS
from imrec_core.lake.storage.files import is_url

_FORMAT = 2
_READABLE_FORMATS = (1, 2)  # 1, of imrec 0.1, had no companions


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

    @classmethod
    def at(cls, path: str) -> File:
        """Read the state of a file, with its content.

        Raises:
            OSError: The file is missing or cannot be read.
        """
        state, digest = ContentReader().read(Path(path))
        return cls(path, state.byte_size, state.mtime_ns, digest)

    @classmethod
    def unread(cls, path: str) -> File:
        """Read the state of a file without its content, and an empty hash.

        Raises:
            OSError: The file is missing, or may not be read.
        """
        stat = os.stat(path)
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return cls(path, stat.st_size, stat.st_mtime_ns, "")

    def find_change(self, at: Path | None = None, reader: ContentReader | None = None) -> str:
        """Describe how the file differs from the plan; empty if it does not.

        Args:
            at: Path of the file, if it was moved.
            reader: Compares the content; without it, only if the modification time differs.
        """
        path = at or Path(self.path)
        try:
            if is_url(self.path):
                return f"{self.path} is in an object store; imrec moves local files only"
            if path.is_symlink():
                return f"{path} is a link; move it by hand"
            stat = path.stat()
            if not path.is_file():
                return f"{path} is not a file"
            if stat.st_size != self.byte_size:
                return f"{path} has changed"
            if reader is None and stat.st_mtime_ns == self.mtime_ns:
                return ""
            _, digest = (reader or ContentReader()).read(path)
            return "" if digest == self.content_hash else f"{path} has changed"
        except FileNotFoundError:
            return f"{path} is missing"
        except (OSError, ValueError) as error:
            return f"{path} cannot be read ({error})"


@dataclass(frozen=True)
class Move:
    """One image to move, with its companions.

    Attributes:
        below: Target, relative to the folder of moved files: the source, then the path in it.
        kept: The file of its group that is kept.
        companions: Files that move to the same folder as the image.
    """

    file: File
    below: str
    kept: File
    tier: str
    companions: tuple[File, ...] = ()

    @property
    def files(self) -> list[tuple[File, str]]:
        """The image, then its companions, each with its relative target."""
        folder = PurePosixPath(self.below).parent
        names = ((companion, os.path.basename(companion.path)) for companion in self.companions)
        return [(self.file, self.below), *((companion, str(folder / name)) for companion, name in names)]


@dataclass(frozen=True)
class LeftInPlace:
    """An image that its group would move, but that stays, and the reason as a clause: `its companion … is a link`."""

    path: str
    reason: str


@dataclass(frozen=True)
class MovePlan:
    """Files to move, with the state in which they must be.

    Attributes:
        roots: Root folders of the sources, by name; the target must not be inside one.
        left: Images that stay because they cannot be moved, or not with their companions.
    """

    moves: tuple[Move, ...]
    roots: dict[str, str]
    tier: str
    keep: str
    left: tuple[LeftInPlace, ...] = ()

    @classmethod
    def of(cls, found: Duplicates) -> MovePlan:
        """Plan to move all files of the groups, except those to keep.

        Groups with symbolic links are left in place: neither a link nor its target may move. Companions are read, for
        their content hashes.
        """
        return cls._of(found, File.at)

    @classmethod
    def preview(cls, found: Duplicates) -> MovePlan:
        """Plan as `of` does, but read no file: companions have no content hash. For display, not to be applied."""
        return cls._of(found, File.unread)

    @classmethod
    def _of(cls, found: Duplicates, state_of: Callable[[str], File]) -> MovePlan:
        stays = {copy.path for group in found for copy in group.copies if copy.is_kept}
        moves: dict[str, Move] = {}
        linked: dict[str, LeftInPlace] = {}
        for group in found:
            has_links = any(os.path.islink(copy.path) for copy in group.copies)
            for copy in group.copies:
                if copy.path in stays:
                    continue
                if has_links:
                    linked[copy.path] = LeftInPlace(copy.path, "there is a link in its group; move it by hand")
                else:
                    below = f"{copy.source}/{copy.below}"
                    move = Move(File.of(copy), below, File.of(group.representative), group.tier)
                    moves.setdefault(copy.path, move)
        left = [image for path, image in linked.items() if path not in moves]
        left += _add_companions(moves, stays, state_of)
        return cls(tuple(moves.values()), found.roots, found.tier, found.keep, tuple(left))

    @property
    def files(self) -> list[tuple[File, str]]:
        """All files to move, with their relative targets."""
        return [file for move in self.moves for file in move.files]

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
            if stored["format"] not in _READABLE_FORMATS:
                raise BadPlan(f"{path}: plan format is {stored['format']!r}, expected {_FORMAT}")
            moves = tuple(map(_parse_move, stored["moves"]))
            left = tuple(LeftInPlace(**image) for image in stored.get("left", ()))
            plan = cls(moves, dict(stored["roots"]), str(stored["tier"]), str(stored["keep"]), left)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadPlan(f"{path} is not a plan of imrec duplicates ({type(error).__name__}: {error})") from error
        refuse(f"{path}: nothing was moved", _inconsistencies(plan))
        return plan


def refuse(heading: str, objections: Iterable[str]) -> None:
    """Raise an error with the first five objections, if there are any.

    Raises:
        BadPlan: There are objections.
    """
    found = list(dict.fromkeys(objections))
    if found:
        more = f", and {len(found) - 5} more" if len(found) > 5 else ""
        raise BadPlan(f"{heading}: {'; '.join(found[:5])}{more}")


def _parse_move(stored: Any) -> Move:
    companions = tuple(map(_parse_file, stored.get("companions", ())))
    file, kept = _parse_file(stored["file"]), _parse_file(stored["kept"])
    return Move(file, str(stored["below"]), kept, str(stored["tier"]), companions)


def _parse_file(stored: Any) -> File:
    file = File(**stored)
    return File(str(file.path), int(file.byte_size), int(file.mtime_ns), str(file.content_hash))


def _inconsistencies(plan: MovePlan) -> Iterator[str]:
    moved = Counter(file.path for file, _ in plan.files)
    for path, times in moved.items():
        if times > 1:
            yield f"{path} would be moved {times} times"
        if is_url(path):
            yield f"{path} is in an object store; imrec moves local files only"
    for below, times in Counter(below for _, below in plan.files).items():
        if times > 1:
            yield f"{times} files would be moved to {below}"
        parts = Path(below).parts
        if not parts or Path(below).is_absolute() or ".." in parts:
            yield f"{below!r} is not a path inside the target folder"
    for move in plan.moves:
        if move.kept.path in moved:
            yield f"{move.kept.path} would be moved, but must stay in place of {move.file.path}"


# -- companions ---------------------------------------------------------------------------------------------


def _add_companions(moves: dict[str, Move], stays: set[str], state_of: Callable[[str], File]) -> list[LeftInPlace]:
    """Add the companions to the moves, and remove the moves of images that cannot go with theirs.

    An image that stays may keep others that share its companions, so this is repeated until all moves are possible.
    """
    folders = Folders({extension(path) for path in (*moves, *stays)})
    staying = {file_id(path) for path in stays}
    states = cache(lambda path: _read_companion(path, state_of))
    left: list[LeftInPlace] = []
    while True:
        reasons = {path: _obstacle(move, folders, moves, staying, states) for path, move in moves.items()}
        found = [LeftInPlace(path, reason) for path, reason in reasons.items() if reason]
        if not found:
            break
        left += found
        for image in found:
            del moves[image.path]
    taken = set(moves)  # a RAW file may be an image of its own, and two images may share a sidecar
    for path, move in moves.items():
        companions = [companion for companion in folders.companions(path) if companion not in taken]
        taken.update(companions)
        moves[path] = replace(move, companions=tuple(s for s in map(states, companions) if isinstance(s, File)))
    return left


def _obstacle(
    move: Move,
    folders: Folders,
    moves: Mapping[str, Move],
    staying: Collection[FileId],
    states: Callable[[str], File | str],
) -> str:
    """Explain why an image cannot be moved with its companions; empty if it can."""
    path, kept = move.file.path, move.kept.path
    if is_url(path) or is_url(kept):
        return (
            f"{'it' if is_url(path) else 'the file that is kept'} is in an object store; imrec moves local files only"
        )
    if extension(path) in RAW_EXTENSIONS and extension(kept) not in RAW_EXTENSIONS:
        return f"it is a RAW file, and {os.path.basename(kept)} is not"
    reason = folders.obstacle(path, moves, staying)
    if reason:
        return reason
    others = (companion for companion in folders.companions(path) if companion not in moves)
    return next((state for state in map(states, others) if isinstance(state, str)), "")


def _read_companion(path: str, state_of: Callable[[str], File]) -> File | str:
    """Read the state of a companion; the reason if that fails."""
    try:
        return state_of(path)
    except OSError as error:
        return f"its companion {os.path.basename(path)} cannot be read ({error.strerror or error})"
