"""One file is one file: by links, mounts, overlapping sources and names that differ in case only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imrec_core.duplicates import file_identity, plan_execution
from imrec_core.duplicates.file_identity import ContentReader, file_id, is_one_file, open_regular
from imrec_core.duplicates.move_plan import File, Move, MovePlan
from imrec_core.duplicates.plan_execution import apply_plan, undo_plan
from imrec_core.errors import BadPlan
from tests.support.identical import find_identical, rows_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three files, of which two have equal bytes."""
    (tmp_path / "photos" / "inner").mkdir(parents=True)
    for name, data in (("0.jpg", b"zero"), ("inner/1.jpg", b"one"), ("inner/2.jpg", b"one")):
        (tmp_path / "photos" / name).write_bytes(data)
    return tmp_path / "photos"


def folded_stat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a disk answer for names in any case, as those of Windows and macOS do."""

    def folding(real: Callable[..., Any]) -> Callable[..., Any]:
        def found(path: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return real(path, *args, **kwargs)
            except FileNotFoundError:
                here = Path("/")
                for part in Path(path).parts[1:]:
                    names = {name.casefold(): name for name in os.listdir(here)}
                    here /= names.get(part.casefold(), part)
                return real(here, *args, **kwargs)

        return found

    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(os, name, folding(getattr(os, name)))


def reached(kind: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another path by which the folder is reached, or another folder with the same files."""
    other = photos.parent / "other"
    if kind == "link":
        other.symlink_to(photos)
    elif kind == "hard links":
        shutil.copytree(photos, other, copy_function=os.link)
    elif kind == "overlap":
        return photos / "inner" / ".."
    elif kind == "case":
        folded_stat(monkeypatch)
        return photos.parent / "PHOTOS"
    return other


KINDS = ["link", "hard links", "overlap", "case"]


@pytest.mark.parametrize("kind", KINDS)
def test_paths_of_one_file_have_one_identity(photos, kind, monkeypatch):
    other = reached(kind, photos, monkeypatch)
    for name in ("0.jpg", "inner/1.jpg", "inner/2.jpg"):
        assert is_one_file(photos / name, other / name)
        assert not is_one_file(photos / name, other / "inner")
    assert not is_one_file(photos / "inner" / "1.jpg", other / "inner" / "2.jpg")


def test_without_inodes_the_real_path_counts(photos, monkeypatch):
    real = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        found = real(path, **options)
        return os.stat_result((found.st_mode, 0, *found[2:]))

    (photos.parent / "other").symlink_to(photos)
    monkeypatch.setattr(os, "stat", stat)
    assert file_id(photos / "0.jpg") == os.path.realpath(photos / "0.jpg")
    assert is_one_file(photos / "0.jpg", photos.parent / "other" / "0.jpg")
    assert not is_one_file(photos / "inner" / "1.jpg", photos / "inner" / "2.jpg")


def test_identity_of_objects_and_of_missing_files(photos):
    assert file_id("s3://bucket/a.jpg") == "s3://bucket/a.jpg"
    assert is_one_file(photos / "none.jpg", photos / "inner" / ".." / "none.jpg")
    assert not is_one_file(photos / "none.jpg", photos / "0.jpg")


def listed(photos: Path, other: Path) -> tuple[dict[str, Path], list[dict[str, Any]]]:
    """Sources that reach the folder by two paths, and their rows."""
    rows = rows_of({"first": photos})
    return {"first": photos, "second": other}, rows + [row | {"source": "second"} for row in rows]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("between", [None, ("first", "second"), ("second", "first")])
def test_file_of_two_sources_is_no_copy_of_itself(photos, kind, between, monkeypatch):
    sources, rows = listed(photos, reached(kind, photos, monkeypatch))
    found = find_identical(sources, between, rows)
    names = [sorted(copy.below for copy in group.copies) for group in found]
    assert names == ([["inner/1.jpg", "inner/2.jpg"]] if between is None else [])
    assert len(MovePlan.of(found).moves) == len(names)


def test_copy_in_one_of_two_sources_is_found_beside_a_file_of_both(photos):
    other = photos.parent / "other"
    shutil.copytree(photos, other, copy_function=os.link)
    (other / "copy.jpg").write_bytes(b"zero")
    found = find_identical({"first": photos, "second": other}, ("first", "second"))
    assert [[(copy.source, copy.below) for copy in group.copies] for group in found] == [
        [("first", "0.jpg"), ("second", "copy.jpg")]
    ]
    assert len(find_identical({"first": photos, "second": other}, ("second", "first"))) == 0


# -- plans --------------------------------------------------------------------------------------------------


def save_plan(moved: Path, kept: Path, source: Path, path: Path) -> Path:
    move = Move(File.at(str(moved)), f"photos/{moved.name}", File.at(str(kept)), "identical")
    MovePlan((move,), {"photos": str(source)}, "identical", "largest").save(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_file_is_not_moved_in_favour_of_itself(photos, kind, monkeypatch, tmp_path):
    plan = save_plan(photos / "0.jpg", photos / "inner" / "1.jpg", photos, tmp_path / "plan.json")
    other = reached(kind, photos, monkeypatch)
    text = plan.read_text().replace(str(photos / "inner" / "1.jpg"), str(other / "0.jpg"))
    digest = File.at(str(photos / "inner" / "1.jpg"))
    text = text.replace(digest.content_hash, File.at(str(photos / "0.jpg")).content_hash)
    text = text.replace(f'"byte_size": {digest.byte_size},', f'"byte_size": {len(b"zero")},')
    plan.write_text(text)
    with pytest.raises(BadPlan, match=r"nothing was moved.*are the same file"):
        apply_plan(plan, tmp_path / "moved")
    assert (photos / "0.jpg").read_bytes() == b"zero"
    assert not (tmp_path / "moved").exists()


def test_file_that_was_the_kept_one_after_all_is_taken_back(photos, monkeypatch, tmp_path):
    """Two mounts of one network disk have different device numbers, so that only the move itself shows it."""
    (tmp_path / "other").symlink_to(photos)
    monkeypatch.setattr(file_identity, "file_id", os.fspath)
    monkeypatch.setattr(plan_execution, "file_id", os.fspath)
    monkeypatch.setattr(plan_execution, "is_one_file", lambda a, b: False)
    plan = save_plan(photos / "0.jpg", tmp_path / "other" / "0.jpg", photos, tmp_path / "plan.json")
    with pytest.raises(BadPlan, match=r"other/0\.jpg is missing, but must stay.*0 of 1 images are moved"):
        apply_plan(plan, tmp_path / "moved")
    assert (photos / "0.jpg").read_bytes() == b"zero"
    assert undo_plan(plan) == 0
    assert not (tmp_path / "moved").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_folder_inside_a_source_is_refused_by_any_path(photos, kind, monkeypatch, tmp_path):
    if kind == "hard links":
        pytest.skip("folders have no hard links")
    plan = save_plan(photos / "inner" / "1.jpg", photos / "inner" / "2.jpg", photos, tmp_path / "plan.json")
    other = reached(kind, photos, monkeypatch)
    with pytest.raises(BadPlan, match="a source of the lake"):
        apply_plan(plan, other / "moved")


IN_MOUNTS = """
import sys
from pathlib import Path
from imrec_core.duplicates import find_duplicates
from imrec_core.duplicates.move_plan import MovePlan
from imrec_core.duplicates.plan_execution import apply_plan
from imrec_core.errors import BadPlan
from tests.duplicates.test_file_identity import save_plan
from tests.support import toy

here = Path(sys.argv[1])
one, again = here / "first" / "photos", here / "second" / "photos"
toy.write_photos(one, range(3))
(one / "copy.jpg").write_bytes((one / "photo_000.jpg").read_bytes())
lake = toy.new_lake(here / "lake", ("phash",), sources={"first": here / "first", "second": here / "second"})
toy.build(lake)
(group,) = find_duplicates(lake, tier="identical")
assert len(group.copies) == 2
assert len(MovePlan.of(find_duplicates(lake)).moves) == 1
assert len(find_duplicates(lake, between=("first", "second"))) == 0
plan = save_plan(again / "photo_001.jpg", one / "photo_001.jpg", again, here / "plan")
for to, words in ((here / "moved", "are the same file"), (one / "moved", "a source of the lake")):
    try:
        apply_plan(plan, to)
    except BadPlan as error:
        assert words in str(error), error
    else:
        raise AssertionError("moved")
assert len(list(one.iterdir())) == 4
"""


def test_bind_mount_inside_a_source_has_no_copies(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name / "photos").mkdir(parents=True)
    script = 'mount --bind "$1/first/photos" "$1/second/photos" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable, IN_MOUNTS]
    if shutil.which("unshare") is None or subprocess.run([*command[:4], f"mount --bind {tmp_path} /mnt"]).returncode:
        pytest.skip("mounts are not permitted here")
    subprocess.run(command, cwd=ROOT, check=True)


# -- reading ------------------------------------------------------------------------------------------------


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("fifo", "link", ".", "none"):
        with pytest.raises(OSError), open_regular(tmp_path / name):
            pass


def test_unchanged_file_is_read_once(tmp_path, monkeypatch):
    path, read = tmp_path / "a.jpg", []
    real = file_identity.content_hash_of
    monkeypatch.setattr(file_identity, "content_hash_of", lambda file: (read.append(file), real(file))[1])
    path.write_bytes(b"one")
    reader = ContentReader()
    monkeypatch.setattr(file_identity, "TIME_RESOLUTION", -1)  # as if the file were old
    digests = [reader.read(path)[1] for _ in range(3)]
    assert len(read) == 1
    path.with_name("b").write_bytes(b"two")
    os.utime(path.with_name("b"), ns=(0, path.stat().st_mtime_ns))
    os.replace(path.with_name("b"), path)
    assert reader.read(path)[1] not in digests
    monkeypatch.undo()
    assert ContentReader().read(path)[1] == reader.read(path)[1]


def test_file_that_was_just_written_is_read_again(tmp_path):
    path, reader = tmp_path / "a.jpg", ContentReader()
    digests = set()
    for number in range(5):  # within one tick of a coarse clock
        path.write_bytes(b"%d" % number)
        os.utime(path, ns=(0, 0))
        digests.add(reader.read(path)[1])
    assert len(digests) == 5
