"""The demo photos: the same everywhere, written once, and broken where they should be."""

from pathlib import Path

import pytest

from imrec_core.errors import ImageError, MissingDependency
from imrec_core.images import sample_photos
from imrec_core.images.decode import decode_file
from imrec_core.images.edits import EDITS

pytest.importorskip("skimage")


@pytest.fixture
def two_photos(monkeypatch):
    """All photos would take some seconds; two, one from each library, take the same way."""
    photos = {"sklearn.datasets.images": ("china.jpg",), "skimage.data": ("coins.png",)}
    monkeypatch.setattr(sample_photos, "PHOTOS", photos)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder_holds_every_photo_with_every_edit(tmp_path, two_photos):
    count = sample_photos.prepare(tmp_path / "photos")
    paths = set(contents(tmp_path / "photos"))
    expected = {f"{name}__{edit.name}{edit.suffix}" for name in ("china", "coins") for edit in EDITS.values()}
    assert {path for path in paths if not path.startswith("broken/")} == expected | {"china.jpg", "coins.jpg"}
    assert count == len(paths) == 2 + len(expected) + 5


def test_two_folders_get_the_same_bytes(tmp_path, two_photos):
    sample_photos.prepare(tmp_path / "one")
    sample_photos.prepare(tmp_path / "other")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_second_call_writes_nothing(tmp_path, two_photos, monkeypatch):
    count = sample_photos.prepare(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setattr(Path, "write_bytes", lambda *_: pytest.fail("wrote again"))
    assert sample_photos.prepare(tmp_path) == count
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_deleted_photo_comes_back_alone(tmp_path, two_photos):
    sample_photos.prepare(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "china__blur.jpg").unlink()
    (tmp_path / "coins.jpg").write_bytes(b"mine")
    sample_photos.prepare(tmp_path)
    assert contents(tmp_path) == before | {"coins.jpg": b"mine"}


def test_every_photo_is_inside_its_library():
    for package, names in sample_photos.PHOTOS.items():
        assert [name for name in names if not (sample_photos._root(package) / name).is_file()] == []


def test_broken_files_do_not_decode(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_photos, "PHOTOS", {})
    assert sample_photos.prepare(tmp_path) == 5
    for path in (tmp_path / "broken").iterdir():
        with pytest.raises(ImageError):
            decode_file(path)


def test_missing_scikit_image_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_photos, "PHOTOS", {"no_such_package_of_photos": ("a.jpg",)})
    with pytest.raises(MissingDependency, match="scikit-image"):
        sample_photos.prepare(tmp_path / "photos")
    assert not (tmp_path / "photos").exists()
