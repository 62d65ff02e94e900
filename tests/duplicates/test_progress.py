"""Progress of a search: estimate, time left, and continuing after an interrupt."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from imrec_core.duplicates import find_duplicates, progress, verification, verified_pairs
from imrec_core.duplicates.loaded_images import LoadedImages
from imrec_core.duplicates.progress import Progress, Steps, format_seconds
from imrec_core.duplicates.verified_pairs import VerifiedPairs
from imrec_dagster.cli.progress_line import ProgressLine
from tests.support import toy


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (40.4, "40 s"), (89, "89 s"), (90, "2 min"), (720, "12 min"), (4800, "1 h 20 min")],
)
def test_seconds_have_a_unit(seconds, text):
    assert format_seconds(seconds) == text


def test_progress_is_one_line():
    assert str(Progress("looking for candidates")) == "looking for candidates"
    assert str(Progress("comparing", 1280, 13052, 40)) == "comparing: 1,280 of 13,052, about 40 s left"


def test_steps_begin_with_the_estimate_and_measure(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    seen = []
    steps = Steps("comparing", 100, seen.append, estimate=7.0)
    now[0] = 2.0
    steps.advance(20)
    now[0] = 5.0
    steps.advance(80)
    assert [(one.done, one.seconds_left) for one in seen] == [(0, 7.0), (20, 8.0), (100, 0.0)]


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "_AT_ONCE", 8)
    toy.write_photos(tmp_path / "photos", range(24), specks=40)
    made = toy.new_lake(tmp_path / "lake", ("phash", "dhash", "efficientnet_lite0"))
    toy.build(made)
    return made


class Interrupt(BaseException):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize("after", [1, 2, 4])
def test_interrupted_search_continues_with_the_rest(lake, monkeypatch, after):
    def stop(state):
        if state.total and state.done >= 8 * after:
            raise Interrupt

    seen: list[Progress] = []
    with pytest.raises(Interrupt):
        find_duplicates(lake, tier="edited", progress=stop)
    decoded = []
    load = LoadedImages._decode
    monkeypatch.setattr(LoadedImages, "_decode", lambda self, i: decoded.append(i) or load(self, i))
    found = find_duplicates(lake, tier="edited", progress=seen.append)
    planned = next(state.total for state in seen if state.total)
    assert planned == found.compared - 8 * after
    assert seen[-1].done == planned
    assert len(decoded) < 24

    seen.clear()
    decoded.clear()
    assert find_duplicates(lake, tier="edited", progress=seen.append).groups == found.groups
    assert [str(state) for state in seen] == ["looking for candidates"]
    assert not decoded


def test_only_pairs_of_new_images_are_compared(lake):
    first = find_duplicates(lake, tier="edited")
    toy.write_photos(lake.root.parent / "photos", [30], specks=40)
    toy.build(lake)
    seen: list[Progress] = []
    found = find_duplicates(lake, tier="edited", progress=seen.append)
    assert sum(state.total for state in seen if state.total and not state.done) < first.compared
    assert found.compared >= first.compared


STATES = [Progress("looking"), Progress("comparing", 0, 20, 95), Progress("comparing", 10, 20, 5), Progress("grouping")]


def test_terminal_shows_one_line_for_each_step(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with ProgressLine() as show:
        for state in STATES:
            show(state)
    lines = capsys.readouterr().err.split("\n")
    assert [line.count("\r") for line in lines] == [1, 2, 1, 0]
    assert lines[1].split("\r")[1:] == [str(STATES[1]), str(STATES[2]).ljust(len(str(STATES[1])))]


def test_file_gets_few_lines(monkeypatch, capsys):
    with ProgressLine() as show:
        for state in [*STATES[:3], STATES[2], STATES[3]]:
            show(state)
    assert capsys.readouterr().err.splitlines() == [str(STATES[0]), str(STATES[1]), str(STATES[3])]


def test_command_prints_an_estimate_and_continues_a_killed_search(imrec, lake, monkeypatch):
    """A process that is killed writes nothing at its end."""
    monkeypatch.setattr(verified_pairs, "_SAVE_AFTER", -1)
    monkeypatch.setattr("imrec_core.duplicates.groups.VerifiedPairs.save", kill_after(VerifiedPairs.save, 2))
    with pytest.raises(Interrupt):
        find_duplicates(lake, tier="edited")
    monkeypatch.undo()
    shown = imrec("duplicates", "--tier", "edited", "--lake", lake.root)
    assert shown.status == 0
    assert "comparing pairs of images: 0 of" in shown.err and "left" in shown.err
    again = imrec("duplicates", "--tier", "edited", "--lake", lake.root)
    assert again.out == shown.out
    assert "comparing" not in again.err


def kill_after(save, times):
    """Return a `save` that works for some calls, then raises, also where the search cleans up."""
    calls = []

    def saved(self):
        calls.append(self)
        if len(calls) > times:
            raise Interrupt
        save(self)

    return saved


_KILLED = """
import os, signal, sys
from imrec_core.duplicates import find_duplicates, verification, verified_pairs
verification._AT_ONCE, verified_pairs._SAVE_AFTER = 8, -1
def kill(state):
    if state.done >= 24:
        os.kill(os.getpid(), signal.SIGKILL)
find_duplicates(sys.argv[1], tier="edited", progress=kill)
"""


def test_killed_process_loses_no_stored_result(lake):
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(lake.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    seen: list[Progress] = []
    found = find_duplicates(lake, tier="edited", progress=seen.append)
    assert next(state.total for state in seen if state.total) <= found.compared - 24
    assert find_duplicates(lake, tier="edited").groups == found.groups
