"""Only regular files are opened, without waiting, and no more is read than was listed."""

import ast
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import imrec_core
from imrec_core.catalog.manifests import update
from imrec_core.duplicates.comparison import compare_files
from imrec_core.duplicates.decisions import hash_file
from imrec_core.errors import UnreadableImage
from imrec_core.extraction import reader
from imrec_core.images.decode import decode_file
from imrec_core.images.hashing import content_hash
from imrec_core.images.thumbnails import Thumbnails, contents
from imrec_core.lake.settings import Source
from imrec_core.lake.storage import files, regular_files
from imrec_core.sql.views import failures
from tests.support import toy


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def linked(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


ODD = {
    "FIFO": os.mkfifo,
    "link to a FIFO": link_to_fifo,
    "socket": make_socket,
    "endless device": linked("/dev/zero"),
    "random device": linked("/dev/urandom"),
    "empty device": linked("/dev/null"),
    "terminal": linked("/dev/tty"),
}


@pytest.fixture(params=ODD)
def odd(request, tmp_path) -> Path:
    path = tmp_path / "odd.jpg"
    ODD[request.param](path)
    return path


@pytest.fixture
def photo(tmp_path) -> Path:
    toy.write_photos(tmp_path / "photos", [1])
    return tmp_path / "photos/photo_001.jpg"


# -- what is no regular file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        files.read_bytes,
        lambda path: files.read_bytes(path, at_most=10),
        lambda path: regular_files.open_regular(path, follow_links=False),
        files.read_text,
    ],
    ids=["read_bytes", "at most", "open", "read_text"],
)
def test_it_is_refused(odd, read):
    with pytest.raises(OSError, match="not a regular file") as caught:
        read(odd)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    "read",
    [
        decode_file,
        hash_file,
        lambda path: contents(path, "0" * 32),
        lambda path: compare_files(path, path),
        lambda path: reader.read_image(Source("s", path.parent), place(path, 10)),
    ],
    ids=["decode", "hash", "contents", "compare", "build"],
)
def test_it_is_an_unreadable_image(odd, read):
    with pytest.raises(UnreadableImage, match="not a regular file"):
        read(odd)


def place(path: Path, byte_size: int) -> dict[str, object]:
    from imrec_core.catalog.ids import image_id

    return {"source": "s", "path": path.name, "image_id": image_id("s", path.name), "byte_size": byte_size}


def test_no_descriptor_stays_open(odd):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(OSError, match="regular"):
            regular_files.open_regular(odd)
    assert len(os.listdir("/proc/self/fd")) == before


def test_fifo_that_takes_the_place_of_a_file_before_it_is_opened_does_not_block(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"x")
    status = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda *_, **__: status)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="not a regular file"):
        regular_files.open_regular(tmp_path / "fifo")
    assert len(os.listdir("/proc/self/fd")) == before


def test_folder_says_that_it_is_one(tmp_path):
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        files.read_bytes(tmp_path)


def test_links_to_files_are_followed_on_request(tmp_path, photo):
    (tmp_path / "link.jpg").symlink_to(photo)
    assert files.read_bytes(tmp_path / "link.jpg") == photo.read_bytes()
    with pytest.raises(OSError, match="regular"):
        regular_files.open_regular(tmp_path / "link.jpg", follow_links=False)


# -- how much is read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_file_is_read_up_to_the_given_size_and_not_beyond(tmp_path, size):
    (tmp_path / "file").write_bytes(bytes(size))
    assert files.read_bytes(tmp_path / "file", at_most=size) == bytes(size)
    with pytest.raises(OSError, match=f"it has {size:,} bytes, and at most {size - 1:,} are read") as caught:
        files.read_bytes(tmp_path / "file", at_most=size - 1)
    assert caught.value.errno == errno.EFBIG


def test_file_that_grows_while_it_is_read_has_the_bytes_that_it_had(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    real = regular_files.open_regular

    def opened(found, **options):
        file = real(found, **options)
        status = os.fstat(file.fileno())
        with path.open("ab") as more:
            more.write(b" and after")
        monkeypatch.setattr(os, "fstat", lambda _: status)
        return file

    monkeypatch.setattr(regular_files, "open_regular", opened)
    assert files.read_bytes(path) == b"before"


def test_file_that_is_cut_while_it_is_read_ends_early(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"short")
    status = os.stat_result((0o100644, 1, 1, 1, 0, 0, 10**6, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: status)
    assert files.read_bytes(path) == b"short"


def test_file_that_grew_after_the_scan_is_a_failure_and_a_change_for_the_next_build(tmp_path):
    toy.write_photos(tmp_path / "photos", range(3))
    lake = toy.new_lake(tmp_path / "lake", ["ahash"])
    update(lake)
    grown = tmp_path / "photos/photo_001.jpg"
    whole = grown.read_bytes()
    grown.write_bytes(whole + bytes(10**6))
    toy.extract(lake)
    (failure,) = failures(lake)
    assert failure["error"] == "UnreadableImage: the file grew after the scan; the next build reads it"
    assert update(lake).changed == 1
    toy.extract(lake)
    assert failures(lake) == []


def test_file_beyond_all_limits_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "photos/huge.jpg"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(2**40)  # it takes no room
    lake = toy.new_lake(tmp_path / "lake", ["ahash"])
    update(lake)
    toy.extract(lake)
    (failure,) = failures(lake)
    assert failure["error"] == "ImageTooLarge: the file has 1,099,511,627,776 bytes, the limit is 2,147,483,648"
    for read in (decode_file, hash_file):
        with pytest.raises(UnreadableImage, match="at most 2,147,483,648 are read"):
            read(path)
    with pytest.raises(UnreadableImage, match="has changed"):
        contents(path, "0" * 32)


def test_thumbnail_of_a_file_that_grew_is_not_made(tmp_path, photo):
    data = photo.read_bytes()
    lake = toy.new_lake(tmp_path / "lake", ["ahash"])
    photo.write_bytes(data + b"x")
    with pytest.raises(UnreadableImage, match="the file has changed since the last build"):
        Thumbnails(lake).of(photo, content_hash(data), 160, max_pixels=10**6, byte_size=len(data))


# -- one place ----------------------------------------------------------------------------------------------

MAY_OPEN = {  # files that imrec itself writes, or a network
    "evaluation", "export", "features", "lake", "models", "plots",
}  # fmt: skip


def test_files_of_sources_are_opened_in_one_place():
    """Packages that read images of sources neither open files nor call `Path.read_bytes`."""
    found = set()
    root = Path(imrec_core.__file__).parent
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).parts
        if parts[0] in MAY_OPEN:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
                found.add("/".join(parts))
            is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_method and node.func.attr == "open" and getattr(node.func.value, "id", "") == "os":
                found.add("/".join(parts))
    assert found == set()
