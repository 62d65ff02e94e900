"""Selecting pictures on the page, and what is done with them: in Chromium, against a running server."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imrec_core import Lake
from imrec_core.web.limits import Limits
from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, at_every_size, has_sideways_scroll, until
from tests.support.page import address_params, run_search, show_sql, tray, write_sql
from tests.support.serving import serving

PHOTOS = 130  # more than two pages of hits
NAMES = [f"photo_{number:03d}.jpg" for number in range(PHOTOS)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Photos, the second of them twice."""
    folder = tmp_path_factory.mktemp("selection")
    toy.write_photos(folder / "photos", range(PHOTOS))
    (folder / "photos" / "z_copy.jpg").write_bytes((folder / "photos" / NAMES[1]).read_bytes())
    lake = toy.new_lake(folder / "lake", ("phash",))
    toy.build(lake)
    return lake


@pytest.fixture(scope="module")
def address(lake: Lake) -> Iterator[str]:
    with serving(lake) as served:
        yield served.url


@pytest.fixture
def page(browser, address: str) -> Any:
    return opened(browser, address)


def opened(browser: Any, address: str, **options: Any) -> Any:
    page = browser.open(address, **options)
    page.wait_for_selector("a.tile")
    return page


def selected(page: Any) -> list[str]:
    """Names of the selected pictures near the view."""
    return page.eval_on_selector_all(".grid li.selected a.tile", "tiles => tiles.map((tile) => tile.title)")


def count(page: Any) -> int:
    return int(page.inner_text(".selection .count").split()[0].replace(",", ""))


def until_count(page: Any, number: int) -> None:
    words = f"{number:,} selected"
    until(page, f"document.querySelector('.selection .count').textContent === '{words}'")


def select(page: Any, *places: int) -> None:
    for place in places:
        page.locator("a.tile").nth(place).focus()
        page.keyboard.press("x")


def announced(page: Any) -> str:
    return page.inner_text("#live")


# -- selecting ----------------------------------------------------------------------------------------------


def test_bar_appears_with_the_first_picture_and_goes_with_the_last(page):
    assert page.is_hidden(".selection")
    page.locator("a.tile").first.focus()
    page.keyboard.press("x")
    assert (selected(page), count(page)) == ([NAMES[0]], 1)
    assert announced(page) == f"{NAMES[0]} selected, 1 in all"
    assert page.locator("a.tile").first.get_attribute("aria-label") == f"{NAMES[0]}, selected"
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    assert (selected(page), count(page)) == (NAMES[:2], 2)
    page.keyboard.press(" ")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("x")
    assert (selected(page), announced(page)) == ([], f"{NAMES[0]} unselected, 0 in all")
    assert page.is_hidden(".selection")
    assert page.locator("a.tile").first.get_attribute("aria-label") == NAMES[0]


def test_checkbox_shows_on_hover_and_focus_and_selects(page):
    box = page.locator(".pick").nth(2)
    opacity = "one => getComputedStyle(one).opacity"
    assert box.evaluate(opacity) == "0"
    page.locator("a.tile").nth(2).hover()
    assert box.evaluate(opacity) == "1"
    assert box.get_attribute("aria-label") == f"Select {NAMES[2]}"
    box.click()
    assert (selected(page), box.is_checked()) == ([NAMES[2]], True)
    assert page.locator("dialog").count() == 0
    page.mouse.move(5, 5)
    assert box.evaluate(opacity) == "1"
    box.click()
    assert (selected(page), box.is_checked()) == ([], False)
    page.locator("a.tile").nth(1).focus()
    assert page.locator(".pick").nth(1).evaluate(opacity) == "1"


def test_shift_click_selects_a_range_and_shrinks_it(page):
    page.locator(".pick").nth(2).check()
    page.locator("a.tile").nth(6).click(modifiers=["Shift"])
    until_count(page, 5)
    assert selected(page) == NAMES[2:7]
    page.locator("a.tile").nth(4).click(modifiers=["Shift"])
    until_count(page, 3)
    page.locator(".pick").nth(0).click(modifiers=["Shift"])
    until_count(page, 3)
    assert selected(page) == NAMES[:3]
    assert page.locator(".pick").nth(0).is_checked()
    assert page.locator("dialog").count() == 0


def test_shift_with_arrows_extends_from_the_focus_and_back(page):
    page.locator("a.tile").nth(1).focus()
    page.keyboard.press("Shift+ArrowRight")
    until_count(page, 2)
    page.keyboard.press("Shift+ArrowRight")
    until_count(page, 3)
    page.keyboard.press("Shift+ArrowLeft")
    until_count(page, 2)
    assert selected(page) == NAMES[1:3]
    page.keyboard.press("Shift+ArrowDown")
    focused = page.evaluate("document.activeElement.title")
    until_count(page, NAMES.index(focused))
    assert selected(page) == NAMES[1 : NAMES.index(focused) + 1]


def test_range_reaches_pictures_that_have_not_arrived(page):
    page.locator("a.tile").first.focus()
    page.keyboard.press("Shift+End")
    until_count(page, PHOTOS + 1)
    page.keyboard.press("Shift+Home")
    until_count(page, 1)
    assert selected(page) == NAMES[:1]


def test_focus_is_not_below_the_bar(page):
    select(page, 0)
    for _ in range(8):
        page.keyboard.press("ArrowDown")
        tile, bar = (page.locator(one).bounding_box() for one in ("a.tile:focus", ".selection"))
        assert tile["y"] + tile["height"] <= bar["y"] + 1


def test_bar_does_not_cover_the_last_row(page):
    select(page, 0)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    until(page, "document.querySelector(`a.tile[title='z_copy.jpg']`) !== null")
    tile, bar = (page.locator(one).bounding_box() for one in ("a.tile[title='z_copy.jpg']", ".selection"))
    assert tile["y"] + tile["height"] <= bar["y"]


@at_every_size
def test_all_hits_are_selected_by_key_and_button_also_those_not_loaded(page):
    page.keyboard.press("Control+a")
    until_count(page, PHOTOS + 1)
    assert announced(page) == f"{PHOTOS + 1} hits selected, {PHOTOS + 1} in all"
    page.keyboard.press("Escape")
    assert page.is_hidden(".selection")
    write_sql(page, "path LIKE 'photo_00%'")
    run_search(page, lambda: page.press("#where", "Enter"))
    page.click("#select")
    page.click(".selection >> text=Select all")
    until_count(page, 10)
    assert selected(page) == NAMES[:10]


def test_hits_beyond_those_that_the_server_lists_are_named(page):
    def fewer(route: Any) -> None:
        route.continue_(post_data={**route.request.post_data_json, "k": 20})

    page.route("**/api/search/ids", fewer)
    page.keyboard.press("Control+a")
    page.wait_for_selector(".toast:has-text('The first 20 hits are selected; the search has more')")
    assert count(page) == 20


def test_selection_has_a_limit(browser, address):
    def small(route: Any) -> None:
        script = route.fetch().text().replace("MOST = 10_000", "MOST = 3")
        route.fulfill(body=script, content_type="text/javascript")

    page = opened(browser, address, before=lambda page: page.route("**/static/selection.js", small))
    select(page, 0, 1, 2, 3)
    page.wait_for_selector(".toast:has-text('A selection has at most 3 pictures')")
    assert (selected(page), page.locator(".pick").nth(3).is_checked()) == (NAMES[:3], False)


def test_selection_survives_searches_and_views_and_its_clearing_is_undone(page):
    select(page, 0, 1)
    write_sql(page, "path LIKE 'photo_0_1%'")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert (selected(page), count(page)) == ([NAMES[1]], 2)
    page.click("#views >> text=Status")
    page.wait_for_selector(".view-status h1")
    assert page.locator(".selection").count() == 0
    page.click("#views >> text=Search")
    page.wait_for_selector("li.selected")
    assert count(page) == 2
    page.locator("a.tile").first.focus()
    page.keyboard.press("Escape")
    assert page.is_hidden(".selection")
    page.click(".toast >> text=Undo")
    assert (selected(page), count(page)) == ([NAMES[1]], 2)


def test_selection_survives_a_reload_and_its_end_too(page):
    select(page, 0, 2)
    page.reload()
    page.wait_for_selector("a.tile")
    assert (selected(page), count(page)) == ([NAMES[0], NAMES[2]], 2)
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector("a.tile")
    assert page.is_hidden(".selection")


def test_escape_closes_a_dialog_first_and_letters_in_a_field_select_nothing(page):
    select(page, 0)
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog.detail")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog.detail", state="detached")
    assert count(page) == 1
    show_sql(page)
    page.focus("#where")
    page.keyboard.type("x")
    page.keyboard.press("Control+a")
    page.keyboard.press("Escape")
    assert (page.input_value("#where"), count(page)) == ("x", 1)


def test_help_lists_the_keys(page):
    page.keyboard.press("?")
    assert "Select all hits" in page.inner_text("dialog.help")


# -- by touch -----------------------------------------------------------------------------------------------


def test_button_and_long_press_begin_a_selection_by_touch(browser, address):
    page = opened(browser, address, size=PHONE, has_touch=True, is_mobile=True)
    assert page.locator(".pick").first.is_hidden()
    page.locator("#select").tap()
    assert page.locator("#select").get_attribute("aria-pressed") == "true"
    assert page.locator(".pick").first.is_visible()
    page.locator("a.tile").nth(1).tap()
    assert (selected(page), page.locator("dialog").count()) == ([NAMES[1]], 0)
    page.locator(".selection >> text=Clear").tap()
    assert page.is_hidden(".selection") and page.locator(".pick").first.is_hidden()
    box = page.locator("a.tile").nth(2).bounding_box()
    touch = page.context.new_cdp_session(page)
    point = {"x": box["x"] + 40, "y": box["y"] + 40}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    page.wait_for_selector(".selection:not([hidden])")
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert (selected(page), page.locator("dialog").count()) == ([NAMES[2]], 0)
    page.locator("a.tile").nth(3).tap()
    assert selected(page) == NAMES[2:4]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_bar_fits_and_has_no_serious_accessibility_fault(browser, address, width, scheme):
    touch = {"has_touch": True, "is_mobile": True} if width < 1000 else {}
    page = opened(
        browser, address, size={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce", **touch
    )
    select(page, 0, 1)
    page.click(".downloads summary")
    assert not has_sideways_scroll(page)
    assert accessibility_faults(page) == []
    for one in page.locator(".selection :is(button, summary)").all():
        box = one.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert width > 1000 or box["height"] >= 44
    page.keyboard.press("Escape")
    assert page.locator(".downloads[open]").count() == 0 and count(page) == 2
    page.click(".selection >> text=Tag…")
    page.wait_for_selector("dialog.tagging")
    assert accessibility_faults(page) == []


# -- actions ------------------------------------------------------------------------------------------------


def test_selected_pictures_become_likes_and_unlikes(page):
    select(page, 0, 1, 2)
    run_search(page, lambda: page.click(".selection >> text='Like'"))
    assert (tray(page, "like"), tray(page, "unlike")) == (NAMES[:3], [])
    assert len(address_params(page)["like"]) == 3
    assert count(page) == 3
    page.keyboard.press("Escape")
    found = [page.locator("a.tile").nth(place).get_attribute("title") for place in (1, 2)]
    select(page, 1, 2)
    run_search(page, lambda: page.click(".selection >> text=Less like"))
    assert (tray(page, "like"), tray(page, "unlike")) == (NAMES[:3], found)
    page.keyboard.press("Control+a")
    until(page, "document.querySelectorAll('.selected').length > 20")


def test_more_entries_than_a_search_may_have_are_refused(page):
    page.keyboard.press("Control+a")
    until_count(page, PHOTOS + 1)
    page.click(".selection >> text='Like'")
    page.wait_for_selector(f".toast:has-text('A search takes at most 100 likes, and this would be {PHOTOS + 1}')")
    assert tray(page, "like") == []


def test_paths_are_copied(browser, address, lake):
    page = opened(browser, address, permissions=["clipboard-read", "clipboard-write"])
    select(page, 2, 0)
    page.click(".selection >> text=Copy paths")
    page.wait_for_selector(".toast:has-text('2 paths copied')")
    folder = lake.settings().sources["photos"]
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{folder}/{NAMES[2]}\n{folder}/{NAMES[0]}\n"


def test_paths_are_shown_where_the_browser_has_no_clipboard(page):
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('no')))")
    select(page, 0)
    page.click(".selection >> text=Copy paths")
    assert page.input_value("dialog.paths textarea").endswith(f"/{NAMES[0]}\n")


def download(page: Any, entry: str) -> tuple[str, bytes]:
    page.click(".downloads summary")
    with page.expect_download() as found:
        page.click(f".downloads >> text={entry}")
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def test_lists_and_files_are_downloaded(page, browser):
    browser.allow("net::ERR_ABORTED")
    select(page, 1, 0)
    name, data = download(page, "CSV")
    assert name == "imrec-pictures.csv"
    assert [row["path"] for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig")))] == [NAMES[1], NAMES[0]]
    name, data = download(page, "List of paths")
    assert name == "imrec-paths.txt"
    assert [line.rpartition("/")[2] for line in data.decode().splitlines()] == [NAMES[1], NAMES[0]]
    name, data = download(page, "Zip")
    assert name == "imrec-pictures.zip"
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == [f"photos/{NAMES[1]}", f"photos/{NAMES[0]}"]


def test_zip_beyond_the_limit_is_not_begun(browser, lake):
    with serving(lake, limits=Limits(zip_bytes=1000)) as served:
        page = opened(browser, served.url)
        select(page, 0, 1)
        page.click(".downloads summary")
        page.click(".downloads >> text=Zip")
        page.wait_for_selector(".toast:has-text('a zip has at most')")
        page.close()  # what it still asks for would fail without the server


def test_pictures_that_the_lake_has_no_more_are_unselected(page):
    def with_unknown(route: Any) -> None:
        sent = route.request.post_data_json
        route.fulfill(json={**route.fetch().json(), "unknown": sent["images"][:1]})

    page.route("**/api/selections", with_unknown)
    select(page, 0, 1)
    page.click(".selection >> text=Copy paths")
    page.wait_for_selector(".toast:has-text('1 selected picture is no longer in the lake')")
    assert (selected(page), count(page)) == ([NAMES[1]], 1)


def test_tag_is_added_in_batches_and_removed(browser, address):
    def small(route: Any) -> None:
        script = route.fetch().text().replace("BATCH = 1000", "BATCH = 2")
        route.fulfill(body=script, content_type="text/javascript")

    page = opened(browser, address, before=lambda page: page.route("**/static/selection_tags.js", small))
    sent: list[int] = []
    page.on("request", lambda one: one.url.endswith("/api/tags") and one.method == "POST" and sent.append(1))
    select(page, 3, 4, 5)
    page.click(".selection >> text=Tag…")
    page.keyboard.type("two words")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('Tag “two words” added to 3 pictures')")
    assert len(sent) == 2
    write_sql(page, "'two words' IN tags")
    assert run_search(page, lambda: page.press("#where", "Enter")) == NAMES[3:6]
    page.click(".selection >> text=Tag…")
    page.click("dialog .chip:text-is('two words')")
    assert page.input_value("#selection-tag") == "two words"
    page.click("text=Remove tag")
    page.wait_for_selector(".toast:has-text('Tag “two words” removed from 3 pictures')")
    assert page.request.get(f"{address}/api/tags").json()["tags"] == []


def test_invalid_tag_is_refused_with_the_reason(page, browser):
    browser.allow("answered 400 : POST")
    select(page, 0)
    page.click(".selection >> text=Tag…")
    page.fill("#selection-tag", "a\u200bb")
    page.click("text=Add tag")
    assert "invalid tag" in page.inner_text("dialog .error")
    assert page.is_enabled("text=Add tag")


def test_duplicates_of_selected_pictures_are_shown_with_their_plan(page):
    select(page, 0, 1)
    page.click(".selection >> text=Duplicates")
    page.wait_for_selector(".group")
    assert page.locator(".group").count() == 1
    assert len(address_params(page)["selection"][0]) == 32
    assert "selection=" in page.get_attribute("#plan", "href")
    page.click("text=Only groups with selected pictures")
    page.wait_for_selector(".group")
    assert "selection" not in address_params(page)
    assert "selection=" not in page.get_attribute("#plan", "href")
    assert page.is_hidden(".among")


def test_selected_pictures_without_duplicates_are_said_to_have_none(page):
    select(page, 0)
    page.click(".selection >> text=Duplicates")
    page.wait_for_selector(".empty:has-text('No selected picture is a copy of another one')")
