"""`imrec open`: the build behind the page, the address, the browser, and the end of all of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from imrec_core import Lake
from imrec_dagster.cli import open as opening
from imrec_dagster.cli import page_server
from tests.support import toy
from tests.support.running import ROOT, interruptible_children, until

TWO = ("rgb_histogram", "phash")


@contextmanager
def _opened(lake: Lake, log: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command over a lake, its stderr in a file; kill it at the end, and the build if it is still there."""
    command = [sys.executable, "-m", "imrec_dagster.cli", "open", *arguments, "--port", "0", "--lake", str(lake.root)]
    environment = {**os.environ, "BROWSER": "false"}
    environment.pop("DISPLAY", None)
    environment.pop("WAYLAND_DISPLAY", None)
    with log.open("w") as stderr, interruptible_children():
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
    children: list[int] = []
    try:
        children = until(lambda: _children(process.pid), 60, still=lambda: process.poll() is None)
        yield process
    finally:
        process.kill()
        process.communicate()
        for child in filter(_is_running, children):
            os.kill(child, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """List the processes that a process has started and that run."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _words(task / "children")]


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _rows(address: str) -> int | None:
    """Return the number of images of the page; None while it waits for the first generation."""
    answer = httpx.get(f"{address}health", timeout=60)
    assert answer.status_code == 200 or answer.json()["kind"] == "NoGeneration"
    return answer.json().get("rows")


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed by /proc")


@needs_proc
def test_page_is_there_while_the_build_runs_and_ctrl_c_ends_both(tmp_path):
    toy.write_photos(tmp_path / "photos", range(60))
    lake = toy.new_lake(tmp_path / "lake", TWO, sources={}, shard_size=20)
    with _opened(lake, tmp_path / "log", str(tmp_path / "photos")) as process:
        (build,) = _children(process.pid)
        address, page = process.stdout.readline().strip(), {"accept": "text/html"}
        first = httpx.get(address, headers=page, timeout=60).text
        assert "Reading your pictures" in first or lake.current_generation()
        until(lambda: _rows(address) in (20, 60), 120, lambda: not process.poll())
        assert "Reading your pictures" not in httpx.get(address, headers=page, timeout=60).text
        until(lambda: _rows(address) == 60, 120, lambda: not process.poll())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert not _is_running(build)
    said = (tmp_path / "log").read_text()
    assert "building; the page shows the first images as soon as they can be searched" in said
    assert lake.settings().limit == 0


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_interrupt_before_the_first_generation_leaves_no_child_behind(tmp_path, number):
    toy.write_photos(tmp_path / "photos", range(60))
    lake = toy.new_lake(tmp_path / "lake", TWO)
    scanning = lake.open_for_writing().exclusive_lock("catalog")  # the build waits for it, and publishes nothing
    with scanning, _opened(lake, tmp_path / "log") as process:
        (build,) = _children(process.pid)
        until(lambda: "catalog" in (tmp_path / "log").read_text(), 60, lambda: not process.poll())
        process.send_signal(number)
        assert process.wait(60) == 1
        assert not _is_running(build)
    said = (tmp_path / "log").read_text()
    assert "ending the build; completed work is kept" in said
    assert "imrec: interrupted; completed work is kept. Run the command again to continue." in said
    assert "Traceback" not in said


@pytest.fixture
def builds(monkeypatch) -> list[Sequence[str]]:
    """Commands of the builds that were to run; a build that does nothing for long runs instead."""
    start, found = subprocess.Popen, list[Sequence[str]]()

    def popen(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        found.append(command)
        return start([sys.executable, "-c", "import time; time.sleep(600)"], **options)

    monkeypatch.setattr(opening.subprocess, "Popen", popen)
    return found


@pytest.fixture
def served(monkeypatch) -> list[str]:
    """Addresses of the pages that were to be served; the server ends at once."""
    found: list[str] = []

    def run(app: object, limits: object, listener: socket.socket) -> None:
        found.append(f"http://127.0.0.1:{listener.getsockname()[1]}/")

    monkeypatch.setattr(page_server, "run_server", run)
    return found


@pytest.fixture
def browsed(monkeypatch) -> list[str]:
    """Addresses that a browser was to open."""
    found: list[str] = []
    monkeypatch.setattr(opening.webbrowser, "open", found.append)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(sys, "platform", "linux")
    return found


def test_built_lake_is_opened_at_once_and_built_behind_the_page(imrec, new_lake, builds, served, browsed):
    lake = new_lake(6, ("phash",))
    ran = imrec("open", "--port", 0, "--lake", lake.root)
    assert ran.status == 0
    assert builds == [
        [sys.executable, "-m", "imrec_dagster.cli", "build", "--publish-early", "--lake", str(lake.root)],
    ]
    until(lambda: browsed, 10)
    assert browsed == served
    assert "ending the build" in ran.err and "building;" not in ran.err


def test_folders_are_those_of_the_build(imrec, new_lake, builds, served, browsed):
    lake = new_lake(6, ("phash",))
    assert imrec("open", "more", "old=photos", "--port", 0, "--lake", lake.root).status == 0
    assert builds[0][3:7] == ["build", "more", "old=photos", "--publish-early"]


@pytest.mark.parametrize(("options", "display"), [(["--no-browser"], ":7"), ([], "")])
def test_no_browser_is_opened_if_unwanted_or_without_a_display(
    imrec, new_lake, builds, served, browsed, monkeypatch, options, display
):
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setattr(opening, "threading", None)  # of which the browser gets its own
    assert imrec("open", *options, "--port", 0, "--lake", new_lake(6, ("phash",)).root).status == 0
    assert len(served) == 1 and browsed == []


def test_signals_are_handled_as_before_afterwards(imrec, new_lake, builds, served, browsed):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    imrec("open", "--port", 0, "--lake", new_lake(6, ("phash",)).root)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_busy_default_port_gives_way_to_a_free_one_but_a_chosen_one_is_refused(
    imrec, new_lake, builds, served, browsed, free_port, monkeypatch
):
    lake = new_lake(6, ("phash",))
    monkeypatch.setattr(page_server, "DEFAULT_PORT", free_port)
    assert imrec("open", "--lake", lake.root).status == 0
    with socket.create_server(("127.0.0.1", free_port)):
        assert imrec("open", "--lake", lake.root).status == 0
        refused = imrec("open", "--port", free_port, "--lake", lake.root)
    assert served[0] == f"http://127.0.0.1:{free_port}/" != served[1]
    assert f"cannot listen on 127.0.0.1, port {free_port}" in refused.complaint
    assert len(builds) == 2  # nothing is built for the page that cannot be served


def test_lake_without_folders_is_refused_in_one_line(imrec, builds):
    refused = imrec("open", "--lake", "new")
    assert refused.status == 1
    assert refused.complaint.endswith("has no image folder yet; give one: imrec open FOLDER")
    assert builds == []


def test_build_that_fails_before_the_first_generation_ends_the_command(imrec, tmp_path, served, browsed, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "empty").mkdir()
    assert imrec("open", tmp_path / "empty", "--port", 0, "--lake", "new").status == 1
    assert served == browsed == []
