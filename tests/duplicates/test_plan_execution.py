"""At its turn each file is as planned by its content, or it stays; undo leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imrec_core.duplicates import file_moves, plan_execution
from imrec_core.duplicates.file_moves import is_moved_but_for_unlink, missing_folders, move_file
from imrec_core.duplicates.journal import Journal
from imrec_core.duplicates.move_plan import File, Move, MovePlan
from imrec_core.duplicates.plan_execution import apply_plan, undo_plan
from imrec_core.errors import BadPlan


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three files that are to move, each with a sidecar, and one that stays for each."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for number in range(3):
        (folder / f"kept{number}.jpg").write_bytes(b"kept %d" % number)
        (folder / "deep" / f"{number}.jpg").write_bytes(b"goes %d" % number)
        (folder / "deep" / f"{number}.xmp").write_bytes(b"xmp %d" % number)
    return folder


@pytest.fixture
def plan(photos: Path) -> Path:
    moves = []
    for number in range(3):
        file, kept, sidecar = f"deep/{number}.jpg", f"kept{number}.jpg", f"deep/{number}.xmp"
        states = [File.at(str(photos / name)) for name in (file, kept, sidecar)]
        moves.append(Move(states[0], f"photos/{file}", states[1], "near", (states[2],)))
    MovePlan(tuple(moves), {"photos": str(photos)}, "near", "largest").save(photos.parent / "plan.json")
    return photos.parent / "plan.json"


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def replace_file(path: Path, *, in_place: bool = False) -> None:
    """Another content of the same size and time."""
    stat = path.stat()
    data = bytes(reversed(path.read_bytes()))
    if in_place:
        path.write_bytes(data)
    else:
        path.with_name("new").write_bytes(data)
        os.replace(path.with_name("new"), path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("name", "words", "moved"),
    [
        ("kept0.jpg", "kept0.jpg has changed, but must stay in place of .*0.jpg", 0),
        ("kept2.jpg", "kept2.jpg has changed, but must stay", 2),
        ("deep/1.jpg", "1.jpg has changed", 1),
        ("deep/1.xmp", "1.xmp has changed", 1),
    ],
)
def test_content_of_equal_size_and_time_is_seen_when_its_turn_comes(
    photos, plan, tmp_path, name, words, moved, in_place
):
    replace_file(photos / name, in_place=in_place)
    before = contents(photos)
    heading = f"{moved} of 3 images are moved" if moved else "nothing was moved"
    with pytest.raises(BadPlan, match=words) as raised:
        apply_plan(plan, tmp_path / "moved")
    assert heading in str(raised.value)
    assert len(contents(tmp_path / "moved")) == 2 * moved
    if moved:
        assert undo_plan(plan) == 2 * moved
    assert contents(photos) == before
    assert not (tmp_path / "moved").exists()
    assert not plan.with_name("plan.json.journal").exists()


def during(monkeypatch: pytest.MonkeyPatch, call: str, count: int, act: Callable[[], object]) -> None:
    """Act right before the given call into the system."""
    real, calls = getattr(os, call), iter(range(1, 10**6))

    def called(*args: object, **options: object) -> object:
        if next(calls) == count:
            act()
        return real(*args, **options)

    monkeypatch.setattr(os, call, called)


@pytest.mark.parametrize("call", ["link", "unlink"])
@pytest.mark.parametrize("change", ["replaced", "removed", "renamed", "one with the moved"])
def test_move_is_taken_back_if_the_kept_file_changes_while_it_moves(photos, plan, tmp_path, monkeypatch, call, change):
    kept, before = photos / "kept1.jpg", contents(photos / "deep")

    def act() -> None:
        if change == "replaced":
            replace_file(kept)
        elif change == "renamed":
            kept.rename(photos / "other.jpg")
        else:
            kept.unlink()
        if change == "one with the moved":
            shutil.copy2(photos / "deep" / "1.jpg", kept)
            os.utime(kept, ns=(0, os.stat(kept).st_mtime_ns))

    during(monkeypatch, call, 3, act)
    with pytest.raises(BadPlan, match=r"kept1\.jpg .*1 of 3 images are moved"):
        apply_plan(plan, tmp_path / "moved")
    monkeypatch.undo()
    names = {"photos/deep/0.jpg", "photos/deep/0.xmp"}
    assert set(contents(tmp_path / "moved")) == names
    assert undo_plan(plan) == 2
    assert contents(photos / "deep") == before


@pytest.mark.parametrize("is_other_disk", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_file_that_changes_while_it_moves_stays(photos, plan, tmp_path, monkeypatch, is_other_disk, in_place):
    path = photos / "deep" / "1.jpg"
    if is_other_disk:
        real = file_moves._copy
        calls = iter(range(10))

        def copy(source: Path, target: Path) -> None:
            real(source, target)
            if next(calls) == 2:
                replace_file(path, in_place=in_place)

        monkeypatch.setattr(file_moves, "_NO_LINKS", (1,))
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(1, "no links")))
        monkeypatch.setattr(file_moves, "_copy", copy)
    else:
        during(monkeypatch, "fsync", 4, lambda: replace_file(path, in_place=in_place))
    with pytest.raises(BadPlan, match=r"1\.jpg .*change.*1 of 3 images are moved"):
        apply_plan(plan, tmp_path / "moved")
    monkeypatch.undo()
    assert path.read_bytes() == b"1 seog"
    assert (photos / "deep" / "1.xmp").exists()
    assert undo_plan(plan) == 2


def test_target_that_appears_in_between_is_not_overwritten(photos, plan, tmp_path, monkeypatch):
    target = tmp_path / "moved" / "photos" / "deep" / "1.xmp"
    during(monkeypatch, "link", 3, lambda: target.write_bytes(b"xmp 1"))  # equal bytes, but no copy of imrec
    before = contents(photos)
    with pytest.raises(BadPlan, match=r"1\.xmp already exists.*1 of 3 images are moved"):
        apply_plan(plan, tmp_path / "moved")
    assert contents(photos).keys() == before.keys() - {"deep/0.jpg", "deep/0.xmp"}
    assert undo_plan(plan) == 2
    assert contents(photos) == before
    assert contents(tmp_path / "moved") == {"photos/deep/1.xmp": (b"xmp 1", target.stat().st_mtime_ns)}


# -- undo ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [[], ["new"], ["new/moved"], ["new/moved/photos"], ["new/moved/other", "new/x"]])
def test_undo_removes_the_folders_that_were_created_and_no_others(photos, plan, tmp_path, there):
    for folder in there:
        (tmp_path / folder).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    assert apply_plan(plan, tmp_path / "new" / "moved") == 6
    assert undo_plan(plan) == 6
    assert sorted(tmp_path.rglob("*")) == before


def test_undo_after_a_run_that_moved_nothing_leaves_no_folders(photos, plan, tmp_path, monkeypatch):
    before = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(BadPlan, match="No space left"):
            apply_plan(plan, tmp_path / "new" / "moved")
    assert undo_plan(plan) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_journal_of_imrec_0_1_is_continued_and_undone(photos, plan, tmp_path):
    before = contents(photos)
    to = tmp_path / "moved"
    (to / "photos" / "deep").mkdir(parents=True)
    for name in ("0.jpg", "0.xmp"):
        (photos / "deep" / name).rename(to / "photos" / "deep" / name)
    lines = [str(to), "photos/deep/0.jpg", "photos/deep/0.xmp"]
    plan.with_name("plan.json.journal").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert apply_plan(plan, to) == 6
    assert undo_plan(plan) == 6
    assert contents(photos) == before
    assert not to.exists()


def test_undo_does_not_take_a_link_to_a_moved_file_for_the_file(photos, plan, tmp_path):
    apply_plan(plan, tmp_path / "moved")
    moved = tmp_path / "moved" / "photos" / "deep" / "1.jpg"
    (photos / "deep" / "1.jpg").symlink_to(moved)
    with pytest.raises(BadPlan, match=r"1\.jpg already exists, as a link"):
        undo_plan(plan)
    assert moved.read_bytes() == b"goes 1"


def test_undo_through_a_link_to_the_source_removes_nothing(photos, plan, tmp_path):
    apply_plan(plan, tmp_path / "moved")
    shutil.copytree(tmp_path / "moved" / "photos" / "deep", photos / "deep", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "moved" / "photos")
    (tmp_path / "moved" / "photos").symlink_to(photos)
    before = contents(photos)
    with pytest.raises(BadPlan, match="already exists"):
        undo_plan(plan)
    assert contents(photos) == before


def test_time_that_a_disk_stores_less_exactly_is_restored(photos, plan, tmp_path):
    before = contents(photos)
    apply_plan(plan, tmp_path / "moved")
    for path in (tmp_path / "moved").rglob("*.*"):
        time = path.stat().st_mtime_ns // (2 * 10**9) * 2 * 10**9  # as FAT does
        os.utime(path, ns=(time, time))
    assert undo_plan(plan) == 6
    assert contents(photos) == before


@pytest.mark.parametrize("end", ['{"fol', '{"folder": "/x"}', '"photos/deep/0.', ""])
def test_incomplete_last_line_of_a_journal_is_dropped(plan, tmp_path, end):
    journal = Journal.beside(plan)
    journal.begin(tmp_path / "moved")
    journal.append("a")
    with journal.path.open("a") as file:
        file.write(end)
    journal.begin(tmp_path / "moved")
    journal.append("b")
    assert (journal.moves(), journal.folders()) == (["a", "b"], [])


@pytest.mark.parametrize("text", ["{", "3\n", '{"folder": "x"}\n', "[]\n"])
def test_file_that_is_no_journal_is_reported(plan, tmp_path, text):
    plan.with_name("plan.json.journal").write_text(text + "\n")
    for action in (lambda: apply_plan(plan, tmp_path / "moved"), lambda: undo_plan(plan)):
        with pytest.raises(BadPlan, match=r"plan\.json\.journal"):
            action()


# -- single moves -------------------------------------------------------------------------------------------


def test_what_is_moved_but_for_unlink(tmp_path):
    for name in ("a/x", "b/x", "b/linked", "b/other", "b/later"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"same" if name != "b/other" else b"else")
        os.utime(tmp_path / name, ns=(0, 10**18 if name != "b/later" else 2 * 10**18))
    source = tmp_path / "a" / "x"
    (tmp_path / "b" / "linked").unlink()
    os.link(source, tmp_path / "b" / "linked")
    (tmp_path / "b" / "symbolic").symlink_to(source)
    (tmp_path / "alias").symlink_to(tmp_path / "a")
    claims = {"b/x": True, "b/linked": True, "b/other": False, "b/later": False, "b/symbolic": False, "alias/x": False}
    claims |= {"b": False, "b/none": False}
    assert {name: is_moved_but_for_unlink(source, tmp_path / name) for name in claims} == claims


def test_file_in_place_of_a_folder_is_reported(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with pytest.raises(BadPlan, match="cannot move"):
        move_file(tmp_path / "a", tmp_path / "b" / "c" / "a")
    assert missing_folders(tmp_path / "c" / "d") == [tmp_path / "c", tmp_path / "c" / "d"]
    assert (tmp_path / "a").read_bytes() == b"a"
    assert plan_execution.undo_plan is undo_plan
