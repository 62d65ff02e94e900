"""The thumbnails that are kept, and which of them go when there are too many."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imrec_core import Lake
from imrec_core.errors import BadSettings, UnreadableImage
from imrec_core.images import thumbnails
from imrec_core.images.thumbnails import Thumbnails, kept_mb, trim
from imrec_core.lake.settings import LEAST_THUMBNAIL_MB
from imrec_core.status import lake_status
from tests.support import toy

DIGITS = "3a"
PART = LEAST_THUMBNAIL_MB * 1_000_000 // 256
SIZE = PART // 20


@pytest.fixture
def lake(tmp_path, monkeypatch) -> Lake:
    """With room for twenty thumbnails in each folder, all of one size."""
    made = toy.new_lake(tmp_path / "lake", ("phash",), thumbnail_mb=LEAST_THUMBNAIL_MB)
    monkeypatch.setattr(thumbnails, "contents", lambda path, content_hash, byte_size: b"")
    monkeypatch.setattr(thumbnails, "thumbnail", lambda data, side, **options: bytes(SIZE))
    return made


def shown(made: Thumbnails, number: int, digits: str = DIGITS) -> None:
    made.of(Path("nowhere.jpg"), f"{digits}{number:030x}", 320, max_pixels=1)


def kept(lake: Lake, digits: str = DIGITS) -> set[int]:
    return {int(path.name[2:32], 16) for path in lake.thumbnail_folder(digits).iterdir()}


def looked_at(lake: Lake, number: int, hours_ago: float) -> None:
    then = time.time() - 3600 * hours_ago
    os.utime(lake.thumbnail_path(f"{DIGITS}{number:030x}", 320), (then, then))


def test_thumbnail_is_made_once_and_again_when_it_was_deleted(tmp_path, monkeypatch):
    toy.write_photos(tmp_path / "photos", [1])
    (photo,) = (tmp_path / "photos").iterdir()
    content = hashlib.blake2b(photo.read_bytes(), digest_size=16).hexdigest()
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    first = Thumbnails(lake).of(photo, content, 160, max_pixels=10**6)
    photo.rename(photo.with_suffix(".gone"))
    assert Thumbnails(lake).of(photo, content, 160, max_pixels=10**6) == first
    lake.thumbnail_path(content, 160).unlink()
    with pytest.raises(UnreadableImage):
        Thumbnails(lake).of(photo, content, 160, max_pixels=10**6)


def test_folder_never_holds_more_than_its_part_and_others_are_left_alone(lake):
    made = Thumbnails(lake)
    shown(made, 0, "b0")
    for number in range(100):
        shown(made, number)
        assert len(kept(lake)) <= 20
    assert len(kept(lake)) >= 18 and kept(lake, "b0") == {0}


def test_those_that_were_not_looked_at_for_longest_go(lake):
    made = Thumbnails(lake)
    for number in range(18):
        shown(made, number)
        looked_at(lake, number, 24 - number)
    for number in (0, 3):
        shown(made, number)  # kept from yesterday, and wanted today
    for number in range(100, 108):
        shown(made, number)
    assert {0, 3, *range(100, 108)} <= kept(lake)
    assert not {1, 2, 4} & kept(lake)


def test_folder_is_not_listed_for_each_thumbnail(lake, monkeypatch):
    listed = []
    monkeypatch.setattr(thumbnails, "trim", lambda folder, most: listed.append(folder))
    made = Thumbnails(lake)
    for number in range(40):
        shown(made, number)
    assert len(listed) <= 40 / 2 + 1  # a tenth of a part is two of these


def test_lower_limit_counts_for_what_is_there(lake):
    toy.set_to(lake, thumbnail_mb=10 * LEAST_THUMBNAIL_MB)
    for number in range(60):
        shown(Thumbnails(lake), number)
    assert len(kept(lake)) == 60
    toy.set_to(lake, thumbnail_mb=LEAST_THUMBNAIL_MB)
    shown(Thumbnails(lake), 60)
    assert len(kept(lake)) <= 20 and 60 in kept(lake)


def test_several_servers_share_what_is_kept(lake):
    """Each with threads of its own; a file that another process removes is no error.

    Two that trim a folder at once may remove more than one alone.
    """
    servers = [Thumbnails(lake) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: shown(servers[i % 4], i * 7 % 50), range(400)))
    assert 0 < len(kept(lake)) <= 20 + 3 * 2


def test_file_removed_by_another_process_is_no_error(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(10))
    unlink = os.unlink

    def twice(path):
        unlink(path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", twice)
    trim(tmp_path, 10)
    assert len(list(tmp_path.iterdir())) == 1


def test_limit_of_nothing_keeps_nothing(lake):
    toy.set_to(lake, thumbnail_mb=0)
    shown(Thumbnails(lake), 1)
    assert not lake.thumbnail_folder(DIGITS).exists()


@pytest.mark.parametrize("megabytes", [-1, 1, LEAST_THUMBNAIL_MB - 1])
def test_limit_without_room_is_refused(lake, megabytes):
    with pytest.raises(BadSettings, match=f"thumbnail_mb is {megabytes}; it must be 100 or more, or 0 for none"):
        toy.set_to(lake, thumbnail_mb=megabytes)


def test_status_says_what_they_take(lake):
    assert "thumbnails" not in lake_status(lake).summary()
    made = Thumbnails(lake)
    for folder in range(256):
        for number in range(4):
            shown(made, number, f"{folder:02x}")
    assert kept_mb(lake) == round(256 * 4 * SIZE / 1e6)
    assert f"thumbnails: about {kept_mb(lake)} MB of {LEAST_THUMBNAIL_MB} at most" in lake_status(lake).summary()
