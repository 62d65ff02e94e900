"""What docs/guides/recipes.md tells people to write is understood."""

import re
from pathlib import Path
from textwrap import dedent

import click
import pytest

from imrec_core import FEATURES, METRICS
from imrec_core.evaluation.weight_tuning import MEASURES
from imrec_core.features import chosen_features, find_feature, known_features
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.features.metrics import ALIASES
from imrec_core.features.reduction import METHODS
from imrec_core.features.searched import by_searched_name
from imrec_core.lake.settings import IndexParams, Settings
from imrec_core.lake.settings_file import parse
from imrec_core.models.custom import _KEYS, custom_model
from imrec_dagster.cli.main import imrec
from tests.support.toy import new_lake

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = (DOCS / "guides" / "recipes.md").read_text("utf-8")
NETWORKS = (DOCS / "guides" / "models.md").read_text("utf-8")
SETTINGS = re.findall(r"```toml\n(.*?)```", RECIPES, re.DOTALL)
OWN = {"look", "rgb16", "content64", "content32_kernel"}


def test_settings_of_the_first_snippet_make_the_features_they_name(tmp_path):
    lake = new_lake(tmp_path / "lake")
    lake.settings_path.write_text(SETTINGS[0])
    assert known_features(lake).keys() >= OWN
    names = [feature.name for feature in chosen_features(lake)]
    assert set(names) >= OWN | {"efficientnet_lite0", "hsv_histogram", "sift_vlad", "phash", "pdq"}
    assert IndexParams.of("hsv_histogram:chi_square", lake.settings().indexes["hsv_histogram:chi_square"]).m == 24


def test_network_of_the_second_snippet_is_one(tmp_path):
    model = custom_model("mine", parse(SETTINGS[1], tmp_path).models["mine"], tmp_path)
    assert (model.dims, model.preprocess.crop, model.file) == (512, 224, tmp_path / "mine.onnx")


@pytest.mark.parametrize("snippet", re.findall(r"^ *```toml\n(.*?)```", NETWORKS, re.DOTALL | re.MULTILINE))
def test_networks_of_the_guide_are_read(snippet, tmp_path):
    declared = parse(dedent(snippet), tmp_path).models
    assert declared and all(custom_model(name, table, tmp_path).dims > 1 for name, table in declared.items())


def test_guide_has_every_key_of_a_network():
    assert all(f"`{key}`" in NETWORKS for key in _KEYS)


@pytest.mark.parametrize("by", sorted(set(re.findall(r"[`\"]([a-z_0-9]+:[a-z_]+)[`\"]", RECIPES))))
def test_every_feature_with_a_metric_that_is_named_can_be_asked_for(by):
    held = by_searched_name(FEATURES, Settings())
    assert FeatureMetric.parse(by, lambda name: find_feature(name, held))


def test_every_name_in_the_tables_is_known():
    rows = [line for line in RECIPES.splitlines() if line.startswith("| ") and "---" not in line]
    named = {name for row in rows for name in re.findall(r"`:?([a-z][a-z0-9_]+)`", row.partition(" | ")[2])}
    settings = {
        "levels",
        "features",
        "layers",
        "noise",
        "neighbours",
        "temperature",
        "weight_decay",
        "landmarks",
        "trials",
        "seconds",
        "base",
        "dims",
        "m",
        "ef_construction",
        "ef",
        "candidates",
    }
    columns = {"path", "label"}
    unknown = (
        named
        - FEATURES.keys()
        - METRICS.keys()
        - ALIASES.keys()
        - METHODS.keys()
        - MEASURES.keys()
        - settings
        - columns
    )
    assert len(named) > 30 and not unknown


@pytest.mark.parametrize("line", sorted(set(re.findall(r"`(imrec [^`]+)`", RECIPES))))
def test_every_command_has_those_options(line):
    name, *words = line.split()[1:]
    command = imrec.commands[name]
    if isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("extra", sorted(set(re.findall(r"imrec\[(\w+)\]", RECIPES))))
def test_every_extra_is_declared(extra):
    pyproject = (DOCS.parent / "pyproject.toml").read_text("utf-8")
    assert re.search(rf"^{extra} = \[", pyproject, re.MULTILINE)
