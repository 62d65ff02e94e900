"""The zip of a selection: its bytes, and the names in it."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imrec_core.web.archive import ArchiveWriter
from imrec_core.web.archive_names import ArchiveNames

TAKEN = 1_600_000_000 * 10**9


def archive(*files: tuple[str, bytes], mtime_ns: int = TAKEN) -> bytes:
    writer = ArchiveWriter()
    parts = [chunk for name, data in files for chunk in writer.add(name, data, mtime_ns)]
    return b"".join([*parts, *writer.finish()])


def test_zip_has_the_bytes_of_its_files():
    files = [("photos/a.jpg", b"a" * 200_000), ("photos/b/ü.jpg", b""), ("c.jpg", bytes(range(256)))]
    with zipfile.ZipFile(io.BytesIO(archive(*files))) as found:
        assert found.testzip() is None
        assert [(name, found.read(name)) for name in found.namelist()] == files
        assert {entry.compress_type for entry in found.infolist()} == {zipfile.ZIP_STORED}
        assert found.infolist()[0].date_time[0] == 2020


def test_local_headers_have_checksum_and_size_so_that_a_zip_can_be_read_from_its_start():
    data = b"some bytes"
    flags, _, _, crc, packed, size = struct.unpack_from("<HHIIII", archive(("a", data)), 6)
    assert (flags & 8, packed, size) == (0, len(data), len(data))
    assert crc == zlib.crc32(data)


def test_chunks_are_small_and_nothing_is_kept():
    writer = ArchiveWriter()
    chunks = list(writer.add("a", bytes(10**6)))
    assert max(map(len, chunks)) <= 65_536
    assert sum(map(len, chunks)) > 10**6
    assert sum(map(len, writer.finish())) < 200


@pytest.mark.parametrize("mtime_ns", [-(10**19), 0, 10**20, 5_000_000_000 * 10**9])
def test_times_that_a_zip_cannot_hold_become_the_first(mtime_ns):
    with zipfile.ZipFile(io.BytesIO(archive(("a", b""), mtime_ns=mtime_ns))) as found:
        assert found.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.jpg", "photos/a/b.jpg"),
        ("../../etc/passwd", "photos/_/_/etc/passwd"),
        ("/etc/passwd", "photos/etc/passwd"),
        ("a/./b.jpg", "photos/a/b.jpg"),
        ("c:\\b.jpg", "photos/c__b.jpg"),
        ("a\nb?.jpg", "photos/a_b_.jpg"),
        ("con.jpg", "photos/_con.jpg"),
        ("end. ", "photos/end"),
        ("ü.jpg", "photos/ü.jpg"),
    ],
)
def test_name_is_valid_on_every_system(path, name):
    assert ArchiveNames().add("photos", path) == name


def test_names_that_a_file_system_holds_to_be_the_same_get_numbers():
    names = ArchiveNames("MISSING.txt")
    paths = ["a.jpg", "A.JPG", "a?.jpg", "a*.jpg", "u\u0308.jpg", "ü.jpg"]
    assert [names.add("p", path) for path in paths] == [
        "p/a.jpg",
        "p/A (2).JPG",
        "p/a_.jpg",
        "p/a_ (2).jpg",
        "p/u\u0308.jpg",
        "p/ü (2).jpg",
    ]
    assert names.add("missing.txt", "a.jpg") == "missing.txt_a.jpg"  # a file cannot be a folder, too


def test_long_names_are_shortened_before_their_suffix():
    name = ArchiveNames().add("p", "ü" * 200 + ".jpg")
    assert name.endswith("ü.jpg") and len(name.encode()) <= 202


FILES = st.lists(
    st.tuples(st.text("aA.? /\\:\n", min_size=1, max_size=3), st.text("aA.? /\\\x00", max_size=8)), max_size=30
)


@given(FILES)
def test_any_names_are_distinct_and_below_the_folder(files):
    names = ArchiveNames("MISSING.txt")
    made = [names.add(*file) for file in files]
    keys = [name.casefold() for name in made]
    assert len(set(keys)) == len(keys)
    folders = {str(folder) for key in keys for folder in PurePosixPath(key).parents}
    assert not folders & set(keys)
    for name in made:
        assert not name.startswith("/") and not {"", ".", ".."} & set(name.split("/")) and "\\" not in name
