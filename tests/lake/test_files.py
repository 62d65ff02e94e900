"""Files on a disk: which faults are waited for, and what is told of them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from imrec_core.catalog import manifests
from imrec_core.errors import StorageDenied, StorageFault, StorageFull
from imrec_core.lake.storage import files, regular_files, retry
from imrec_core.sql.views import failures
from tests.support import toy


@pytest.fixture
def failing(monkeypatch):
    """Makes reads of a file's bytes fail, so many times, with a number."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)
    read, tries = regular_files.read, []

    def fail(number: int, times: int, name: str = "") -> list[str]:
        def read_file(path: Path, at_most: int | None) -> bytes:
            if name in path.name:
                tries.append(path.name)
                if len(tries) <= times:
                    raise OSError(number, "trouble", str(path))
            return read(path, at_most)

        monkeypatch.setattr(regular_files, "read", read_file)
        return tries

    return fail


def test_network_disk_that_is_back_in_a_moment_is_waited_for(tmp_path, failing):
    (tmp_path / "file").write_text("something")
    tries = failing(errno.ESTALE, times=2)
    assert files.read_bytes(tmp_path / "file") == b"something"
    assert len(tries) == 3


@pytest.mark.parametrize(("number", "expected"), [(errno.EACCES, 1), (errno.EIO, retry.TRIES)])
def test_refusal_is_told_at_once_and_a_broken_disk_after_some_tries(tmp_path, failing, number, expected):
    (tmp_path / "file").write_text("something")
    tries = failing(number, times=99)
    with pytest.raises(OSError, match="trouble"):
        files.read_bytes(tmp_path / "file")
    assert len(tries) == expected


def test_file_that_a_disk_cannot_read_is_a_failed_image_and_the_others_are_not(new_lake, failing):
    lake = new_lake(5, ("phash",), built=False)
    failing(errno.EIO, times=99, name="photo_002")
    toy.build(lake)
    assert [(f["path"], f["error"]) for f in failures(lake)] == [
        ("photo_002.jpg", "UnreadableImage: cannot read the file: trouble")
    ]


def test_disk_that_goes_away_while_it_is_read_fails_no_image(new_lake, monkeypatch):
    lake = new_lake(5, ("phash",), built=False)
    manifests.update(lake)
    photos = lake.root.parent / "photos"
    read = files.read_bytes

    def goes_away(path, byte_size=None, **options):
        if path.name == "photo_003.jpg":
            photos.rename(photos.with_name("elsewhere"))
        return read(path, byte_size, **options)

    monkeypatch.setattr(files, "read_bytes", goes_away)
    with pytest.raises(StorageFault, match="photos went away while it was read"):
        toy.extract(lake)
    monkeypatch.undo()
    photos.with_name("elsewhere").rename(photos)
    toy.build(lake)
    assert failures(lake) == []


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, StorageFull), (errno.EIO, StorageFault), (errno.EACCES, StorageDenied)]
)
def test_file_that_cannot_be_written_leaves_what_was_there(tmp_path, number, told):
    files.write_bytes(tmp_path / "file", b"before")
    with pytest.raises(told), files.replacing(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise OSError(number, "trouble")
    assert files.read_bytes(tmp_path / "file") == b"before"
    assert files.list_names(tmp_path) == ["file"]


def test_folder_is_away_where_it_is_missing_empty_or_no_folder(tmp_path):
    assert files.is_away(tmp_path)
    assert files.is_away(tmp_path / "none")
    files.write_bytes(tmp_path / "file", b"")
    assert not files.is_away(tmp_path)
    assert files.is_away(tmp_path / "file")
