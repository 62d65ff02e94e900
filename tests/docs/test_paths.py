"""Files and dotted names that documents, docstrings and comments mention exist."""

import re
from pathlib import Path
from pydoc import locate

import pytest

import imrec_core

ROOT = Path(imrec_core.__file__).parent.parent
TEXTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "data_lake/README.md")),
    *(path for path in (ROOT / "docs").rglob("*") if path.is_file()),
    *(path for folder in ("imrec_core", "imrec_dagster", "tests") for path in (ROOT / folder).rglob("*.py")),
]
TEXTS = [path for path in TEXTS if path.suffix in {".md", ".py", ".toml", ".yaml", ".ipynb", ".service", ""}]
FOLDERS = ("imrec_core", "imrec_dagster", "tests", "docs")
NAMES = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*")}
DEPRECATED = {"imrec_core.features.Learnt", "imrec_dagster.command"}
MISSPELLED = {"imrec_core.Recomender"}  # by a test
ELSEWHERE = {"my_features.py", "utils.py", "net.py", "model.py", "my_net.py"}  # examples of files that users write


def mentions(pattern: str) -> list[tuple[str, str]]:
    """Each match of a pattern with the file that has it."""
    found = []
    for path in TEXTS:
        text = path.read_text("utf-8")
        found += [(str(path.relative_to(ROOT)), match) for match in re.findall(pattern, text)]
    assert len(found) > 10
    return sorted(set(found))


def test_files_that_are_mentioned_exist():
    paths = mentions(r"(?<![\w/.-])(?:imrec_core|imrec_dagster|tests|docs)/[\w./-]*\w")
    assert [
        (where, path)
        for where, path in paths
        if not (ROOT / path).exists()
        and not path.isupper()
        and not set(path.replace(".", "/").split("/")) & {"NAME", "PACKAGE", "COMMAND"}
    ] == []


def test_modules_that_are_mentioned_by_file_name_exist():
    files = mentions(r"`([a-z_]+\.py)`")
    assert [(where, name) for where, name in files if name not in NAMES | ELSEWHERE] == []


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_dotted_names_that_are_mentioned_exist():
    found = mentions(r"(?<![\w./])imrec_(?:core|dagster)(?:\.\w+)+")
    dotted = {name: where for where, name in found if name not in DEPRECATED | MISSPELLED and "test_moved" not in where}
    assert {where: name for name, where in dotted.items() if locate(name) is None} == {}
