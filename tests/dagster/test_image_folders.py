"""The sensor of changed folders: when it requests a scan, and that it goes on past folders that it cannot read."""

import os
import time

import dagster as dg
import pytest

from imrec_core.catalog import manifests, scan_times
from imrec_dagster import sensors
from tests.support import toy
from tests.support.graph import look


@pytest.fixture
def lake(tmp_path):
    """Two sources whose folders have changed a minute ago, not scanned yet."""
    sources = {name: tmp_path / name for name in ("one", "two")}
    for number, root in enumerate(sources.values()):
        toy.write_photos(root, range(4 * number, 4 * number + 4))
        set_back(root)
    return toy.new_lake(tmp_path / "lake", ("phash",), sources=sources)


def set_back(root):
    """Set the time of a folder back, as if it had changed a minute ago."""
    os.utime(root, (time.time() - 60,) * 2)


def scan(lake):
    manifests.update(lake)
    scan_times.record(lake, ())


def is_scan_requested(result) -> bool:
    return isinstance(result, dg.SensorResult) and len(result.run_requests or ()) == 1


def test_first_tick_requests_a_scan_only_if_there_was_none_since_the_folders_changed(lake):
    assert is_scan_requested(look(lake, None))
    scan(lake)
    first = look(lake, None)
    assert not is_scan_requested(first) and "a scan has been made" in first.skip_reason.skip_message
    assert isinstance(look(lake, first.cursor), dg.SkipReason)
    toy.write_photos(lake.settings().sources["two"] / "new", [9])
    assert is_scan_requested(look(lake, first.cursor))
    assert is_scan_requested(look(lake, None))


def test_source_that_was_scanned_when_it_was_added_is_not_scanned_again(lake, tmp_path):
    scan(lake)
    cursor = look(lake, None).cursor
    toy.write_photos(tmp_path / "three", [20])
    set_back(tmp_path / "three")
    toy.set_to(lake, sources={**lake.settings().sources, "three": tmp_path / "three"})
    assert is_scan_requested(look(lake, cursor))
    scan(lake)
    assert not is_scan_requested(look(lake, cursor))


def test_source_that_was_taken_out_is_scanned_once(lake, tmp_path):
    scan(lake)
    cursor = look(lake, None).cursor
    toy.set_to(lake, sources={"one": tmp_path / "one"})
    assert is_scan_requested(look(lake, cursor))
    scan(lake)
    assert not is_scan_requested(look(lake, cursor))


@pytest.mark.parametrize("cursor", ["0123456789abcdef", "[]", "1", ""])
def test_cursor_of_another_version_is_a_first_tick(lake, cursor):
    assert is_scan_requested(look(lake, cursor))


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(40, "loop"), FileNotFoundError()])
@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_folder_that_cannot_be_read_is_left_out(tmp_path, monkeypatch, error, call):
    for name in ("a/b", "lost+found/c", "z/y"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    real = getattr(os, call)

    def refused(path, *rest, **options):
        if str(path).endswith("lost+found"):
            raise error
        return real(path, *rest, **options)

    monkeypatch.setattr(os, call, refused)
    found = {os.path.relpath(folder, tmp_path) for folder, _ in sensors._folders(tmp_path, 2)}
    assert found - {"lost+found"} == {".", "a", "a/b", "z", "z/y"}


def test_root_that_is_gone_yields_nothing(tmp_path):
    assert list(sensors._folders(tmp_path / "gone", 2)) == []
