"""Progress on stderr: overwritten in a terminal, few lines in a file, nothing if the command is fast or quiet."""

from __future__ import annotations

import time

import pytest

from imrec_core.extraction.fit import FitReport
from imrec_dagster.cli import progress, progress_line
from imrec_dagster.cli.progress import BuildProgress
from imrec_dagster.cli.progress_line import ProgressLine


@pytest.fixture
def terminal(monkeypatch):
    """Makes stderr a terminal; to be called, as a test has another stderr than its fixtures."""

    def make() -> None:
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", "40")

    return make


@pytest.fixture
def fast(monkeypatch):
    """The clock of a progress line ticks all the time, and half a minute is short."""
    for name, seconds in (("_TICK", 0.01), ("_SILENT", 0.0), ("_EVERY", 0.05)):
        monkeypatch.setattr(progress_line, name, seconds)


@pytest.fixture
def after(capsys):
    """Waits until stderr contains a text, and returns what there is."""

    def wait(*texts: str) -> str:
        seen, end = "", time.monotonic() + 5
        while not all(text in seen for text in texts) and time.monotonic() < end:
            time.sleep(0.01)
            seen += capsys.readouterr().err
        assert [text for text in texts if text not in seen] == []
        return seen

    return wait


def test_fast_command_says_nothing(capsys, terminal):
    terminal()
    with ProgressLine("searching"):
        pass
    assert capsys.readouterr().err == ""


def test_terminal_shows_what_takes_long_and_erases_it(capsys, terminal, fast, after):
    terminal()
    with ProgressLine("searching"):
        shown = after("\rsearching (0:00)")
    assert "\n" not in shown
    assert capsys.readouterr().err.endswith(f"\r{' ' * len('searching (0:00)')}\r")


def test_file_gets_a_line_after_half_a_minute(fast, after):
    with ProgressLine("searching"):
        assert set(after("searching (0:00)\n").splitlines()) == {"searching (0:00)"}


def test_quiet_is_silent(capsys, terminal, fast):
    terminal()
    with ProgressLine("searching", quiet=True) as line:
        line("a step")
        line.wait_for("more")
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_terminal_overwrites_counts_and_keeps_steps(capsys, terminal):
    terminal()
    with ProgressLine("waiting") as line:
        for step in ("reading", "0 of 9 images", "5 of 9 images", "done"):
            line(step)
    assert capsys.readouterr().err == "\rreading\n\r0 of 9 images\r5 of 9 images\n\rdone\n"


def test_terminal_shows_how_long_a_step_takes(terminal, fast, after):
    terminal()
    with ProgressLine() as line:
        line("laying out 9 images")
        after("\rlaying out 9 images (0:00)")


def test_line_is_no_wider_than_the_terminal(capsys, terminal):
    terminal()
    with ProgressLine() as line:
        line("x" * 50)
    assert capsys.readouterr().err == f"\r{'x' * 39}\n"


def test_file_gets_every_step_but_few_counts(capsys):
    with ProgressLine() as line:
        for step in ("fold 1 of 2", "fold 2 of 2", "0 of 9 images", "5 of 9 images", "9 of 9 images"):
            line(step)
    assert capsys.readouterr().err.splitlines() == ["fold 1 of 2", "fold 2 of 2", "0 of 9 images"]


def test_file_gets_a_count_again_after_half_a_minute(capsys, monkeypatch):
    monkeypatch.setattr(progress_line, "_EVERY", 0.0)
    monkeypatch.setattr(progress_line, "_TICK", 60.0)
    with ProgressLine() as line:
        line("0 of 9 images")
        line("5 of 9 images")
    assert capsys.readouterr().err.splitlines() == ["0 of 9 images", "5 of 9 images"]


def test_error_starts_on_a_line_of_its_own(capsys, terminal):
    terminal()
    with pytest.raises(ValueError), ProgressLine() as line:
        line("a step")
        raise ValueError
    assert capsys.readouterr().err.endswith("\n")


# -- builds -------------------------------------------------------------------------------------------------


def test_build_without_a_terminal_says_how_far_it_is(fast, after):
    shown = BuildProgress()
    with shown.line:
        after("looking for new and changed images (0:00)\n")
        shown.expect(3, 0, [])
        shown.images(1, 1)
        after("2 of 3 images read, 1 failed (0:0")
        shown.images(1, 0)
        after("3 of 3 images read, 1 failed, preparing the generation (0:0")


def test_bar_goes_on_after_a_fit(terminal, capsys, monkeypatch):
    terminal()
    bars = []

    class Bar(progress.tqdm):
        def __init__(self, *args, **options):
            super().__init__(*args, **options, mininterval=0)
            bars.append(self)

    monkeypatch.setattr(progress, "tqdm", Bar)
    shown = BuildProgress()
    shown.expect(4, 0, [])
    shown.images(1, 0)
    shown.done(FitReport("sift_vlad", "1", True, 1.5))
    shown.images(3, 0)
    assert [bar.n for bar in bars] == [4]
    shown.close()
    said = capsys.readouterr().err
    before, _, later = said.partition("fitted sift_vlad in 1.5 s\n")
    assert "1/4" in before and "4/4" in later and "preparing the generation" in later


def test_clock_of_the_bar_goes_on_without_images(terminal, fast, after):
    terminal()
    shown = BuildProgress()
    with shown.line:
        shown.expect(4, 0, [])
        after("0/4 [00:00", "0/4 [00:01")
    shown.close()
