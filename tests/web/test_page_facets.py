"""The facets of the search view, and errors of filters: in Chromium, against a running server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, at_every_size, has_sideways_scroll, until
from tests.support.page import address_params, run_search, show_options, write_sql
from tests.support.pictures import encode
from tests.support.serving import serving

CAMERAS = ("Nikon D750", "Olympus 'Tough'", *(f"Maker {i}" for i in range(8)))


def photo(seed: int, camera: str | None, taken: str | None) -> bytes:
    exif = Image.Exif()
    if camera:
        exif[0x0110] = camera
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    pixels = toy.photo(seed)
    if seed % 4 == 3:
        pixels = np.rot90(pixels)
    return encode(pixels, "JPEG", quality=90, exif=exif)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photos of 2001 to 2020 in folders, by ten cameras; eight without camera and date."""
    folder = tmp_path_factory.mktemp("facets")
    for seed in range(40):
        where = folder / "photos" / ("trips/2024/sea", "trips/2024", "trips", "o'hara & <b>")[seed % 4]
        where.mkdir(parents=True, exist_ok=True)
        known = seed < 32
        camera = CAMERAS[min(seed // 8 if seed < 16 else seed - 14, 9)] if known else None
        taken = f"{2001 + seed % 20}:06:15 12:00:00" if known else None
        (where / f"photo_{seed:03d}.jpg").write_bytes(photo(seed, camera, taken))
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    lake = toy.new_lake(folder / "lake", toy.CHEAP)
    toy.build(lake)
    with serving(lake) as served:
        yield served.url


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    page = opened(browser, address)
    show_options(page)
    return page


def opened(browser: Any, address: str, **options: Any) -> Any:
    page = browser.open(address, **options)
    page.wait_for_selector("a.tile, .empty, .error:visible")
    return page


def chip(page: Any, facet: str, label: str) -> Any:
    """Return the chip of a value; its facet is opened."""
    frame = page.locator(f"[data-facet={facet}]")
    frame.wait_for()
    if not frame.evaluate("frame => frame.open"):
        frame.locator("summary").first.click()
    return frame.locator(f".chip:has-text({label!r})").first


def item(page: Any, name: str) -> Any:
    return page.locator(f"[role=treeitem][aria-label^={name!r}]").first


def where(page: Any) -> str:
    return address_params(page).get("where", [""])[0]


def count(page: Any) -> int:
    return page.locator("a.tile").count()


# -- choices ------------------------------------------------------------------------------------------------


def test_chips_write_the_filter_and_show_what_it_says(page):
    nikon = chip(page, "camera", "Nikon D750")
    assert nikon.inner_text().split() == ["Nikon", "D750", "8"]
    run_search(page, nikon.click)
    assert where(page) == page.input_value("#where") == "camera = 'Nikon D750'"
    assert count(page) == 8 and nikon.get_attribute("aria-pressed") == "true"
    run_search(page, chip(page, "camera", "Olympus").click)
    assert where(page) == "(camera = 'Nikon D750' OR camera = 'Olympus ''Tough''')"
    assert count(page) == 16
    run_search(page, chip(page, "orientation", "Portrait").click)
    assert where(page).endswith(" AND width < height") and count(page) == 4
    page.wait_for_selector(".chip:has-text('Nikon D750') >> .count:text-is('2')")
    run_search(page, nikon.click)
    assert where(page) == "camera = 'Olympus ''Tough''' AND width < height"
    page.go_back()
    until(page, "document.querySelectorAll('[data-facet=camera] [aria-pressed=true]').length === 2")
    run_search(page, lambda: page.click("[data-facet=camera] > button"))
    assert where(page) == "width < height"
    assert page.locator("[data-facet=camera] > button").is_hidden()


def test_more_values_are_behind_a_button(page):
    chips = page.locator("[data-facet=camera] .chip")
    chip(page, "camera", "Nikon").wait_for()
    assert chips.count() == 6
    page.click("[data-facet=camera] button:has-text('5 more')")
    assert chips.count() == 11
    page.click("[data-facet=camera] button:has-text('Fewer')")
    assert chips.count() == 6


def test_choices_leave_other_conditions_as_they_are(page):
    write_sql(page, "width > 50 OR path = 'x AND camera = ''y'''")
    run_search(page, lambda: page.press("#where", "Enter"))
    run_search(page, chip(page, "camera", "Nikon").click)
    assert where(page) == "(width > 50 OR path = 'x AND camera = ''y''') AND camera = 'Nikon D750'"
    run_search(page, chip(page, "camera", "Nikon").click)
    assert where(page) == "(width > 50 OR path = 'x AND camera = ''y''')"
    write_sql(page, "width BETWEEN 1 AND 900 AND camera = 'Nikon D750' AND NOT is_grey AND height > 3")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert chip(page, "camera", "Nikon").get_attribute("aria-pressed") == "true"
    run_search(page, lambda: page.click("[data-facet=camera] > button"))
    assert where(page) == "width BETWEEN 1 AND 900 AND height > 3 AND NOT is_grey"


def test_filter_that_cannot_be_split_stops_the_facets(page):
    write_sql(page, "width > 3 -- wide")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert "has a comment" in page.inner_text(".facets > p")
    assert page.locator(".facets").evaluate("facets => facets.inert")
    write_sql(page, "width > 3")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert not page.locator(".facets").evaluate("facets => facets.inert")
    assert page.locator(".facets > p").is_hidden()


def test_filter_of_the_address_is_shown_by_the_facets(browser, address):
    path = "starts_with(path, 'trips/2024/sea/')"
    page = opened(browser, f"{address}/?where={path} AND taken IS NULL AND camera = 'Unknown one'")
    item(page, "sea,").wait_for()
    assert item(page, "sea,").get_attribute("aria-selected") == "true"
    assert chip(page, "camera", "Unknown one").get_attribute("aria-pressed") == "true"
    assert chip(page, "taken", "No date").get_attribute("aria-pressed") == "true"
    assert page.inner_text(".empty h2") == "No picture passes the filter"
    assert page.locator("#where").is_hidden()


ROUND_TRIPS = {
    "": ({}, ""),
    "width > 3": ({}, "width > 3"),
    "camera = 'a AND b'": ({"camera": ["camera = 'a AND b'"]}, ""),
    "(camera = 'x' OR camera IS NULL) AND is_grey": (
        {"camera": ["camera = 'x'", "camera IS NULL"], "colour": ["is_grey"]},
        "",
    ),
    "source = 'p' AND starts_with(path, 'it''s/') AND taken >= '2020-01-01' AND taken < '2021-01-01'": (
        {
            "folder": ["source = 'p'", "starts_with(path, 'it''s/')"],
            "taken": ["taken >= '2020-01-01'", "taken < '2021-01-01'"],
        },
        "",
    ),
    "camera = 'b' AND camera = 'a'": ({"camera": ["camera = 'b'"]}, "camera = 'a'"),
    "(camera = 'b' OR width > 3) AND frames > 1": ({"traits": ["frames > 1"]}, "(camera = 'b' OR width > 3)"),
    "camera = 'b' OR is_grey": ({}, "camera = 'b' OR is_grey"),
    "row BETWEEN 1 AND 9 AND width < height": ({"orientation": ["width < height"]}, "row BETWEEN 1 AND 9"),
    "CASE WHEN width > 3 AND is_grey THEN true END AND has_alpha": (
        {"traits": ["has_alpha"]},
        "CASE WHEN width > 3 AND is_grey THEN true END",
    ),
    "\"or\" = 1 AND format = 'PNG'": ({"format": ["format = 'PNG'"]}, '"or" = 1'),
    "taken >= '2020-01-01 10:00'": ({}, "taken >= '2020-01-01 10:00'"),
    "width::BIGINT * height BETWEEN 1 AND 9 AND NOT is_grey": (
        {"size": ["width::BIGINT * height BETWEEN 1 AND 9"], "colour": ["NOT is_grey"]},
        "",
    ),
}
UNREADABLE = (
    "width > 3 -- x",
    "width > 3 /* x",
    "'open",
    '"open',
    "(a",
    "a)",
    "a AND",
    "E'\\'' = path",
    "$$a$$ = path",
    "a; b",
)


def test_only_conditions_of_facets_are_read_from_a_filter(page):
    script = """async (all) => {
        const { parseFilter, filterOf } = await import("/static/facet_sql.js");
        return all.map((where) => [parseFilter(where), filterOf(parseFilter(where))]);
    }"""
    for (where, (chosen, other)), (parsed, written) in zip(
        ROUND_TRIPS.items(), page.evaluate(script, list(ROUND_TRIPS)), strict=True
    ):
        assert (parsed["chosen"], parsed["other"], parsed["isReadable"]) == (chosen, other, True), where
        assert sorted(written.split(" AND ")) == sorted(where.split(" AND ")), where
    for where, (parsed, _) in zip(UNREADABLE, page.evaluate(script, list(UNREADABLE)), strict=True):
        assert parsed == {"chosen": {}, "other": where, "isReadable": False}


# -- folders ------------------------------------------------------------------------------------------------


def test_folders_are_opened_and_chosen_by_mouse(page):
    item(page, "trips, 30").wait_for()
    assert item(page, "o'hara & <b>, 10 pictures").count() == 1
    assert page.locator("[role=treeitem]").count() == 3
    item(page, "trips,").locator(".toggle").first.click()
    item(page, "2024,").wait_for()
    run_search(page, item(page, "2024,").locator(".name").first.click)
    assert where(page) == "starts_with(path, 'trips/2024/')" and count(page) == 20
    run_search(page, item(page, "o'hara").locator(".name").click)
    assert where(page) == "starts_with(path, 'o''hara & <b>/')" and count(page) == 10
    run_search(page, item(page, "o'hara").locator(".name").click)
    assert where(page) == ""
    run_search(page, item(page, "photos,").locator(".name").first.click)
    assert where(page) == "source = 'photos'"


@at_every_size
def test_folders_are_opened_and_chosen_by_keyboard(page):
    item(page, "trips,").wait_for()
    focused = "document.activeElement.ariaLabel"
    item(page, "photos,").focus()
    for key in ("ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate(focused) == "trips, 30 pictures"
    page.keyboard.press("ArrowRight")
    item(page, "2024,").wait_for()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "2024, 20 pictures"
    run_search(page, lambda: page.keyboard.press("Enter"))
    assert where(page) == "starts_with(path, 'trips/2024/')"
    assert page.evaluate(focused) == "2024, 20 pictures"
    for name in ("2024, 20 pictures", "trips, 30 pictures", "trips, 30 pictures"):  # close, go up, close
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(focused) == name
    item(page, "2024,").wait_for(state="detached")
    page.keyboard.press("Home")
    assert page.evaluate(focused) == "photos, 40 pictures"
    assert page.locator("[role=tree] [tabindex='0']").count() == 1


def test_counts_of_folders_follow_the_other_choices(page):
    item(page, "trips, 30").wait_for()
    run_search(page, chip(page, "camera", "Nikon").click)
    item(page, "trips, 6 pictures").wait_for()
    item(page, "trips,").locator(".toggle").first.click()
    item(page, "2024, 4 pictures").wait_for()


# -- dates --------------------------------------------------------------------------------------------------


def test_range_of_dates_is_dragged(page):
    item(page, "trips,").wait_for()  # the folders are above, and move the bars when they are listed
    bars = page.locator("[data-facet=taken] svg")
    bars.wait_for()
    assert bars.get_attribute("aria-label") == "Pictures by year, 2001 to 2020"
    box = bars.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 4.5 / 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 9.5 / 20, box["y"] + 20, steps=4)
    assert page.inner_text(".said-dates").startswith("2005 to 2010")
    run_search(page, page.mouse.up)
    assert where(page) == "taken >= '2005-01-01' AND taken < '2011-01-01'"
    assert page.locator("[data-facet=taken] rect.in").count() == 6
    shown = int(page.inner_text(".said-dates").split(":")[1].split()[0])
    assert shown == count(page) > 6
    page.click("[data-facet=taken] button:has-text('Zoom in')")
    until(page, "document.querySelector('[data-facet=taken] svg').ariaLabel.startsWith('Pictures by month, Jan 2005')")
    page.click("[data-facet=taken] button:has-text('All dates')")
    until(page, "document.querySelector('[data-facet=taken] svg').ariaLabel === 'Pictures by year, 2001 to 2020'")
    run_search(page, lambda: page.click("[data-facet=taken] > button"))
    assert where(page) == ""


@at_every_size
def test_range_of_dates_is_set_by_keyboard(page):
    page.get_by_label("From", exact=True).focus()
    run_search(page, lambda: page.keyboard.press("ArrowRight"))
    assert where(page) == "taken >= '2002-01-01' AND taken < '2021-01-01'"
    upper = page.get_by_label("Until", exact=True)
    upper.focus()
    run_search(page, lambda: page.keyboard.press("ArrowLeft"))
    assert where(page) == "taken >= '2002-01-01' AND taken < '2020-01-01'"
    assert upper.get_attribute("aria-valuetext") == "2019"
    run_search(page, chip(page, "taken", "No date").click)
    assert where(page) == "taken IS NULL" and count(page) == 8


# -- errors -------------------------------------------------------------------------------------------------


def test_error_is_said_in_plain_words_and_earlier_hits_are_named(page, browser):
    browser.allow("answered 400 : POST")
    before = run_search(page, chip(page, "camera", "Nikon").click)
    write_sql(page, "taken >= 2024")
    assert run_search(page, lambda: page.press("#where", "Enter")) == before
    assert page.inner_text("#where-error > p").startswith("'taken' is a date; compare it with a date in quotes")
    assert page.locator("#where-error details p").is_hidden()
    page.click("#where-error summary")
    assert page.inner_text("#where-error details p").startswith("Binder Error: Cannot compare values")
    assert page.inner_text("#said") == "The filter cannot be used."
    assert page.inner_text(".earlier p") == "These are the pictures of the filter “camera = 'Nikon D750'”."
    assert page.locator(".results.stale").count() == 1
    write_sql(page, "widht > 3")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert page.inner_text(".earlier p") == "These are the pictures of the filter “camera = 'Nikon D750'”."
    assert run_search(page, lambda: page.click(".earlier button")) == before
    assert page.locator(".results.stale, .earlier").count() == 0
    assert page.locator("#where-error").is_hidden() and where(page) == "camera = 'Nikon D750'"


def test_message_of_an_empty_answer_goes_with_an_error(page, browser):
    browser.allow("answered 400 : POST")
    write_sql(page, "camera = 'NIKON'")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert page.inner_text(".empty h2") == "No picture passes the filter"
    write_sql(page, "width > ")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert page.locator(".empty, .earlier").count() == 0
    assert page.inner_text("#where-error > p").startswith("The filter ends too early, after '>'")


def test_words_in_the_filter_can_be_searched_in_names(page, browser):
    browser.allow("answered 400 : POST")
    write_sql(page, "sea")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert page.inner_text("#where-error > p").startswith("No column named 'sea'; to find names")
    found = run_search(page, lambda: page.click("#where-error button"))
    assert len(found) == 10 and address_params(page) == {"names": ["sea"]}


def test_error_of_an_order_is_named_as_such(page, browser):
    browser.allow("answered 400 : POST")
    page.click("summary:has-text('More options')")
    page.fill("#order_by", "widht")
    run_search(page, lambda: page.press("#order_by", "Enter"))
    assert page.inner_text("#said") == "The order cannot be used."
    assert page.inner_text("#where-error > p").startswith("Order by: no column named 'widht'; did you mean 'width'?")


def test_failed_counts_are_reported(browser, address):
    def broken(route: Any) -> None:
        route.fulfill(status=500, json={"error": "broken", "kind": "Error"})

    browser.allow("500")
    page = browser.open(address, before=lambda page: page.route("**/api/facets", broken))
    page.wait_for_selector(".facets > p:visible")
    assert page.inner_text(".facets > p") == "The facets cannot be counted: broken"


# -- accessibility and phones -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_facets_have_no_serious_accessibility_fault(browser, address, scheme):
    page = opened(browser, f"{address}/?where=camera = 'Nikon D750'", color_scheme=scheme, reduced_motion="reduce")
    item(page, "trips,").wait_for()
    for summary in page.locator(".facets summary").all():
        if summary.is_visible() and not summary.evaluate("summary => summary.parentElement.open"):
            summary.click()
    assert accessibility_faults(page) == []
    browser.allow("answered 400 : POST")
    write_sql(page, "taken >= 2024")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert accessibility_faults(page) == []


def test_facets_of_a_phone_are_large_enough_to_touch(browser, address):
    page = opened(browser, address, size=PHONE, has_touch=True, is_mobile=True)
    assert page.locator(".facet:visible").count() == 0
    page.click("summary:has-text('Filter and options')")
    item(page, "trips,").wait_for()
    run_search(page, chip(page, "camera", "Nikon").click)
    heights = page.evaluate(  # at once: the facets are drawn again whenever counts arrive
        """[...document.querySelectorAll(".facet .chip, .folders .row, .facet button, .handles")]
            .filter((target) => target.checkVisibility())
            .map((target) => target.getBoundingClientRect().height)"""
    )
    assert heights and min(heights) >= 43.9
    assert not has_sideways_scroll(page)
