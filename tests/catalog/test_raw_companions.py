"""A camera RAW file beside an image of the same name is its companion; alone it is an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from imrec_core.catalog import file_kinds, walk
from imrec_core.catalog.file_kinds import describe
from imrec_core.catalog.scan import SourceScan
from imrec_core.lake.settings import RAW_EXTENSIONS, Settings, Source
from tests.support import s3


@pytest.fixture(autouse=True)
def with_libraries(monkeypatch) -> None:
    """All optional libraries are installed."""
    for module in (walk, file_kinds):
        monkeypatch.setattr(module, "missing_plugins", frozenset)


def scan(root: Path, **settings: object) -> SourceScan:
    return SourceScan.of(Source("s", root), Settings(**settings))


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


@pytest.mark.parametrize("suffix", RAW_EXTENSIONS)
def test_raw_file_alone_is_an_image(tmp_path, suffix):
    write(tmp_path, f"a.{suffix}", f"year/B.{suffix.upper()}")
    found = scan(tmp_path)
    assert found.images["path"].to_list() == [f"a.{suffix}", f"year/B.{suffix.upper()}"]
    assert found.report.not_read == {}


@pytest.mark.parametrize(
    ("raw", "image"),
    [
        ("a.cr2", "a.jpg"),
        ("a.NEF", "A.JPG"),
        ("a.b.dng", "a.b.heic"),
        ("e\u0301.arw", "\u00e9.png"),
        ("a.orf", "a.tif"),
    ],
)
def test_raw_file_beside_its_image_is_its_companion(tmp_path, raw, image):
    write(tmp_path, raw, image)
    found = scan(tmp_path)
    assert found.images["path"].to_list() == [image]
    assert found.report.not_read == {"RAW beside an image": 1}
    (named,) = describe(found.report.not_read)
    assert named.summary() == "1 RAW beside an image (the companion of that image)"


@pytest.mark.parametrize(
    ("raw", "other"),
    [("a.cr2", "b.jpg"), ("a.cr2", "year/a.jpg"), ("a.cr2", "a.nef"), ("a.cr2", "a.xmp"), ("a.cr2", "a.mov")],
)
def test_other_files_make_no_companion(tmp_path, raw, other):
    write(tmp_path, raw, other)
    assert raw in scan(tmp_path).images["path"].to_list()


def test_image_that_the_settings_leave_out_has_no_companion(tmp_path):
    write(tmp_path, "a.cr2", "a.jpg")
    assert scan(tmp_path, extensions=("cr2",)).images["path"].to_list() == ["a.cr2"]


def test_raw_file_that_the_settings_leave_out_is_counted(tmp_path):
    write(tmp_path, "a.cr2", "b.jpg")
    assert scan(tmp_path, extensions=("jpg",)).report.not_read == {"cr2": 1}


def test_every_extension_accepts_raw_files_too(tmp_path):
    write(tmp_path, "a.cr2", "a.jpg", "b.cr2")
    assert scan(tmp_path, extensions=("*",)).images["path"].to_list() == ["a.jpg", "b.cr2"]


def test_objects_are_companions_as_files_are(store, tmp_path):
    write(tmp_path, "a.cr2", "a.jpg", "year/b.cr2", "b.jpg")
    root = s3.put_folder(tmp_path, "photos")
    found = SourceScan.of(Source("s", root), Settings())
    assert found.images["path"].to_list() == ["a.jpg", "b.jpg", "year/b.cr2"]
    assert found.report.not_read == {"RAW beside an image": 1}
