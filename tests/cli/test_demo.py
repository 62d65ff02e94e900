"""The page that `imrec demo` offers at its end."""

from __future__ import annotations

import sys

import pytest

from imrec_dagster.cli import demo, page_server


@pytest.mark.parametrize(
    ("is_terminal", "variable", "is_served"), [(True, "", True), (True, "0", False), (False, "", False)]
)
def test_page_is_served_in_a_terminal_only(new_lake, monkeypatch, capsys, is_terminal, variable, is_served):
    lake, served = new_lake(6, ("phash",)), list[object]()
    monkeypatch.setattr(page_server, "run_server", lambda app, limits, listener: served.append(app))
    monkeypatch.setenv("DEMO_SERVE", variable)
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: is_terminal, raising=False)
    demo._offer_page(str(lake.root))
    assert len(served) == is_served
    assert (f"imrec serve --lake {lake.root}" in capsys.readouterr().out) is not is_served


def test_command_is_printed_where_the_page_is_not_installed(monkeypatch, capsys):
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    demo._offer_page("data_lake")
    assert capsys.readouterr().out.splitlines()[-1] == "  .venv/bin/imrec serve"
