"""docs/guides/install.md has the pinned versions, and every extra that users install."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/install.md").read_text("utf-8")
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
OF_DEVELOPERS = {"dev", "peers"}


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_torch_for_the_cpu_is_in_the_pinned_version(name):
    assert set(re.findall(rf"\b{name}==(\S+)", PAGE)) == {PINNED[name]}


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - OF_DEVELOPERS))
def test_every_extra_is_in_the_table(extra):
    assert re.search(rf"^\| .*`imrec\[{extra}\]`", PAGE, re.MULTILINE)
