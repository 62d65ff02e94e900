"""Duplicates are moved by a plan, never lost, and come back byte for byte."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imrec_core import Lake
from imrec_core.duplicates import find_duplicates
from imrec_core.duplicates.decisions import hash_file
from imrec_core.duplicates.move_plan import File, Move, MovePlan
from imrec_core.duplicates.plan_execution import apply_plan, undo_plan
from imrec_core.errors import BadPlan
from tests.support import toy
from tests.support.pictures import encode


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """What each file holds, and its time."""
    return {
        path.relative_to(folder).as_posix(): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def file_at(path: Path) -> File:
    stat = path.stat()
    return File(str(path), stat.st_size, stat.st_mtime_ns, hash_file(path))


def make_plan(folder: Path, count: int = 4) -> Path:
    """A plan over `count` files in `folder/photos` that go, beside one that stays."""
    photos = folder / "photos"
    (photos / "deep").mkdir(parents=True)
    (photos / "kept.jpg").write_bytes(b"kept")
    moves = []
    for i in range(count):
        path = photos / ("deep" if i % 2 else "") / f"{i}.jpg"
        path.write_bytes(b"bytes of %d" % i)
        below = f"photos/{path.relative_to(photos).as_posix()}"
        moves.append(Move(file_at(path), below, file_at(photos / "kept.jpg"), "near"))
    MovePlan(tuple(moves), {"photos": str(photos)}, "near", "largest").save(folder / "plan.json")
    return folder / "plan.json"


@pytest.fixture
def plan(tmp_path) -> Path:
    return make_plan(tmp_path)


def test_apply_and_undo_leave_the_folder_byte_for_byte_as_before(tmp_path, plan):
    before, to = contents(tmp_path / "photos"), tmp_path / "moved"
    assert apply_plan(plan, to) == 4
    assert set(contents(tmp_path / "photos")) == {"kept.jpg"}
    assert {name.removeprefix("photos/"): held for name, held in contents(to).items()} == {
        name: held for name, held in before.items() if name != "kept.jpg"
    }
    assert undo_plan(plan) == 4
    assert contents(tmp_path / "photos") == before
    assert not to.exists()
    assert not plan.with_name("plan.json.journal").exists()


def test_applying_again_changes_nothing(tmp_path, plan):
    apply_plan(plan, tmp_path / "moved")
    before = contents(tmp_path)
    assert apply_plan(plan, tmp_path / "moved") == 4
    assert contents(tmp_path).keys() == before.keys()


class Killed(BaseException):
    pass


def kill_at(monkeypatch, step: int) -> None:
    """The process ends at that call into the system, before or after it takes effect."""
    calls = iter(range(10**6))

    def ending(function):
        def wrapped(*args, **kwargs):
            if next(calls) == step:
                raise Killed
            result = function(*args, **kwargs)
            if next(calls) == step:
                raise Killed
            return result

        return wrapped

    for owner, name in ((os, "link"), (os, "fsync"), (Path, "unlink"), (Path, "mkdir"), (Path, "rename")):
        monkeypatch.setattr(owner, name, ending(getattr(owner, name)))


def without_links(monkeypatch) -> None:
    def link(*_args, **_kwargs):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", link)


@pytest.mark.parametrize("is_other_disk", [False, True])
@pytest.mark.parametrize("step", range(0, 48, 3))
def test_killed_apply_loses_nothing_goes_on_and_can_be_undone(tmp_path, plan, step, is_other_disk):
    before, to = contents(tmp_path / "photos"), tmp_path / "moved"
    held = {digest for digest, _ in before.values()}
    for finish in (apply_plan, undo_plan):
        with pytest.MonkeyPatch.context() as patch:
            if is_other_disk:
                without_links(patch)
            kill_at(patch, step)
            with contextlib.suppress(Killed):
                apply_plan(plan, to)
        found = contents(tmp_path / "photos") | contents(to)
        assert held <= {digest for digest, _ in found.values()}
        if finish is apply_plan:
            assert apply_plan(plan, to) == 4
            assert set(contents(tmp_path / "photos")) == {"kept.jpg"}
            assert len(contents(to)) == 4
        if plan.with_name("plan.json.journal").exists():
            undo_plan(plan)
        assert contents(tmp_path / "photos") == before
        assert not to.exists() or not any(to.iterdir())


@pytest.mark.parametrize("step", range(0, 30, 3))
def test_killed_undo_goes_on(tmp_path, plan, step):
    before = contents(tmp_path / "photos")
    apply_plan(plan, tmp_path / "moved")
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, step)
        with contextlib.suppress(Killed):
            undo_plan(plan)
    if plan.with_name("plan.json.journal").exists():
        undo_plan(plan)
    assert contents(tmp_path / "photos") == before


def spoil(folder: Path, how: str) -> None:
    photos = folder / "photos"
    if how == "changed":
        (photos / "2.jpg").write_bytes(b"edited meanwhile")
    elif how == "same size":
        (photos / "2.jpg").write_bytes(b"bytes of X")
    elif how == "gone":
        (photos / "2.jpg").unlink()
    elif how == "kept is gone":
        (photos / "kept.jpg").unlink()
    elif how == "kept is changed":
        (photos / "kept.jpg").write_bytes(b"KEPT")
    elif how == "link":
        (photos / "2.jpg").rename(folder / "elsewhere.jpg")
        (photos / "2.jpg").symlink_to(folder / "elsewhere.jpg")
    elif how == "taken":
        (folder / "moved" / "photos").mkdir(parents=True)
        (folder / "moved" / "photos" / "2.jpg").write_bytes(b"mine")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("changed", "2.jpg has changed"),
        ("same size", "2.jpg has changed"),
        ("gone", "2.jpg is missing"),
        ("kept is gone", "kept.jpg is missing, but must stay"),
        ("kept is changed", "kept.jpg has changed, but must stay"),
        ("link", "2.jpg is a link"),
        ("taken", "2.jpg already exists"),
    ],
)
def test_nothing_is_moved_where_anything_is_not_as_planned(tmp_path, plan, how, words):
    spoil(tmp_path, how)
    before = contents(tmp_path)
    with pytest.raises(BadPlan, match=f"nothing was moved.*{words}"):
        apply_plan(plan, tmp_path / "moved")
    assert contents(tmp_path) == before


def test_file_that_was_only_touched_is_moved(tmp_path, plan):
    os.utime(tmp_path / "photos" / "2.jpg")
    assert apply_plan(plan, tmp_path / "moved") == 4


def test_folder_inside_a_source_is_refused(tmp_path, plan):
    with pytest.raises(BadPlan, match="a source of the lake"):
        apply_plan(plan, tmp_path / "photos" / "moved")


def test_another_folder_is_refused_once_one_was_begun(tmp_path, plan):
    apply_plan(plan, tmp_path / "moved")
    with pytest.raises(BadPlan, match="undo it first"):
        apply_plan(plan, tmp_path / "other")


def test_undo_takes_nothing_over_what_stands_there_now(tmp_path, plan):
    apply_plan(plan, tmp_path / "moved")
    (tmp_path / "photos" / "0.jpg").write_bytes(b"new")
    before = contents(tmp_path)
    with pytest.raises(BadPlan, match=r"0\.jpg already exists, with other content"):
        undo_plan(plan)
    assert contents(tmp_path) == before


def test_undo_tells_of_moved_files_that_changed(tmp_path, plan):
    with pytest.raises(BadPlan, match="was not applied"):
        undo_plan(plan)
    apply_plan(plan, tmp_path / "moved")
    (tmp_path / "moved" / "photos" / "0.jpg").write_bytes(b"bytes of 7")
    (tmp_path / "moved" / "photos" / "2.jpg").unlink()
    with pytest.raises(BadPlan, match=r"0\.jpg has changed; .*2\.jpg is missing"):
        undo_plan(plan)


def test_one_file_by_two_names_is_not_moved(tmp_path):
    plan = make_plan(tmp_path, 1)
    (tmp_path / "alias").symlink_to(tmp_path / "photos")
    stored = json.loads(plan.read_text())
    stored["moves"][0]["kept"] = stored["moves"][0]["file"] | {"path": str(tmp_path / "alias" / "0.jpg")}
    plan.write_text(json.dumps(stored))
    with pytest.raises(BadPlan, match="are the same file"):
        apply_plan(plan, tmp_path / "moved")
    assert (tmp_path / "photos" / "0.jpg").exists()


def twist(stored: dict, how: str) -> object:
    first, second, *_ = stored["moves"]
    if how == "twice":
        stored["moves"].append(first)
    elif how == "kept goes":
        first["kept"] = second["file"]
    elif how == "outside":
        first["below"] = "../outside.jpg"
    elif how == "absolute":
        first["below"] = "/elsewhere/outside.jpg"
    elif how == "one place":
        first["below"] = second["below"]
    elif how == "format":
        stored["format"] = 99
    elif how == "no moves":
        del stored["moves"]
    return [stored] if how == "list" else stored


@pytest.mark.parametrize(
    "how", ["twice", "kept goes", "outside", "absolute", "one place", "format", "no moves", "list"]
)
def test_plan_that_cannot_be_carried_out_is_refused(tmp_path, plan, how):
    plan.write_text(json.dumps(twist(json.loads(plan.read_text()), how)))
    before = contents(tmp_path)
    with pytest.raises(BadPlan, match=r"plan\.json"):
        apply_plan(plan, tmp_path / "moved")
    assert contents(tmp_path) == before


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_a_plan(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "plan.json"
    path.write_bytes(data)
    with pytest.raises(BadPlan):
        apply_plan(path, path.parent / "moved")


def test_plan_is_not_written_over_another(plan):
    with pytest.raises(BadPlan, match="another name"):
        MovePlan.load(plan).save(plan)
    with pytest.raises(BadPlan, match="cannot write"):
        MovePlan.load(plan).save(plan.parent / "none" / "plan.json")


# -- of a lake ----------------------------------------------------------------------------------------------


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Three photos, each with an identical and a re-encoded copy in a folder of its own."""
    for seed in range(3):
        picture = Image.fromarray(toy.photo(seed, 320, 240))
        for name, data in (
            ("a", encode(picture, "PNG")),
            ("b", encode(picture, "PNG")),
            ("c", encode(picture, "JPEG", quality=70)),
        ):
            path = tmp_path / "photos" / name / f"{seed}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".jpg" if name == "c" else ".png").write_bytes(data)
    made = toy.new_lake(tmp_path / "lake", ("phash", "dhash"))
    toy.build(made)
    return made


def test_command_plans_applies_and_undoes(imrec, lake, tmp_path):
    before = contents(tmp_path / "photos")
    planned = imrec("duplicates", "--plan", "plan.json", "--lake", lake.root)
    assert planned.status == 0
    assert "6 files to move" in planned.err
    assert contents(tmp_path / "photos") == before
    assert imrec("duplicates", "--apply", "plan.json", "--to", "moved").out.startswith("6 files are in moved")
    assert len(contents(tmp_path / "photos")) == 3
    toy.build(lake)
    assert len(find_duplicates(lake)) == 0
    assert imrec("duplicates", "--undo", "plan.json").out == "6 files moved back\n"
    assert contents(tmp_path / "photos") == before
    toy.build(lake)
    assert len(find_duplicates(lake)) == 3


def test_command_tells_why_it_moves_nothing(imrec, lake, tmp_path):
    imrec("duplicates", "--plan", "plan.json", "--lake", lake.root)
    (tmp_path / "photos" / "a" / "0.png").unlink()
    found = imrec("duplicates", "--apply", "plan.json", "--to", "moved")
    assert found.status == 1
    assert "0.png is missing" in found.complaint
    assert imrec("duplicates", "--apply", "none.json", "--to", "moved").status == 1


def test_links_are_no_copies_of_their_files_and_neither_is_moved(lake, tmp_path):
    photos = tmp_path / "photos"
    (tmp_path / "outside.png").write_bytes((photos / "b" / "1.png").read_bytes())
    for link, target in (("b/0.png", photos / "a" / "0.png"), ("b/1.png", tmp_path / "outside.png")):
        (photos / link).unlink()
        (photos / link).symlink_to(target)
    toy.build(lake)
    moves = MovePlan.of(find_duplicates(lake)).moves
    moved = sorted(Path(move.file.path).relative_to(photos).as_posix() for move in moves)
    assert [name for name in moved if "2" not in name] == ["c/0.jpg"]  # the group of 1 has a link to elsewhere


def test_disk_that_refuses_is_reported_and_undone(tmp_path, plan, monkeypatch):
    before = contents(tmp_path / "photos")

    def refuse(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        without_links(patch)
        patch.setattr(shutil, "copy2", refuse)
        with pytest.raises(BadPlan, match="No space left"):
            apply_plan(plan, tmp_path / "moved")
    assert undo_plan(plan) == 0
    assert contents(tmp_path / "photos") == before
