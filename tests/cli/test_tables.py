"""Tables of the command: fitted to a terminal, whole and plain elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import imrec_core
from imrec_core.search.likeness import likeness
from imrec_dagster.cli import search_output
from imrec_dagster.cli.tables import table

HEADING = ["score", "image_id", "path"]
PATH = "/home/somebody/photos/2024/summer holiday/day 3/IMG_2041.jpg"
ROWS = [["0.914", "00d1a1ffb7c5c0de", PATH], ["0.100", "ffffffffffffffff", "b.jpg"]]


@pytest.fixture
def terminal(monkeypatch):
    """Makes stdout a terminal of this width."""

    def set_width(columns: int) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)

    return set_width


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


def test_pipe_gets_whole_cells_without_styles(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert table(HEADING, ROWS, colours={0: {"0.914": "green"}}).splitlines() == [
        "score  image_id          path",
        f"0.914  00d1a1ffb7c5c0de  {PATH}",
        "0.100  ffffffffffffffff  b.jpg",
    ]


@pytest.mark.parametrize("columns", [45, 60, 84])
def test_path_is_shortened_in_the_middle_to_fit(terminal, columns):
    terminal(columns)
    _, first, second = plain(table(HEADING, ROWS)).splitlines()
    assert len(first) == columns
    score, image_id, path = first.split("  ", 2)
    assert [score, image_id] == ROWS[0][:2]
    start, _, end = path.partition("…")
    assert start and PATH.startswith(start) and PATH.endswith(end) and len(end) > len(start)
    assert second.split() == ROWS[1]


def test_ids_and_scores_stay_whole_in_a_window_that_is_too_small(terminal):
    terminal(20)
    _, first, second = plain(table(HEADING, ROWS)).splitlines()
    assert first.split("  ", 2)[:2] == ROWS[0][:2] and len(first.split("  ", 2)[2]) == 16
    assert second.split() == ROWS[1]


def test_wide_window_shortens_nothing(terminal):
    terminal(200)
    assert PATH in table(HEADING, ROWS)


def test_texts_are_shortened_at_the_end_and_the_widest_first(terminal):
    terminal(70)
    text, limits = "word " * 20, "below 0.2, above 0.9"
    _, row = plain(table(["name", "summary", ""], [["dark", text, limits]], texts=[2])).splitlines()
    assert len(row) == 70 and row.endswith(f"…  {limits}") and row.startswith("dark  word word")


def test_wide_characters_count_twice(terminal):
    terminal(60)
    _, first, second = plain(table(["path", "score"], [["写真/" * 20, "0.5"], ["a" * 60, "0.25"]])).splitlines()
    position = first.index("0.5")
    assert "…" in first and position + first.count("写") + first.count("真") == second.index("0.25")
    assert len(second) <= 60


def test_heading_is_bold_and_words_have_colours(terminal):
    terminal(80)
    heading, row = table(["", "score"], [["close", "0.9"]], colours={0: {"close": "cyan"}}).splitlines()
    assert heading == "       \x1b[1mscore\x1b[0m"
    assert row == "\x1b[36mclose\x1b[0m  0.9"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_styles_can_be_turned_off(terminal, monkeypatch, name, value):
    terminal(80)
    monkeypatch.setenv(name, value)
    assert "\x1b" not in table(HEADING, ROWS, colours={0: {"0.914": "green"}})


def test_every_word_of_likeness_has_a_colour():
    assert search_output._COLOURS.keys() == {likeness(10.0**-power) for power in range(9)}


def test_table_in_a_terminal_of_its_own_fits(tmp_path):
    main, other = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    root = Path(imrec_core.__file__).parent.parent
    environment |= {"COLUMNS": "100", "TERM": "xterm", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "imrec_dagster.cli", "features"]
    with open(other, "wb", closefd=True) as output:
        ran = subprocess.Popen(command, stdout=output, stdin=output, stderr=output, cwd=tmp_path, env=environment)
    shown = b""
    try:
        while block := os.read(main, 65536):
            shown += block
    except OSError:  # Linux: the other end is closed
        pass
    os.close(main)
    assert ran.wait() == 0
    lines = shown.decode().splitlines()
    assert "\x1b[1mname" in lines[0] and len(lines) > 50
    assert max(len(plain(line)) for line in lines) <= 100
