"""README and docs are up to date: tables match the declarations, snippets run."""

import re
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from docs import generated_tables, schema_tables
from imrec_core import FEATURES, ImageBatch, errors
from imrec_core.lake import run_log, schemas
from imrec_dagster.cli.main import imrec

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))}


def test_readme_is_a_landing_page():
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("name", [*DOCS, "README.md"])
def test_generated_tables_are_up_to_date(name):
    text = (ROOT / name).read_text("utf-8")
    assert generated_tables.updated(text) == text, "run: make docs"


def test_every_generated_table_is_on_one_page():
    pages = {
        table: [name for name, text in DOCS.items() if f"<!-- {table}: made by" in text]
        for table in generated_tables.TABLES
    }
    assert {table: found for table, found in pages.items() if len(found) != 1} == {}


def test_missing_marker_is_reported():
    with pytest.raises(ValueError, match="metrics"):
        generated_tables.updated(DOCS["docs/reference/metrics.md"].replace("<!-- /metrics -->", ""))


@pytest.mark.parametrize("command", imrec.commands)
def test_reference_has_every_command_with_its_options(command):
    section = DOCS["docs/reference/cli.md"].partition(f"\n### imrec {command}\n")[2].partition("\n### ")[0]
    assert f"\nimrec {command}" in section
    for option in _options(imrec.commands[command]):
        assert re.search(rf"^\| `.*{option}\b", section, re.MULTILINE), option


def _options(command: click.Command) -> list[str]:
    """Return the names of the options of a command and of its subcommands."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    named = [name for option in command.params if isinstance(option, click.Option) for name in option.opts]
    return [*named, *(name for one in below for name in _options(one))]


def test_commands_of_the_reference_are_in_the_sections_of_the_help():
    headings = re.findall(r"^## (.+)", DOCS["docs/reference/cli.md"], re.MULTILINE)
    assert headings == list(imrec.sections)


def test_every_column_of_a_table_has_a_comment():
    for name in ("CATALOG", "MANIFEST", "IMAGES =", "ROWS", "MAP"):
        assert schema_tables.column_comments(schemas, name)
    assert schema_tables.column_comments(run_log, "COLUMNS").keys() == run_log.COLUMNS.keys()


@pytest.mark.parametrize("target", ["demo", "test", "lint", "docs", "site", "gallery", "tour", "ui", "bench"])
def test_every_make_target_that_the_readme_names_is_there(target):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_python_of_the_readme_runs(toy_lake, photos, tmp_path, monkeypatch, capsys):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    photo = next(iter(sorted(photos.glob("*.jpg"))))
    monkeypatch.chdir(tmp_path)
    exec(snippet.replace("data_lake/demo", str(toy_lake.root)).replace("demo_photos/coffee__crop.jpg", str(photo)), {})
    shown = re.findall(r"^(\d+) [01]\.\d{3} [a-z ]+ /.+$", capsys.readouterr().out, re.MULTILINE)
    assert shown == ["1", "2", "3"] and (tmp_path / "hits.png").stat().st_size > 0


def test_the_feature_of_the_guide_works(monkeypatch):
    from imrec_core.features.feature import feature
    from imrec_core.features.metrics import euclidean, manhattan

    snippet = re.findall(r"```python\n(@feature.*?)```", DOCS["docs/extend/feature.md"], re.DOTALL)[0]
    monkeypatch.setattr(sys.modules["imrec_core.features.feature"], "FEATURES", {})
    names = {
        "__name__": "mine",
        "feature": feature,
        "euclidean": euclidean,
        "manhattan": manhattan,
        "ImageBatch": ImageBatch,
        "np": np,
    }
    exec(f"from __future__ import annotations\n{snippet}", names)
    red = np.zeros((8, 9, 3), np.uint8)
    red[..., 0] = 255
    assert names["mean_colour"](ImageBatch([red])).tolist() == [[1.0, 0.0, 0.0]]
    assert "mean_colour" not in FEATURES


def test_the_error_tree_names_every_error():
    classes = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    missing = {name for name in classes if name not in (errors.__doc__ or "")}
    assert not missing


def test_pictures_of_readme_and_docs_are_there_and_small():
    shown = [
        (ROOT / name).parent / picture
        for name, text in {"README.md": README, **DOCS}.items()
        for picture in re.findall(r"(?:\]\(|src=\")([^)\"]*\.png)[)\"]", text)
    ]
    assert len(shown) > 15
    for picture in shown:
        assert 0 < picture.stat().st_size < 200_000, picture
