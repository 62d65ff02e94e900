"""Examples of docs/getting-started.md: every command is understood, every picture is there and small."""

import re
from pathlib import Path

import pytest
from PIL import Image

from docs import page_gallery
from docs.gallery import EXAMPLES as SECTION
from docs.gallery import PLOT, blocks
from imrec_core import FEATURES
from imrec_core.images.edits import EDITS
from imrec_core.images.sample_photos import PHOTOS
from imrec_core.search.feature_weights import DEFAULT, MIXES
from imrec_dagster.cli import demo
from imrec_dagster.cli.main import imrec

ROOT = Path(__file__).parents[2]
FIRST, *EXAMPLES = blocks(*SECTION)
SEARCHES = [words for example in EXAMPLES for words in example.commands]
STEMS = [Path(name).stem for names in PHOTOS.values() for name in names]
NAMES = {f"{stem}.jpg" for stem in STEMS} | {f"{stem}__{e.name}{e.suffix}" for stem in STEMS for e in EDITS.values()}


def parsed(words: list[str]) -> dict:
    """The options and arguments of a command, as `imrec` understands them."""
    program, name, *rest = words
    assert program == ".venv/bin/imrec"
    return imrec.commands[name].make_context(name, rest).params


def test_lake_is_that_of_the_demo_and_gets_every_feature_that_is_asked_for():
    export, build = FIRST.commands
    assert export == ["export", f"IMREC_LAKE={demo._LAKE}"] and not FIRST.picture
    features = set(parsed(build)["features"].split(","))
    asked = {word for words in SEARCHES for word in parsed(words)["by"] if not word.startswith("mix:")}
    asked |= {part.partition(":")[0] for part in MIXES[DEFAULT]}
    assert asked <= features <= set(FEATURES)


def test_five_examples_each_have_a_picture():
    assert [example.picture for example in EXAMPLES] == [f"docs/gallery/{n}.png" for n in range(1, 6)]
    assert {path.name for path in (ROOT / "docs/gallery").iterdir()} == {f"{n}.png" for n in range(1, 6)}


@pytest.mark.parametrize("words", SEARCHES, ids=lambda words: Path(words[2]).stem)
def test_every_search_is_understood_and_names_demo_photos_alone(words):
    params = parsed(words)
    images = [word for word in params["images"] if word not in "+-"]
    assert all(re.fullmatch(r"(0\.\d+:)?demo_photos/[^/]+", word) for word in images)
    assert {Path(word).name for word in images} <= NAMES
    assert bool(params["sheet"]) != bool(params["explain"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: Path(example.picture).stem)
def test_every_command_of_an_example_writes_a_picture_of_its_own(example):
    assert len(set(example.written)) == len(example.commands)
    assert all(name.endswith(".png") for name in example.written)


def test_plot_is_drawn_by_the_command_above_it():
    (plot,) = blocks(*PLOT)
    ((_, name, kind, *rest),) = plot.commands
    params = imrec.commands[name].commands[kind].make_context(kind, rest).params
    assert Path(params["image"]).name in NAMES and str(params["out"]) == plot.written[0]
    assert plot.picture == "docs/plots.png"


def test_pictures_can_be_opened_and_are_small():
    paths = [ROOT / example.picture for example in EXAMPLES]
    sizes = [path.stat().st_size for path in paths]
    assert max(sizes) <= 250_000 and sum(sizes) <= 1_000_000
    for path in paths:
        with Image.open(path) as picture:
            picture.load()
            assert 600 <= picture.width <= 1280


def test_pictures_of_the_page_are_those_that_its_guide_shows():
    guide = (ROOT / "docs/guides/web.md").read_text("utf-8")
    shown = set(re.findall(r"\.\./page/([a-z_]+)\.png", guide))
    assert shown == set(page_gallery.SCREENSHOTS)
    paths = sorted((ROOT / "docs/page").iterdir())
    assert [path.stem for path in paths] == sorted(shown)
    assert max(path.stat().st_size for path in paths) <= 200_000
