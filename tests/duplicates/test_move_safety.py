"""Random trees, changes and interruptions between plan, apply and undo: no file is lost, and what stays, stays."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from imrec_core.duplicates import find_duplicates
from imrec_core.duplicates.groups import Duplicates
from imrec_core.duplicates.move_plan import MovePlan
from imrec_core.duplicates.plan_execution import apply_plan, undo_plan
from imrec_core.errors import BadPlan, LakeError
from imrec_core.images.hashing import content_hash
from tests.support import toy
from tests.support.identical import find_identical
from tests.support.pictures import encode

DAY = 1_700_000_000 * 10**9
FOLDERS = ("photos", "photos/deep", "scans", "empty/inner")
NAMES = ("a.jpg", "b.jpg", "A.png", "a.xmp", "A.JPG.xmp", "a.mov", "a.CR2", "b.cr2", "c.jpg", "c.AAE")
CALLS = ("link", "unlink", "mkdir", "rename", "replace", "rmdir", "fsync")
PART = ".imrec-part"  # of an interrupted copy

Drawn = dict[tuple[str, str], tuple[int, int]]
State = tuple[str, int]
Tree = dict[str, State]


# -- a tree, and the duplicates in it -----------------------------------------------------------------------


def payload(number: int) -> bytes:
    """One of a few contents, all of one size."""
    return b"content %d" % number


def sources_of(root: Path) -> dict[str, Path]:
    """The sources in a tree, of which one lies in another."""
    return {name: root / name for name in ("photos", "scans", "empty")} | {"part": root / "photos" / "deep"}


def find_alike(root: Path) -> Duplicates:
    """Group the files of a tree; two contents each are copies of each other."""
    return find_identical(sources_of(root), kinds={content_hash(payload(n)): n // 2 for n in range(6)})


def find_in_lake(root: Path) -> Duplicates:
    """Build a lake of the images of a tree, and find the duplicates in it."""
    sources = sources_of(root)
    del sources["part"]  # a lake refuses sources that overlap
    lake = toy.new_lake(root.parent / "lake", ("phash", "dhash"), sources=sources)
    try:
        toy.build(lake)
    except LakeError:  # no image in the tree
        assume(False)
    return find_duplicates(lake)


@cache
def picture(number: int) -> bytes:
    """One of a few drawn photos, as PNG or as JPEG."""
    drawn = Image.fromarray(toy.photo(number // 2))
    return encode(drawn, "JPEG", quality=80) if number % 2 else encode(drawn, "PNG")


def tree_of(root: Path) -> Tree:
    """Content and time of each regular file; those of imrec itself do not count."""
    return {
        name: (content_hash(path.read_bytes()), path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
        if not (name := path.relative_to(root).as_posix()).startswith("plan.json") and path.suffix != PART
    }


def files_of(root: Path) -> Counter[State]:
    """How often each content with its time exists; names of one file count once."""
    tree = tree_of(root)
    return Counter({os.stat(root / name).st_ino: state for name, state in tree.items()}.values())


def folders_of(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir() and not path.is_symlink()}


# -- what happens to it -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Action:
    """Something that the user does to a file; the numbers select files and a content."""

    kind: str
    which: int
    other: int
    content: int

    def run(self, root: Path, planned: Sequence[Path] = ()) -> None:
        """Act on one of all files or, mostly, of those in the plan."""
        files = [root / name for name in sorted(tree_of(root))]
        if not files:
            return
        chosen = [path for path in planned if path.is_file()] if self.which % 4 else []
        path, other = (chosen or files)[self.which % len(chosen or files)], files[self.other % len(files)]
        free = path.with_name(f"new{self.content}{path.suffix}")
        with contextlib.suppress(OSError):
            getattr(self, self.kind)(path, other, free)

    def replace(self, path: Path, _other: Path, _free: Path) -> None:
        """Another content of the same size and time, in a new file."""
        stat, new = path.stat(), path.parent / "new"
        new.write_bytes(payload(self.content).ljust(stat.st_size)[: stat.st_size])
        os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        os.replace(new, path)

    def overwrite(self, path: Path, _other: Path, _free: Path) -> None:
        """Another content of the same size and time, in the same file and all its names."""
        stat = path.stat()
        path.write_bytes(payload(self.content).ljust(stat.st_size)[: stat.st_size])
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def edit(self, path: Path, _other: Path, _free: Path) -> None:
        path.write_bytes(b"edited %d" % self.content)

    def touch(self, path: Path, _other: Path, _free: Path) -> None:
        os.utime(path, ns=(DAY, DAY + 10**10 * self.content))

    def remove(self, path: Path, _other: Path, _free: Path) -> None:
        path.unlink()

    def rename(self, path: Path, _other: Path, free: Path) -> None:
        if not free.exists():
            path.rename(free)

    def swap(self, path: Path, other: Path, _free: Path) -> None:
        path.rename(path.parent / "between")
        other.rename(path)
        (path.parent / "between").rename(other)

    def hard_link(self, path: Path, _other: Path, free: Path) -> None:
        os.link(path, free)

    def hard_link_over(self, path: Path, other: Path, _free: Path) -> None:
        """One of two files becomes a second name of the other."""
        os.link(path, other.parent / "linked")
        os.replace(other.parent / "linked", other)

    def symbolic_link(self, path: Path, other: Path, _free: Path) -> None:
        other.unlink()
        other.symlink_to(path)

    def copy_over(self, path: Path, _other: Path, _free: Path) -> None:
        """A copy of a file appears where the file was moved from, or where it is to move."""
        if not os.path.lexists(counterpart(path)):
            shutil.copy2(path, counterpart(path))

    def put_over(self, path: Path, other: Path, _free: Path) -> None:
        """Another file appears where a file was moved from, or where it is to move."""
        if not os.path.lexists(counterpart(path)):
            shutil.copy2(other, counterpart(path))

    def link_over(self, path: Path, _other: Path, _free: Path) -> None:
        """A link to a file appears where the file was moved from, or where it is to move."""
        counterpart(path).symlink_to(path)


def counterpart(path: Path) -> Path:
    """The place of a moved file in the tree, or the place to which a file of the tree would move."""
    root = next(parent for parent in path.parents if parent.name == "tree")
    name = path.relative_to(root).as_posix()
    if not name.startswith("new/moved/"):
        return root / "new" / "moved" / name
    source, _, rest = name.removeprefix("new/moved/").partition("/")
    return root / ("photos/deep" if source == "part" else source) / rest


ACTIONS = ("replace", "overwrite", "edit", "touch", "remove", "rename", "swap", "hard_link", "hard_link_over",
           "symbolic_link", "copy_over", "put_over", "link_over", "link_over", "replace")  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """What happens at the n-th call into the system: the process is killed, an error, or the user acts."""

    kind: str
    step: int
    action: Action


class Killed(BaseException):
    pass


@dataclass
class World:
    """A tree with a plan, and what the user has changed in it.

    Attributes:
        held: Files that must exist: those of the tree, with what the user changed. An interrupted copy adds none.
        has_copies: The user has copied files to places of moves.
        looked_at: Images that were moved before the user acted, or before the operation.
    """

    root: Path
    has_links: bool
    find: Callable[[Path], Duplicates]
    plan: MovePlan = field(init=False)
    before: Tree = field(init=False)
    folders: set[str] = field(init=False)
    touched: set[str] = field(default_factory=set)
    held: Counter[State] = field(default_factory=Counter)
    has_copies: bool = False
    looked_at: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.plan = MovePlan.of(self.find(self.root))
        self.plan.save(self.root / "plan.json")
        self.before, self.folders, self.held = tree_of(self.root), folders_of(self.root), files_of(self.root)

    @property
    def path(self) -> Path:
        return self.root / "plan.json"

    @property
    def to(self) -> Path:
        return self.root / "new" / "moved"

    def act(self, action: Action) -> None:
        """Let the user act, and note the files that this changes."""
        before, files_before = self._with_links(), files_of(self.root)
        action.run(self.root, self._planned())
        after, files_after = self._with_links(), files_of(self.root)
        self.held = self.held - (files_before - files_after) + (files_after - files_before)
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        self.touched |= changed
        self.touched |= {self._name(str(counterpart(self.root / name))) for name in changed}
        self.has_copies |= action.kind in ("copy_over", "put_over")

    def _planned(self) -> list[Path]:
        moves = self.plan.moves
        return [path for m in moves for path in (Path(m.kept.path), Path(m.file.path), self.to / m.below)]

    def _with_links(self) -> dict[str, object]:
        links = {p.relative_to(self.root).as_posix(): "link" for p in self.root.rglob("*") if p.is_symlink()}
        inodes = {name: (state, os.stat(self.root / name).st_ino) for name, state in tree_of(self.root).items()}
        return {**inodes, **links}

    def operate(self, operation: Callable[[], object], fault: Fault) -> bool:
        """Apply or undo, with a fault. Nothing may be lost; returns whether the operation ended well."""
        kept = self._kept_files()
        done = False
        with pytest.MonkeyPatch.context() as patch:
            inject(patch, fault, self.has_links, self._act_during)
            with contextlib.suppress(Killed, BadPlan):
                operation()
                done = True
        self._require_all_held()
        for path, inode in kept.items():
            if self._name(path) not in self.touched:
                assert os.stat(path).st_ino == inode, "a kept file was moved"
        return done

    def _require_all_held(self) -> None:
        """An exact copy that the user puts in the way of a move cannot be told from a half-done move: one may go."""
        now = files_of(self.root)
        lost = set(self.held) - set(now) if self.has_copies else self.held - now
        assert not lost, "a file is lost"
        self.held &= now

    def _act_during(self, action: Action) -> None:
        self._require_all_held()
        self.looked_at |= {move.file.path for move in self.plan.moves if not os.path.lexists(move.file.path)}
        self.act(action)

    def _kept_files(self) -> dict[str, int]:
        paths = {move.kept.path for move in self.plan.moves}
        return {path: os.stat(path).st_ino for path in paths if os.path.isfile(path) and not os.path.islink(path)}

    def _name(self, path: str) -> str:
        return Path(path).relative_to(self.root).as_posix()

    def apply(self, fault: Fault) -> None:
        self.looked_at = {move.file.path for move in self.plan.moves if not os.path.lexists(move.file.path)}
        done = self.operate(lambda: apply_plan(self.path, self.to), fault)
        for move in self.plan.moves:
            kept, target = Path(move.kept.path), self.to / move.below
            is_moved = target.is_file() and not os.path.lexists(move.file.path)
            if is_moved and move.file.path not in self.looked_at and fault.kind in ("none", "error", "user"):
                assert content_hash(kept.read_bytes()) == move.kept.content_hash
                assert fault.kind == "user" or content_hash(target.read_bytes()) == move.file.content_hash
                assert not os.path.samefile(kept, target)
        for file, below in self.plan.files if done and fault.kind != "user" else []:
            assert not os.path.lexists(file.path)
            assert os.path.lexists(self.to / below)

    def undo(self, fault: Fault) -> bool:
        if not self.operate(lambda: undo_plan(self.path), fault):
            return False
        now = tree_of(self.root)
        assert {name: now.get(name) for name in self.before if name not in self.touched} == {
            name: state for name, state in self.before.items() if name not in self.touched
        }
        assert not list(self.root.rglob(f"*{PART}"))
        if not self.touched:
            assert (now, folders_of(self.root)) == (self.before, self.folders)
        in_use = {self._name(str(folder)) for name in self._with_links() for folder in (self.root / name).parents[:-1]
                  if folder.is_relative_to(self.root)}  # fmt: skip
        assert folders_of(self.root) - self.folders <= in_use
        return True


def inject(patch: pytest.MonkeyPatch, fault: Fault, has_links: bool, act: Callable[[Action], None]) -> None:
    """Count the calls into the system, and let one of them fail. A killed process makes no further calls."""
    count, is_dead, has_acted = 0, False, False

    def failing(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            nonlocal count, is_dead, has_acted
            count += fault.kind != "user" or name in ("link", "fsync", "mkdir")  # an unlink is too late to act
            if is_dead:
                raise Killed
            if count == fault.step and fault.kind == "user" and not has_acted:
                has_acted = True
                with pytest.MonkeyPatch.context() as inner:
                    for call, real in originals.items():
                        inner.setattr(os, call, real)
                    act(fault.action)
            elif count == fault.step and fault.kind in ("killed", "torn"):
                is_dead = True
                if fault.kind == "torn" and name == "fsync":
                    os.ftruncate(args[0], max(0, os.fstat(args[0]).st_size - 3))
                raise Killed
            elif count == fault.step and fault.kind == "error" and name not in ("unlink", "rmdir"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if name == "link" and not has_links:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            result = function(*args, **kwargs)
            if count == fault.step and fault.kind == "killed after":
                is_dead = True
                raise Killed
            return result

        return called

    originals = {name: getattr(os, name) for name in CALLS}
    for name, function in originals.items():
        patch.setattr(os, name, failing(name, function))


# -- the property -------------------------------------------------------------------------------------------

files = st.dictionaries(
    st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from([0, 0, 0, 1, 1, 2, 4]), st.integers(0, 3)),
    min_size=3,
    max_size=12,
)
actions = st.builds(Action, st.sampled_from(ACTIONS), st.integers(0, 50), st.integers(0, 50), st.integers(0, 5))
faults = st.builds(
    Fault,
    st.sampled_from(["none", "none", "killed", "killed after", "torn", "error", "user", "user"]),
    st.integers(1, 25),
    actions,
)
rounds = st.tuples(st.lists(actions, max_size=2), st.sampled_from(["apply", "apply", "undo"]), faults)
scripts = st.lists(rounds, min_size=1, max_size=3)
NO_FAULT = Fault("none", 0, Action("touch", 0, 0, 0))


@contextlib.contextmanager
def new_world(drawn: Drawn, before: list[Action], has_links: bool, *, in_lake: bool = False) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        for (name, file), (content, time) in drawn.items():
            path = root / name / file
            is_image = path.suffix.lower() in (".jpg", ".png")
            path.write_bytes(picture(content) if in_lake and is_image else payload(content))
            os.utime(path, ns=(DAY, DAY + 3 * time * 10**9))
        for action in before:
            action.run(root)
        yield World(root, has_links, find_in_lake if in_lake else find_alike)


def check(examples: int, *, in_lake: bool = False, is_seeded: bool = False) -> None:
    planned = 0
    options: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=examples, derandomize=is_seeded, **options)
    @given(files, st.lists(actions, max_size=3), scripts, st.booleans())
    def run(drawn: Drawn, before: list[Action], script: list[Any], has_links: bool) -> None:
        nonlocal planned
        with new_world(drawn, before, has_links, in_lake=in_lake) as world:
            planned += bool(world.plan.moves)
            for changes, operation, fault in script:
                for change in changes:
                    world.act(change)
                world.apply(fault) if operation == "apply" else world.undo(fault)
            world.apply(NO_FAULT)
            was_applied = (world.root / "plan.json.journal").exists()
            is_undone = world.undo(NO_FAULT)
            assert is_undone or world.touched or not was_applied

    run()
    assert planned >= max(1, examples // 6)


def test_no_file_is_lost_and_what_stays_stays():
    check(50, is_seeded=True)


def test_no_drawn_image_of_a_lake_is_lost():
    check(8, in_lake=True, is_seeded=True)


@pytest.mark.long
def test_no_file_is_lost_in_five_hundred_examples():
    check(500)
    check(50, in_lake=True)
