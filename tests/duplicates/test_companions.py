"""Companions belong to images by their names, go along with them, and are no copies of them."""

from __future__ import annotations

import pytest

from imrec_core.duplicates.companions import RAW, Folder, without_companions


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


@pytest.mark.parametrize("raw", sorted(RAW))
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
