"""The README is up to date: its tables match the declarations, its snippets run."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from docs import generated_tables
from imrec_core import FEATURES, ImageBatch, errors
from imrec_dagster.cli.main import imrec

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    "name", [*sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")), "README.md"]
)
def test_generated_tables_are_up_to_date(name):
    text = (ROOT / name).read_text("utf-8")
    assert generated_tables.updated(text) == text, "run: make docs"


def test_missing_marker_is_reported():
    with pytest.raises(ValueError, match="metrics"):
        generated_tables.updated(README.replace("<!-- /metrics -->", ""))


@pytest.mark.parametrize("command", imrec.commands)
def test_every_command_is_in_the_table_of_commands(command):
    assert re.search(rf"^\| `imrec {command}\b", README, re.MULTILINE)


@pytest.mark.parametrize("target", ["demo", "test", "gallery", "tour", "ui", "bench"])
def test_every_make_target_that_the_readme_names_is_there(target):
    makefile = (Path(__file__).parents[2] / "Makefile").read_text("utf-8")
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_feature_of_the_readme_works(monkeypatch):
    from imrec_core.features.feature import feature
    from imrec_core.features.metrics import euclidean, manhattan

    snippet = re.findall(r"```python\n(@feature.*?)```", README, re.DOTALL)[0]
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


def test_pictures_of_the_readme_are_there_and_small():
    for picture in re.findall(r"\]\((docs/[^)]*\.png)\)", README):
        assert 0 < (ROOT / picture).stat().st_size < 200_000, picture
