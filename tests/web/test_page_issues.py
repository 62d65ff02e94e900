"""The tab of issues, and the tags in the dialog of an image: in Chromium, against a running server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from imrec_core import find_issues
from imrec_core.catalog.ids import image_id
from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, has_sideways_scroll, until
from tests.support.page import show_sql
from tests.support.pictures import encode
from tests.support.serving import Served, serving

PLAIN = 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over a lake of forty photos, twenty plain images, and a file that is no image."""
    folder = tmp_path_factory.mktemp("issues")
    toy.write_photos(folder / "photos", [seed for seed in range(54) if seed % 4 != 2], specks=60)
    for number in range(PLAIN):
        pixels = np.full((120, 160, 3), 40 + 8 * number, np.uint8)
        (folder / "photos" / f"plain_{number:02d}.png").write_bytes(encode(pixels, "PNG"))
    (folder / "photos" / "<b>notes.jpg").write_text("not a picture")
    lake = toy.new_lake(folder / "lake", ("rgb_histogram", "phash"))
    toy.build(lake)
    with serving(lake) as running:
        yield running


def opened(browser: Any, served: Served, address: str = "/issues", **options: Any) -> Any:
    page = browser.open(f"{served.url}{address}", **options)
    page.wait_for_selector("#issue-plain li" if address == "/issues" else "dialog .tags")
    return page


def test_issues_are_counted_with_their_worst_pictures(browser, served):
    page = opened(browser, served)
    assert f"{PLAIN} plain" in page.inner_text(".issue-counts")
    until(page, "document.querySelectorAll('#issue-plain li').length === 12")
    assert "contrast (standard deviation of luma): below 0.01" in page.inner_text("#issue-plain").lower()
    assert "<b>notes.jpg" in page.inner_text("#issue-failed")
    assert "No picture:" in page.inner_text("main") or page.locator(".card").count() > 8
    page.click("#issue-plain button:has-text('Show more')")
    until(page, f"document.querySelectorAll('#issue-plain li').length === {PLAIN}")
    assert page.locator("#issue-plain button:has-text('Show more')").is_hidden()
    page.locator("#issue-plain a.picture").first.click()
    page.wait_for_selector("dialog .facts")


def test_outliers_are_an_issue_once_the_command_has_found_them(browser, served):
    served.lake.layout.issues_path.unlink(missing_ok=True)
    page = opened(browser, served)
    assert "unlike all others" not in page.inner_text("main")
    find_issues(served.lake)
    page.reload()
    page.wait_for_selector("#issue-plain li")
    assert page.locator("#issue-outlier").count() or "unlike all others" in page.inner_text("main")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_view_is_accessible_and_fits_a_phone(browser, served, scheme):
    page = opened(browser, served, color_scheme=scheme, size=PHONE)
    assert accessibility_faults(page) == []
    assert not has_sideways_scroll(page)


def test_error_of_the_server_is_shown_with_a_button_to_try_again(browser, served):
    browser.allow(" 400 ")
    answer = {"status": 400, "json": {"error": "the lake is away", "kind": "LakeError"}}
    page = browser.open(
        f"{served.url}/issues", before=lambda page: page.route("**/api/issues", lambda route: route.fulfill(**answer))
    )
    page.wait_for_selector("text=the lake is away")
    page.unroute("**/api/issues")
    page.click("text=Try again")
    page.wait_for_selector("#issue-plain li")


def with_tag(browser, served, image: str, tag: str):
    """Open the dialog of an image, and give the image a tag there."""
    page = opened(browser, served, f"/?like=image:{image}&open={image}")
    page.fill("dialog .tags input", tag)
    page.press("dialog .tags input", "Enter")
    page.wait_for_selector(f"dialog .tags .chip >> text={tag}")
    return page


def test_tag_is_added_searched_for_and_removed(browser, served):
    image = image_id("photos", "photo_004.jpg")
    page = with_tag(browser, served, image, "it's mine")
    assert accessibility_faults(page) == []
    page.click("dialog .tags .chip a")
    page.wait_for_selector("a.tile")
    until(page, "document.querySelectorAll('a.tile').length === 1")
    assert page.input_value("#where") == "'it''s mine' IN tags"
    page = opened(browser, served, f"/?like=image:{image}&open={image}")
    page.click('dialog .tags button[aria-label="Remove tag it\'s mine"]')
    until(page, "document.querySelectorAll('dialog .tags .chip').length === 0")


def test_name_that_is_no_tag_says_why(browser, served):
    browser.allow(" 400 ")
    image = image_id("photos", "photo_004.jpg")
    page = opened(browser, served, f"/?like=image:{image}&open={image}")
    page.fill("dialog .tags input", "a\u0007b")
    page.click("dialog .tags >> text=Add tag")
    page.wait_for_selector("dialog .tags .error:visible >> text=invalid tag")


def test_filter_offers_the_tags_as_conditions(browser, served):
    image = image_id("photos", "photo_005.jpg")
    with_tag(browser, served, image, "blue")
    page = browser.open(f"{served.url}/")
    page.wait_for_selector("a.tile")
    show_sql(page)
    page.click(".columns summary")
    page.click(".columns .chip >> text=blue")
    until(page, "document.querySelectorAll('a.tile').length === 1")
    assert page.input_value("#where") == "'blue' IN tags"
