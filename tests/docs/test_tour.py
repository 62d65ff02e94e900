"""The tour runs from its start to its end, and what is kept of it is what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.support.html import ParsedHtml

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "docs" / "tour.ipynb"
KEPT = nbformat.read(TOUR, as_version=4)


def outputs(notebook: NotebookNode) -> list[list[tuple[str, ...]]]:
    """Of each cell of code the kinds of what it shows; of HTML with how many pictures it holds."""
    return [[_kinds(output) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]


def _kinds(output: NotebookNode) -> tuple[str, ...]:
    if output.output_type == "stream":
        return (output.output_type, output.name)
    pictures = str(len(ParsedHtml(output.data["text/html"]).images)) if "text/html" in output.data else ""
    return (output.output_type, *sorted(output.data), pictures)


def written(notebook: NotebookNode) -> str:
    """All words of it, without pictures."""
    texts = [notebook.metadata, *(cell.source for cell in notebook.cells)]
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            texts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return re.sub(r"data:image/jpeg;base64,[^\"]*", "", "\n".join(map(str, texts)))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """Run by a process of its own: what talks to a kernel leaves sockets behind, which is a warning here."""
    file = tmp_path_factory.mktemp("tour") / "tour.ipynb"
    run = subprocess.run([sys.executable, "-m", "docs.tour", file], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return nbformat.read(file, as_version=4)


def test_tour_runs_and_shows_what_is_kept_of_it(fresh):
    assert outputs(fresh) == outputs(KEPT), "run: make tour"
    assert [cell.source for cell in fresh.cells] == [cell.source for cell in KEPT.cells]


def test_what_it_shows_is_what_it_says(fresh):
    shown = written(fresh)
    for notebook in (shown, written(KEPT)):
        assert "252 images of tour" in notebook and "5 failed" in notebook
        assert "no good match by efficientnet_lite0" in notebook and "motorcycle_right.jpg" in notebook
        assert "21 groups" in notebook


def test_everything_that_can_be_asked_for_is_gone_through():
    code = "\n".join(cell.source for cell in KEPT.cells if cell.cell_type == "code")
    for call in ("run_build", "rec.search(", "mix:look", "unlike=", "where=", "max_false_match_rate", ".explain(",
                 ".duplicates(", "build_map", "evaluate_retrieval(", "plot_histograms", "plot_hashes",
                 "plot_distances"):  # fmt: skip
        assert call in code
    assert max(len(cell.source.splitlines()) for cell in KEPT.cells) <= 12


def test_file_is_small_and_names_no_machine():
    assert TOUR.stat().st_size < 1_000_000
    assert not re.search(r"(^|[\s'\"(=])(?!/my/photos)(/[a-z]\w*){2,}|[A-Z]:\\|python3?\.\d", written(KEPT))
    assert all(cell.execution_count is None for cell in KEPT.cells if cell.cell_type == "code")
    assert not [o for cell in KEPT.cells for o in cell.get("outputs", ()) if o.output_type == "error"]
    assert all(cell.get("outputs") is not None for cell in KEPT.cells if cell.cell_type == "code")


def test_links_lead_to_files():
    for name in re.findall(r"\]\(([^)]+)\)", "\n".join(cell.source for cell in KEPT.cells)):
        assert (TOUR.parent / name).exists()
