"""Companions belong to images by their names, go along with them, and are no copies of them."""

from __future__ import annotations

import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from imrec_core import Lake
from imrec_core.catalog import walk
from imrec_core.duplicates import find_duplicates
from imrec_core.duplicates.companions import Folder, without_companions
from imrec_core.duplicates.move_plan import MovePlan
from imrec_core.duplicates.plan_execution import apply_plan, undo_plan
from imrec_core.errors import BadPlan
from imrec_core.lake.settings import RAW_EXTENSIONS
from tests.support import toy
from tests.support.pictures import encode


@pytest.mark.parametrize(
    ("image", "names", "companions"),
    [
        ("IMG_1.JPG", ["IMG_1.JPG", "IMG_1.xmp", "IMG_1.AAE", "IMG_1.MOV", "b.xmp"], "IMG_1.AAE IMG_1.MOV IMG_1.xmp"),
        ("IMG_1.JPG", ["IMG_1.JPG", "img_1.Xmp", "IMG_1.JPG.XMP", "IMG_1.png.xmp"], "IMG_1.JPG.XMP img_1.Xmp"),
        ("a.heic", ["a.heic", "a.mov", "a.heic.aae", "a.txt", "a.jpg", "ab.mov", "a"], "a.heic.aae a.mov"),
        ("a.jpg", ["a.jpg", "a.CR2", "a.cr2.xmp", "a.dng", "b.cr2"], "a.CR2 a.cr2.xmp a.dng"),
        ("a.CR2", ["a.jpg", "a.CR2", "a.cr2.xmp", "a.jpg.xmp"], "a.cr2.xmp"),
        ("e\u0301.jpg", ["e\u0301.jpg", "\u00e9.xmp"], "\u00e9.xmp"),
        ("photo.v2.jpg", ["photo.v2.jpg", "photo.v2.xmp", "photo.jpg", "photo.xmp"], "photo.v2.xmp"),
        ("alone.jpg", ["alone.jpg", "alone (1).xmp"], ""),
    ],
)  # fmt: skip
def test_companions_have_the_stem_of_their_image(image, names, companions):
    assert Folder(names).companions(image) == companions.split()


@pytest.mark.parametrize("raw", RAW_EXTENSIONS)
def test_raw_file_belongs_to_its_jpeg(raw):
    folder = Folder([f"a.{raw.upper()}", "a.jpg", f"b.{raw}"])
    assert folder.companions("a.jpg") == [f"a.{raw.upper()}"]
    assert folder.owners(f"a.{raw.upper()}") == ["a.jpg"]
    assert folder.owners(f"b.{raw}") == folder.owners("a.jpg") == []


def test_sidecar_belongs_to_all_images_with_its_stem_or_to_the_one_that_it_names():
    folder = Folder(["a.jpg", "a.png", "a.xmp", "a.png.xmp", "a.nef", "a.nef.xmp"])
    assert folder.owners("a.xmp") == folder.owners("a.nef.xmp") == ["a.jpg", "a.png"]
    assert folder.owners("a.png.xmp") == ["a.png"]


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        (["x/a.cr2", "x/a.jpg", "y/a.jpg"], ["x/a.jpg", "y/a.jpg"]),
        (["x/a.jpg", "y/a.CR2", "y/A.JPG"], ["x/a.jpg", "y/A.JPG"]),
        (["x/a.dng", "x/a.nef", "x/b.nef"], ["x/a.dng", "x/b.nef"]),
        (["s3://b/x/a.arw", "s3://b/x/a.jpg"], ["s3://b/x/a.jpg"]),
        (["x/a.jpg", "x/a.png", "y/a.raf"], ["x/a.jpg", "x/a.png", "y/a.raf"]),
    ],
)
def test_companion_is_no_copy_of_its_image(paths, left):
    assert without_companions(paths) == left


def test_folder_without_companions_holds_no_names():
    names = [f"IMG_{i}.JPG" for i in range(20_000)]
    tracemalloc.start()
    try:
        folder = Folder(names)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert folder.companions("IMG_7.JPG") == []
    assert held < 10_000


# -- of a lake ----------------------------------------------------------------------------------------------


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def photo(seed: int, kind: str = "PNG") -> bytes:
    return encode(Image.fromarray(toy.photo(seed, 160, 120)), kind)


def built(root: Path, extensions: tuple[str, ...] | None = None) -> Lake:
    settings = {} if extensions is None else {"extensions": extensions}
    lake = toy.new_lake(root / "lake", ("phash", "dhash"), **settings)
    toy.build(lake)
    return lake


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos, each twice; the copies in `y` are smaller by name and have companions."""
    for seed, names in enumerate((("1.xmp", "1.MOV"), ("2.png.xmp", "2.AAE"), ("3.ARW", "3.arw.xmp"))):
        for folder in ("x", "y"):
            write(tmp_path / "photos" / folder / f"{seed + 1}.png", photo(seed))
        for name in names:
            write(tmp_path / "photos" / "y" / name, name.encode())
    return tmp_path / "photos"


def test_companions_move_with_their_image_and_back(imrec, photos, tmp_path):
    before, lake = contents(photos), built(tmp_path)
    planned = imrec("duplicates", "--plan", "plan.json", "--lake", lake.root)
    assert "3 files to move with 6 companions" in planned.err
    assert "1.png + 1.MOV + 1.xmp" in planned.out
    applied = imrec("duplicates", "--apply", "plan.json", "--to", "moved")
    assert applied.out.startswith("9 files are in moved")
    assert {name.removeprefix("photos/"): held for name, held in contents(tmp_path / "moved").items()} == {
        name: held for name, held in before.items() if name.startswith("y/")
    }
    assert imrec("duplicates", "--undo", "plan.json").out == "9 files moved back\n"
    assert contents(photos) == before
    assert not (tmp_path / "moved").exists()


def test_image_stays_where_a_companion_belongs_to_another_that_stays(imrec, photos, tmp_path):
    write(photos / "y" / "1.jpg", photo(7, "JPEG"))
    write(photos / "y" / "2.tif", photo(8, "TIFF"))  # but has no part in 2.png.xmp
    (photos / "y" / "2.AAE").unlink()
    lake = built(tmp_path)
    planned = imrec("duplicates", "--plan", "plan.json", "--lake", lake.root)
    assert "2 files to move with 3 companions" in planned.err
    assert "images left in place: 1, listed in the plan; e.g. " in planned.err
    plan = MovePlan.load(tmp_path / "plan.json")
    assert [Path(move.file.path).name for move in plan.moves] == ["2.png", "3.png"]
    (left,) = plan.left
    assert left.path == str(photos / "y" / "1.png")
    assert left.reason == "its companion 1.MOV also belongs to 1.jpg, which stays"


def test_images_that_move_together_share_their_companion(photos, tmp_path):
    for folder in ("x", "y"):
        write(photos / folder / "1.jpg", photo(7, "JPEG"))
    plan = MovePlan.of(find_duplicates(built(tmp_path)))
    assert plan.left == ()
    assert sorted(Path(file.path).name for file, _ in plan.files).count("1.xmp") == 1
    assert len(plan.files) == 4 + 6


def test_preview_is_the_plan_without_the_content_of_companions(photos, tmp_path):
    write(photos / "y" / "1.jpg", photo(7, "JPEG"))
    found = find_duplicates(built(tmp_path))
    plan, preview = MovePlan.of(found), MovePlan.preview(found)
    assert preview.left == plan.left and len(plan.left) == 1
    unread = [
        replace(move, companions=tuple(replace(one, content_hash="") for one in move.companions)) for move in plan.moves
    ]
    assert preview.moves == tuple(unread) and any(move.companions for move in plan.moves)


def test_images_in_object_stores_are_left(photos, tmp_path):
    found = find_duplicates(built(tmp_path))
    (first, *others) = found.groups
    kept, moved = first.copies
    away = replace(first, copies=(kept, replace(moved, path="s3://bucket/1.png")))
    plan = MovePlan.of(replace(found, groups=(away, *others)))
    assert [(left.path, left.reason) for left in plan.left] == [
        ("s3://bucket/1.png", "it is in an object store; imrec moves local files only")
    ]
    assert len(plan.moves) == 2


def test_companion_that_is_a_link_keeps_its_image(photos, tmp_path):
    (photos / "y" / "1.xmp").unlink()
    (photos / "y" / "1.xmp").symlink_to(photos / "y" / "2.AAE")
    plan = MovePlan.of(find_duplicates(built(tmp_path)))
    assert [left.reason for left in plan.left] == ["its companion 1.xmp is a link"]
    assert len(plan.moves) == 2


@pytest.fixture
def lists_raw_files(monkeypatch) -> None:
    """A scan lists RAW files beside their images too, as that of imrec 0.1 did."""
    monkeypatch.setattr(walk, "_RAW", frozenset())


@pytest.mark.parametrize("raw", ["cr2", "NEF", "dng"])
def test_raw_file_is_no_copy_of_its_jpeg_and_does_not_move_for_one(tmp_path, raw, lists_raw_files):
    photos = tmp_path / "photos"
    write(photos / "pair" / f"1.{raw}", photo(1, "TIFF"))  # Pillow reads many RAW files as the preview in them
    write(photos / "pair" / "1.png", photo(1))
    write(photos / "raw" / f"2.{raw}", photo(2, "TIFF"))
    write(photos / "jpeg" / "2.bmp", photo(2, "BMP"))
    write(photos / "more" / f"2.{raw}", photo(2, "TIFF"))
    lake = built(tmp_path, ("*",))
    (group,) = find_duplicates(lake)
    assert {copy.below for copy in group.copies} == {"jpeg/2.bmp", f"more/2.{raw}", f"raw/2.{raw}"}
    plan = MovePlan.of(find_duplicates(lake, keep="oldest"))
    assert all(".bmp" in move.file.path or ".bmp" not in move.kept.path for move in plan.moves)


def test_raw_file_stays_with_its_jpeg(tmp_path, lists_raw_files):
    photos = tmp_path / "photos"
    for folder in ("a", "b"):
        write(photos / folder / "1.nef", photo(1, "TIFF"))
    write(photos / "b" / "1.jpg", photo(9, "JPEG"))
    plan = MovePlan.of(find_duplicates(built(tmp_path, ("*",))))
    assert plan.moves == ()
    assert [(left.path, left.reason) for left in plan.left] == [
        (str(photos / "b" / "1.nef"), "it is a companion of 1.jpg, which stays")
    ]


def test_image_stays_whose_companion_must_stay(tmp_path, lists_raw_files):
    photos = tmp_path / "photos"
    for folder in ("a", "b"):
        write(photos / folder / "1.nef", photo(1, "TIFF"))
    write(photos / "a" / "1.jpg", photo(9, "JPEG"))
    write(photos / "0" / "1.jpg", photo(9, "JPEG"))
    os.utime(photos / "0" / "1.jpg", (0, 0))
    plan = MovePlan.of(find_duplicates(built(tmp_path, ("*",))))
    assert [move.below for move in plan.moves] == ["photos/b/1.nef"]
    assert [left.reason for left in plan.left] == ["its companion 1.nef must stay"]


def test_companion_that_is_not_in_the_plan_keeps_its_image(photos, tmp_path):
    plan = MovePlan.of(find_duplicates(built(tmp_path)))
    plan.save(tmp_path / "plan.json")
    write(photos / "y" / "2.xmp", b"written after the plan")
    with pytest.raises(BadPlan, match=r"nothing was moved.*2\.xmp belongs to .*2\.png, but is not in the plan"):
        apply_plan(tmp_path / "plan.json", tmp_path / "moved")
    (photos / "y" / "2.xmp").unlink()
    (photos / "y" / "1.MOV").write_bytes(b"a longer video")
    with pytest.raises(BadPlan, match=r"1\.MOV has changed"):
        apply_plan(tmp_path / "plan.json", tmp_path / "moved")


def test_plan_of_the_first_format_is_read(photos, tmp_path):
    for path in (photos / "y").iterdir():
        if path.suffix != ".png":
            path.unlink()
    plan = MovePlan.of(find_duplicates(built(tmp_path)))
    stored = json.loads(plan.to_json()) | {"format": 1}
    del stored["left"]
    for move in stored["moves"]:
        del move["companions"]
    (tmp_path / "plan.json").write_text(json.dumps(stored))
    assert MovePlan.load(tmp_path / "plan.json") == plan
    before = contents(photos)
    assert apply_plan(tmp_path / "plan.json", tmp_path / "moved") == 3
    assert undo_plan(tmp_path / "plan.json") == 3
    assert contents(photos) == before
