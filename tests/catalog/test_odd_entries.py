"""One odd entry of a folder is a failure with a reason; the rest of the source is read."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from imrec_core.catalog.manifests import diff, update
from imrec_core.catalog.scan import SourceScan, require_image
from imrec_core.errors import BadSource
from imrec_core.extraction.failures import list_failures
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings, Source
from tests.support.listings import change_status

DAY = 86_400 * 10**9
LATEST = 2**63 - 1


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for path in ("a.jpg", "b.jpg", "year/c.jpg", "year/month/d.jpg"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


@pytest.fixture
def lake(tmp_path: Path, photos: Path) -> Lake:
    lake = Lake(tmp_path / "lake").open_for_writing()
    lake.save_settings(Settings(sources={"s": photos}, shard_size=2))
    update(lake)
    return lake


def scan(root: Path) -> SourceScan:
    return SourceScan.of(Source("s", root), Settings())


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError, call: str = "scandir") -> None:
    """Let a call of `os` fail for one folder; the root of a container ignores modes."""
    real = getattr(os, call)

    def refused(path, *rest, **options):
        if os.path.basename(os.fsdecode(path)) == name:
            raise error
        return real(path, *rest, **options)

    monkeypatch.setattr(os, call, refused)


# -- entries that are left out, with a reason ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError(36, "File name too long"), "File name too long"),
        (OSError(116, "Stale file handle"), "Stale file handle"),
        (OSError("without a number"), "without a number"),
    ],
    ids=["denied", "damaged", "too long", "stale", "no number"],
)
@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_folder_that_cannot_be_listed_is_a_failure_and_keeps_its_images(lake, photos, monkeypatch, error, reason, call):
    (photos / "new.jpg").write_bytes(b"x")
    refuse(monkeypatch, "year", error, call)
    found = update(lake)
    assert (found.new, found.removed, found.unchanged, found.unavailable) == (1, 0, 4, ())
    (failure,) = list_failures(lake)
    assert failure == {
        "source": "s", "path": "year", "error": f"BadSource: cannot list the folder: {reason}", "byte_size": None,
    }  # fmt: skip


def test_images_below_an_unreadable_folder_are_as_they_were_once_it_is_back(lake, photos, monkeypatch):
    with monkeypatch.context() as refused:
        refuse(refused, "year", PermissionError(13, "Permission denied"))
        update(lake)
    (photos / "year/month/d.jpg").unlink()
    found = update(lake)
    assert (found.new, found.changed, found.removed, found.unchanged) == (0, 0, 1, 3)
    assert list_failures(lake) == []


def test_folder_whose_name_begins_alike_is_not_kept(lake, photos, monkeypatch):
    (photos / "year2").mkdir()
    (photos / "year2/e.jpg").write_bytes(b"x")
    update(lake)
    (photos / "year2/e.jpg").unlink()
    refuse(monkeypatch, "year", PermissionError(13, "Permission denied"))
    assert diff(lake).removed == 1


def test_folder_whose_listing_breaks_off_keeps_all_of_its_images(lake, photos, monkeypatch):
    (photos / "year/e.jpg").write_bytes(b"x")
    update(lake)
    real = os.scandir

    class Broken:
        def __init__(self, entries):
            self._entries = entries

        def __enter__(self):
            yield next(self._entries)
            raise OSError(5, "Input/output error")

        def __exit__(self, *_):
            self._entries.close()

    def scandir(folder):
        return Broken(real(folder)) if os.path.basename(folder) == "year" else real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    found = diff(lake)
    assert (found.removed, found.unchanged) == (0, 5)
    assert [f.path for f in found.reports["s"].failures] == ["year"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_folder_without_rights_is_a_failure(photos):
    (photos / "lost+found").mkdir(mode=0)
    assert [f.path for f in scan(photos).report.failures] == ["lost+found"]


def test_root_that_cannot_be_listed_makes_the_source_unavailable(lake, monkeypatch):
    refuse(monkeypatch, "photos", PermissionError(13, "Permission denied"))
    found = diff(lake)
    assert found.manifests == ()
    assert "cannot list" in found.unavailable[0][1] and "Permission denied" in found.unavailable[0][1]


def test_folder_removed_during_the_scan_is_no_failure(photos, monkeypatch):
    refuse(monkeypatch, "year", FileNotFoundError(2, "No such file or directory"))
    assert scan(photos).report.failures == ()


@pytest.mark.parametrize("name", ["loop", "loop.jpg", "loop.txt", "loop.d"])
def test_link_that_leads_to_itself_takes_nothing_else_down(lake, photos, name):
    (photos / name).symlink_to(name)
    (photos / "x").symlink_to("y")
    (photos / "y").symlink_to("x")
    found = update(lake)
    assert (found.unchanged, found.removed, found.unavailable) == (4, 0, ())
    failed = {row["path"]: row["error"] for row in list_failures(lake)}
    if name.endswith(".jpg"):  # it is listed, and fails when it is read
        assert found.new == 1
    else:
        assert "Too many levels of symbolic links" in failed.pop(name)
    assert failed.keys() == {"x", "y"}


def test_broken_link_to_a_folder_keeps_the_images_that_were_below_it(lake, photos, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/e.jpg").write_bytes(b"x")
    (photos / "disk").symlink_to(tmp_path / "disk")
    (photos / "draft").symlink_to(tmp_path / "nothing")  # below it no image was ever known
    assert update(lake).new == 1
    (tmp_path / "disk").rename(tmp_path / "away")
    found = update(lake)
    assert (found.removed, found.unchanged) == (0, 5)
    assert [row["path"] for row in list_failures(lake)] == ["disk"]


ABSURD = [LATEST + 1, LATEST + 300 * 365 * DAY, -(2**63) - 1]


@pytest.mark.parametrize("mtime_ns", ABSURD)
def test_file_with_a_time_that_no_table_holds_is_a_failure(lake, photos, monkeypatch, mtime_ns):
    (photos / "old.jpg").write_bytes(b"x")
    set_time(monkeypatch, {"old.jpg": mtime_ns, "a.jpg": mtime_ns})
    found = update(lake)
    assert (found.new, found.changed, found.removed, found.unchanged) == (0, 0, 0, 4)  # a.jpg is kept
    failed = {row["path"]: row["error"] for row in list_failures(lake)}
    assert failed.keys() == {"a.jpg", "old.jpg"}
    assert "its time is not between 1677 and 2262" in failed["old.jpg"]


@pytest.mark.parametrize("mtime_ns", [LATEST, -(2**63), -1, 0, -86_400 * 365 * 50 * 10**9])
def test_file_with_an_unusual_time_is_read(lake, photos, monkeypatch, mtime_ns):
    set_time(monkeypatch, {"a.jpg": mtime_ns})
    found = update(lake)
    assert (found.changed, found.unchanged) == (1, 3)
    assert diff(lake).unchanged == 4


def set_time(monkeypatch: pytest.MonkeyPatch, times: dict[str, int]) -> None:
    """Let files have modification times that not every disk can store."""
    change_status(monkeypatch, lambda name, found: {"st_mtime_ns": times.get(name, found.st_mtime_ns)})


def test_file_whose_status_cannot_be_read_is_a_failure_and_stays_known(lake, photos, monkeypatch):
    """A folder with the right to list but not to enter it has such files."""
    (photos / "new.jpg").write_bytes(b"x")

    def deny(name: str, found: os.stat_result) -> dict[str, int]:
        raise PermissionError(13, "Permission denied")

    change_status(monkeypatch, deny)
    found = update(lake)
    assert (found.new, found.removed, found.unchanged) == (0, 0, 4)
    failed = {row["path"]: row["error"] for row in list_failures(lake)}
    assert failed["new.jpg"] == "UnreadableImage: cannot read the entry: Permission denied"
    assert len(failed) == 5


# -- entries that are listed, and fail when they are read ---------------------------------------------------


def make_socket(path: Path) -> None:
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


@pytest.mark.parametrize(
    "make", [os.mkfifo, make_socket, lambda path: path.symlink_to("/dev/zero")], ids=["FIFO", "socket", "device"]
)
def test_what_is_no_regular_file_is_listed(photos, make: Callable[[Path], None], monkeypatch):
    monkeypatch.chdir(photos)
    make(photos / "odd.jpg")
    found = scan(photos)
    assert "odd.jpg" in found.images["path"].to_list()
    assert found.report.failures == ()


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", b"caf\xe9/e.jpg", b"\xff\xfe\xfd.jpg"])
def test_name_that_is_not_utf_8_is_listed_and_a_failing_folder_of_such_a_name_reported(lake, photos, monkeypatch, name):
    path = os.path.join(os.fsencode(photos), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(os.fsdecode(path)).write_bytes(b"x")
    assert update(lake).new == 1
    if b"/" in name:
        refuse(monkeypatch, os.fsdecode(b"caf\xe9"), PermissionError(13, "Permission denied"))
        found = update(lake)
        assert (found.removed, found.unchanged) == (0, 5)
        assert [row["path"] for row in list_failures(lake)] == [r"caf\xe9"]


# -- the report ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"failures": [{"path": "a"}]}', b"\xff\xfe", b'{"failures": 3}']
)
def test_damaged_report_of_a_scan_is_written_again(lake, photos, content, monkeypatch):
    refuse(monkeypatch, "year", PermissionError(13, "Permission denied"))
    lake.layout.scan_path("s").write_bytes(content)
    assert list_failures(lake) == []
    update(lake)
    assert [row["path"] for row in list_failures(lake)] == ["year"]


def test_report_of_a_source_that_is_no_longer_declared_is_not_shown(lake, monkeypatch):
    refuse(monkeypatch, "year", PermissionError(13, "Permission denied"))
    update(lake)
    lake.save_settings(Settings())
    assert list_failures(lake) == []


def test_folder_without_an_image_says_what_could_not_be_listed(tmp_path, monkeypatch):
    (tmp_path / "only/locked").mkdir(parents=True)
    refuse(monkeypatch, "locked", PermissionError(13, "Permission denied"))
    with pytest.raises(BadSource, match=r"holds no image \(looked .*\); locked: cannot list the folder: Perm"):
        require_image(Source("s", tmp_path / "only"), Settings())
