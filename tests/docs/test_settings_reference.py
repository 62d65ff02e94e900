"""docs/reference/settings.md has a heading, a default and a valid example for each setting of `lake.toml`."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import tomlkit

from docs import settings_reference
from imrec_core.features import generation_features
from imrec_core.lake.settings import RENAMED, Settings
from imrec_core.lake.settings_file import parse
from imrec_dagster.settings import DagsterSettings
from tests.support.toy import new_lake

PAGE = (Path(__file__).parents[2] / "docs/reference/settings.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
NAMES = [f.name for f in fields(Settings)]


def test_every_setting_has_a_heading_and_no_other_has_one():
    assert sorted(SECTIONS) == sorted(NAMES)


def test_what_the_code_does_not_say_is_there_for_every_setting():
    assert settings_reference.RECOMPUTED.keys() == settings_reference.EXAMPLES.keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_section_has_the_type_the_effect_of_a_change_and_an_example(name):
    text = SECTIONS[name]
    assert re.search(r"^Type: .+\.", text, re.MULTILINE) and "\nRecomputed after a change: " in text
    default = getattr(Settings(), name)
    assert isinstance(default, dict) or f"`{settings_reference.toml(default)}`" in " ".join(text.split())


@pytest.mark.parametrize("name", NAMES)
def test_example_sets_this_setting_alone_and_is_valid(name, tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", SECTIONS[name], re.DOTALL)
    assert set(tomlkit.parse(example)) == {name}
    lake = new_lake(tmp_path / "lake")
    lake.settings_path.write_text(example)
    settings = parse(example, tmp_path)
    assert getattr(settings, name) != getattr(Settings(), name)
    assert generation_features(lake) and DagsterSettings.of(settings)


def test_settings_of_dagster_and_former_names_are_on_the_page():
    assert all(f"`{f.name}`" in SECTIONS["dagster"] for f in fields(DagsterSettings))
    assert all(f"`{old}`" in PAGE for old in RENAMED)
