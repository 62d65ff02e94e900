"""The `lake.toml` of a new lake: it sets the quality, explains what can be set, and keeps doing so."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import tomlkit

from imrec_core import Lake
from imrec_core.lake import settings_file
from imrec_core.lake.settings import Settings
from imrec_core.lake.settings_template import NEW_LAKES, settings_template
from imrec_core.lake.storage import object_store
from tests.support import s3

BASE = Path("/lake")

NEW = Settings(**NEW_LAKES)


def uncommented(text: str) -> str:
    return re.sub(r"^# (?=\w+ = |\[\w+\]$|  )", "", text, flags=re.MULTILINE)


def test_template_sets_the_quality_alone():
    assert settings_file.parse(settings_template(), BASE) == NEW == Settings(quality="balanced")


def test_file_without_the_quality_keeps_that_of_older_versions():
    assert settings_file.parse("shard_size = 5", BASE).quality == "best"


def test_what_is_commented_out_are_the_defaults():
    found = tomlkit.parse(uncommented(settings_template())).unwrap()
    assert list(found.pop("sources")) == ["photos", "bucket"]
    assert settings_file.parse(tomlkit.dumps({k: v for k, v in found.items() if k != "dagster"}), BASE) == NEW
    plain = {f.name for f in fields(Settings) if not isinstance(getattr(Settings(), f.name), dict)}
    assert found.keys() == plain | {"dagster"}


def test_no_line_is_wide():
    assert max(map(len, settings_template().splitlines())) <= 120


def test_new_lake_has_it_and_an_existing_file_stays(tmp_path):
    lake = Lake(tmp_path / "new").open_for_writing()
    assert lake.settings_path.read_text() == settings_template()
    assert lake.settings() == NEW
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "lake.toml").write_text("# mine\n")
    assert Lake(tmp_path / "old").open_for_writing().settings_path.read_text() == "# mine\n"


def test_settings_are_added_where_they_belong_and_the_comments_stay(tmp_path):
    lake = Lake(tmp_path / "lake").open_for_writing()
    wanted = Settings(
        sources={"a": tmp_path / "a"}, features=("phash",), quality="balanced", shard_size=5,
        mixes={"m": {"phash": 1.0}}, dagster={"timezone": "Europe/Berlin"},
    )  # fmt: skip
    lake.save_settings(wanted)
    assert lake.settings() == wanted
    text = lake.settings_path.read_text()
    assert set(settings_template().splitlines()) <= set(text.splitlines())
    assert text.index("shard_size = 5") < text.index("[sources]") < text.index(f'a = "{tmp_path / "a"}"')
    lake.save_settings(Settings(sources={"a": tmp_path / "a", "b": tmp_path / "b"}))
    assert list(lake.settings().sources) == ["a", "b"]
    lake.save_settings(Settings())
    assert lake.settings().sources == {}


def test_lake_in_an_object_store_has_it_too(store):
    lake = Lake(s3.path("lake")).open_for_writing()
    assert object_store.read(lake.settings_path).decode() == settings_template()
    lake.save_settings(Settings(shard_size=5))
    assert lake.settings().shard_size == 5


@pytest.mark.parametrize("missing", ["", "Attributes:"])
def test_template_without_docstrings_names_the_settings(monkeypatch, missing):
    monkeypatch.setattr(Settings, "__doc__", missing or None)  # python -OO
    assert "# shard_size = 4096" in settings_template.__wrapped__()
