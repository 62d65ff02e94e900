"""The search view in plain words: presets, the legend of scores, and names of files; in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, at_every_size, has_sideways_scroll
from tests.support.page import address_params, adjust, names, run_search, upload, write_sql
from tests.support.pictures import encode
from tests.support.serving import serving

FEATURES = ("hsv_histogram", "rgb_histogram", "phash", "dhash", "hog")
ODD = ("100% sure.jpg", "snake_case.jpg", "snakeXcase.jpg", "it's.jpg", "back\\slash.jpg", "CAFÉ.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, some in a folder and some with names that SQL patterns would misread."""
    folder = tmp_path_factory.mktemp("words")
    toy.write_photos(folder / "photos", range(12), specks=20)
    toy.write_photos(folder / "photos" / "Beach 2024", range(20, 24))
    for seed, name in enumerate(ODD, 40):
        (folder / "photos" / name).write_bytes(encode(toy.photo(seed), "JPEG"))
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    lake = toy.new_lake(folder / "lake", FEATURES)
    toy.build(lake)
    with serving(lake) as served:
        yield served.url


def opened(browser: Any, address: str, **options: Any) -> Any:
    page = browser.open(address, **options)
    page.wait_for_selector("a.tile")
    return page


def pressed(page: Any) -> list[str]:
    return page.locator(".choices button[aria-pressed=true]").all_inner_texts()


def press_with_keyboard(page: Any, selector: str) -> None:
    page.focus(selector)
    page.keyboard.press("Enter")


# -- presets ------------------------------------------------------------------------------------------------


def test_presets_are_those_that_the_lake_has_features_for(browser, address):
    page = opened(browser, address)
    assert page.locator(".choices button").all_inner_texts() == ["Colours", "Copies and crops", "Structure"]
    assert pressed(page) == ["Colours"]
    assert not page.is_visible("#mix") and not page.is_visible("#weight-hog")
    assert "hsv_histogram" not in page.locator(".panel").inner_text()


@at_every_size
def test_preset_is_chosen_by_keyboard_and_is_in_the_address(browser, address, folder):
    page = opened(browser, address)
    colours = upload(page, folder / "photos" / "photo_003.jpg")
    found = run_search(page, lambda: press_with_keyboard(page, "[data-preset=structure]"))
    assert found != colours and pressed(page) == ["Structure"]
    assert address_params(page)["by"] == ["hog=1"]
    assert page.inner_text("#preset-about").startswith("The same edges")
    copies = run_search(page, lambda: press_with_keyboard(page, "[data-preset=copies]"))
    assert address_params(page)["by"] == ["phash:hamming_dihedral=1"]
    page.reload()
    page.wait_for_selector(".caption .score")
    assert (names(page), pressed(page)) == (copies, ["Copies and crops"])
    assert run_search(page, page.go_back) == found and pressed(page) == ["Structure"]


def test_weights_are_behind_adjust_and_show_the_preset(browser, address, folder):
    page = opened(browser, address)
    upload(page, folder / "photos" / "photo_003.jpg")
    run_search(page, lambda: page.click("text=Structure"))
    adjust(page)
    assert page.input_value("#weight-hog") == "1"
    page.focus("#weight-phash")
    run_search(page, lambda: page.keyboard.press("End"))
    assert pressed(page) == [] and page.inner_text("#preset-about") == "Own weights."
    page.focus("#weight-phash")
    run_search(page, lambda: page.keyboard.press("Home"))
    assert pressed(page) == ["Structure"]
    other = opened(browser, f"{address}/?by=hog=1&by=phash=0.5")
    assert pressed(other) == [] and other.is_visible("#weight-hog")


NETWORK, WORDS = {"kind": "networks", "metrics": ["cosine"]}, {"understands_text": True}
HASH = {"kind": "hashes", "metrics": ["hamming"]}
MIXES = [{"name": "default", "weights": {"lite": 0.4, "pdq": 0.1}}, {"name": "same_kind", "weights": {"lite": 1}}]


@pytest.mark.parametrize(
    ("features", "mixes", "default", "expected"),
    [
        ({"lite": NETWORK, "pdq": HASH}, MIXES, "lite", {"content": None, "copies": "mix:default"}),
        ({"lite": NETWORK, "pdq": HASH}, MIXES, "lite_content", {"content": None, "copies": "mix:default"}),
        ({"lite": NETWORK, "pdq": HASH}, MIXES, "pdq", {"content": "mix:same_kind", "copies": "mix:default"}),
        ({"ahash": HASH, "pdq": HASH}, [], "ahash", {"copies": {"pdq": 1}}),
        ({"lite": NETWORK}, MIXES[1:], "lite", {"content": None}),
        ({"sift_vlad": {"kind": "local", "metrics": []}}, [], "sift_vlad", {"copies": None}),
    ],
)
def test_presets_of_lakes_with_other_features(browser, address, features, mixes, default, expected):
    page = opened(browser, address)
    offered = {"features": [{"name": name, **of} for name, of in features.items()], "mixes": mixes, "default": default}
    presets = page.evaluate("async (lake) => (await import('/static/presets.js')).presetsOf(lake)", offered)
    assert {preset["name"]: preset["by"] for preset in presets} == expected


def test_words_replace_weights_that_encode_no_text(browser, address):
    page = opened(browser, address)
    run = "async ([by, lake]) => (await import('/static/presets.js')).byForText(by, lake)"
    features = [{"name": "clip", **NETWORK, **WORDS, "metric": "cosine"}, {"name": "hog", "metric": "euclidean"}]
    lake = {"features": features, "mixes": [], "default": "hog"}
    assert page.evaluate(run, [{"hog": 1}, lake]) is None
    assert page.evaluate(run, [{"hog": 1, "clip": 1}, lake]) is None
    assert page.evaluate(run, [{"clip": 0.5}, lake]) == {"clip": 0.5}


# -- the legend of scores -----------------------------------------------------------------------------------


def test_legend_of_scores_is_reached_from_the_hits(browser, address, folder):
    page = opened(browser, address)
    assert not page.is_visible("#legend")  # without a query there are no scores
    page.keyboard.press("s")
    assert page.locator("dialog").count() == 0
    upload(page, folder / "photos" / "photo_003.jpg")
    page.locator("a.tile").nth(2).focus()
    page.keyboard.press("s")
    rows = page.locator("dialog.legend tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == ["same image", "very close", "close", "related", "weak"]
    assert "at most 1 in 1,000 random pairs\thardly any" in rows[2] and "more than 1 in 100 " in rows[4]
    assert "Of your 22 pictures" in page.inner_text("dialog.legend")
    assert accessibility_faults(page) == []
    page.keyboard.press("Escape")
    assert page.evaluate("[...document.querySelectorAll('a.tile')].indexOf(document.activeElement)") == 2
    page.click("#legend")
    page.click("dialog.legend .close")
    word = page.locator(".caption .likeness").first
    assert word.get_attribute("title").startswith(f"{word.inner_text()}: ")
    page.locator("a.tile").first.click()
    page.click("dialog.detail >> text=What scores mean")
    assert page.is_visible("dialog.legend")
    page.keyboard.press("Escape")
    assert page.is_visible("dialog.detail") and not page.is_visible("dialog.legend")


# -- names of files, without a feature that encodes words ---------------------------------------------------


def find(page: Any, words: str) -> list[str]:
    page.fill("#words", words)
    return run_search(page, lambda: page.press("#words", "Enter"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("beach", [f"Beach 2024/photo_0{number}.jpg" for number in range(20, 24)]),
        ("022  BEACH", ["Beach 2024/photo_022.jpg"]),
        ("%", ["100% sure.jpg"]),
        ("snake_case", ["snake_case.jpg"]),
        ("it's", ["it's.jpg"]),
        ("\\", ["back\\slash.jpg"]),
        ("café", ["CAFÉ.jpg"]),
        ("cafe", ["CAFÉ.jpg"]),
        ("' OR 1=1 --", []),
    ],
)
def test_box_finds_names_of_files_and_folders(browser, address, words, expected):
    page = opened(browser, address)
    found = find(page, words)
    assert sorted(found) == sorted(expected)
    assert page.input_value("#words") == words.strip() == address_params(page)["names"][0]


def test_as_many_words_as_the_box_takes_are_no_longer_than_a_filter_may_be(browser, address):
    page = opened(browser, address)
    found = find(page, "a " * 60)  # the box cuts it
    assert "CAFÉ.jpg" in found and "it's.jpg" not in found
    assert len(page.input_value("#words")) == 99


def test_names_join_the_filter_and_the_query(browser, address, folder):
    page = opened(browser, address)
    find(page, "photo 00")
    write_sql(page, "path > 'photo_004' OR path = 'photo_001.jpg' -- five")
    run_search(page, lambda: page.press("#where", "Enter"))
    found = upload(page, folder / "photos" / "photo_003.jpg")
    assert sorted(found) == [f"photo_00{number}.jpg" for number in (1, 4, 5, 6, 7, 8, 9)]
    page.reload()
    page.wait_for_selector("a.tile")
    assert names(page) == found and page.input_value("#words") == "photo 00"
    assert page.input_value("#where") == "path > 'photo_004' OR path = 'photo_001.jpg' -- five"
    run_search(page, lambda: page.click(".chip:has-text('Names with “photo 00”')"))
    assert page.input_value("#words") == "" and "names" not in address_params(page)
    assert "CAFÉ.jpg" not in names(page) and "snake_case.jpg" in names(page)


def test_no_name_has_the_words(browser, address):
    page = opened(browser, address)
    assert find(page, "nothing like this") == []
    assert page.inner_text(".empty h2") == "No picture is called “nothing like this”"
    assert len(run_search(page, lambda: page.click("text=Show all pictures"))) == 22


def test_hint_has_the_commands_that_give_a_lake_words(browser, address):
    browser.allow("answered 400 : POST")
    page = opened(browser, address, permissions=["clipboard-read", "clipboard-write"])
    assert page.get_attribute("#words", "placeholder") == "names of files and folders"
    press_with_keyboard(page, "#words-hint summary")
    commands = page.locator("#words-hint code").all_inner_texts()
    assert commands == [
        "pip install 'imrec[clip]'",
        "imrec models --fetch clip_vit_b32",
        "imrec build --features +clip_vit_b32",
    ]
    page.click(f'button[title="Copy {commands[2]}"]')
    page.wait_for_selector(".toast:has-text('Copied')")
    assert page.evaluate("navigator.clipboard.readText()") == commands[2]
    assert accessibility_faults(page) == []
    other = browser.open(f"{address}/?like=text:a red car")
    other.wait_for_selector(".error[role=alert]")
    assert other.is_visible("#words-hint code")


# -- phones and unknown addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_panel_of_a_phone_has_large_targets_and_no_fault(browser, address, folder, scheme):
    page = opened(browser, address, size=PHONE, has_touch=True, is_mobile=True, color_scheme=scheme)
    upload(page, folder / "photos" / "photo_003.jpg")
    adjust(page)
    page.click("#words-hint summary")
    page.click("summary:has-text('Filter and options')")
    small = page.eval_on_selector_all(
        ".panel :is(button, select, summary, input[type=range]), .top a",
        """all => all.filter((one) => one.checkVisibility() && one.getBoundingClientRect().height > 0)
            .filter((one) => Math.min(one.getBoundingClientRect().height, one.getBoundingClientRect().width) < 43.5)
            .map((one) => one.outerHTML)""",
    )
    assert small == []
    assert not has_sideways_scroll(page)
    assert accessibility_faults(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_unknown_address_is_a_page_that_leads_to_the_search(browser, address, scheme):
    browser.allow("answered 404 : GET")
    page = browser.open(f"{address}/nosuch", size=PHONE, color_scheme=scheme)
    assert page.inner_text("h1") == "There is no page at this address"
    assert accessibility_faults(page) == [] and not has_sideways_scroll(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("a.tile")
