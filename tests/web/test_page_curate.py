"""The tabs of the view "Curate" beside the issues: in Chromium, against a running server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from imrec_core.catalog import retry_marks
from imrec_core.catalog.ids import image_id
from imrec_core.curation.outliers import find_outliers
from imrec_core.lake.tags import change_tag, tag_file
from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, at_every_size, eventually, has_sideways_scroll, until
from tests.support.pictures import encode
from tests.support.serving import Served, serving, web_lake

TABS = ("/issues", "/issues/outliers", "/issues/labels", "/issues/tags", "/issues/failures")
READY = ".issue-counts, .found, .tag-list, .failure-list li, .tab-panel p:not(.busy)"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over a lake of two sources with 52 files that could not be read, one of them cut in the middle."""
    folder = tmp_path_factory.mktemp("curate")
    lake = web_lake(folder, photos=20)
    cut = encode(toy.photo(1), "JPEG")
    (folder / "photos" / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    for number in range(50):
        (folder / "scans" / f"notes_{number:02d}.jpg").write_text("not a picture")
    (folder / "photos" / "<b>bad.jpg").write_text("not a picture")
    toy.build(lake)
    with serving(lake) as running:
        yield running


@pytest.fixture
def served(built: Served) -> Served:
    """The server, with one tag, and without hidden pictures and marks."""
    shutil.rmtree(built.lake.layout.tags_path.parent, ignore_errors=True)
    contents = {row["path"]: row["content_hash"] for row in rows(built)}
    change_tag(built.lake, "it's mine", [contents["photo_003.jpg"], contents["photo_009.jpg"]])
    return built


def rows(served: Served) -> list[dict[str, Any]]:
    from imrec_core.index.opening import open_generation

    return open_generation(served.lake).live_table(["path", "content_hash"]).to_pylist()


def opened(browser: Any, served: Served, tab: str, **options: Any) -> Any:
    page = browser.open(f"{served.url}/issues/{tab}", **options)
    page.wait_for_selector(".failure-list li" if tab == "failures" else READY)
    return page


def shown(page: Any) -> list[str]:
    return page.locator(".pictures li").evaluate_all("all => all.map((one) => one.dataset.id)")


# -- tabs ---------------------------------------------------------------------------------------------------


@at_every_size
def test_arrow_keys_lead_through_the_tabs_and_each_has_an_address(browser, served):
    page = browser.open(f"{served.url}/issues")
    page.wait_for_selector(".issue-counts")
    page.focus(".tabs a[aria-current]")
    for path in TABS[1:]:
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(f".tabs a[href='{path}'][aria-current=page]:focus")
        assert page.url == served.url + path
    page.wait_for_selector(".failure-list li")
    page.keyboard.press("Home")
    page.wait_for_selector(".issue-counts")
    page.go_back()
    page.wait_for_selector(".failure-list li")
    assert page.get_attribute("#views a[href='/issues']", "aria-current") == "page"
    assert page.title() == "Curate – imrec"


@pytest.mark.parametrize("path", TABS)
@pytest.mark.parametrize(("size", "scheme"), [({"width": 1440, "height": 900}, "light"), (PHONE, "dark")])
def test_tabs_are_accessible_and_fit(browser, served, path, size, scheme):
    page = browser.open(served.url + path, size=size, color_scheme=scheme)
    page.wait_for_selector(READY)
    page.wait_for_load_state("networkidle")
    assert accessibility_faults(page) == []
    assert not has_sideways_scroll(page)


def test_controls_are_large_enough_for_fingers(browser, served):
    for tab in ("outliers", "tags", "failures"):
        page = opened(browser, served, tab, size=PHONE, has_touch=True, is_mobile=True)
        page.wait_for_selector(".tab-panel button:visible")
        sizes = page.eval_on_selector_all(
            ".tab-panel :is(button, select, .button), .tabs a",
            "all => all.filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().height)",
        )
        assert sizes and min(sizes) >= 44


def test_unknown_tab_is_a_page_that_says_so(browser, served):
    browser.allow("answered 404")
    page = browser.open(f"{served.url}/issues/nothing")
    assert "imrec" in page.inner_text("body")
    assert page.locator(".tabs").count() == 0


# -- pictures -----------------------------------------------------------------------------------------------


def test_outliers_are_those_of_the_command_by_any_feature(browser, served):
    page = opened(browser, served, "outliers")
    page.wait_for_selector(".pictures li")
    assert shown(page) == [one.image_id for one in find_outliers(served.lake, 48)]
    assert "ratio" in page.inner_text(".pictures li")
    page.select_option("#outlier-feature", "phash")
    ids = [one.image_id for one in find_outliers(served.lake, 48, by="phash")]
    until(page, f"document.querySelector('.pictures li')?.dataset.id === '{ids[0]}'")
    assert shown(page) == ids
    assert page.url.endswith("?by=phash")


def test_progress_is_shown_while_the_search_runs(browser, served):
    running = {"state": "running", "generation": "1", "done": 40, "planned": 200, "seconds_left": 9.4, "total": 0}
    running |= {"findings": [], "next": None, "feature": "phash"}
    answers = [running, running]

    def route(route: Any) -> None:
        route.fulfill(json=answers.pop()) if answers else route.continue_()

    page = browser.open(f"{served.url}/issues/outliers", before=lambda page: page.route("**/api/outliers?*", route))
    page.wait_for_selector("text=Compared 40 of 200 pictures, about 9 s left")
    assert page.get_attribute("progress", "value") == "40"
    page.wait_for_selector(".pictures li")


@at_every_size
def test_picture_is_hidden_by_key_and_comes_back_by_undo(browser, served):
    page = opened(browser, served, "outliers")
    page.wait_for_selector(".pictures li")
    before, count = shown(page), page.inner_text(".found")
    page.focus(".pictures a.picture")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("h")
    page.wait_for_selector(".toast >> text=Hidden")
    assert shown(page) == [before[0], *before[2:]]
    assert page.inner_text(".found") != count
    assert page.evaluate("document.activeElement.closest('li').dataset.id") == before[2]
    assert set(tag_file(served.lake).read()) == {"hidden", "it's mine"}
    page.click(".toast button")
    until(page, f"document.querySelectorAll('.pictures li').length === {len(before)}")
    assert shown(page) == before
    assert "hidden" not in tag_file(served.lake).read()


def test_all_pictures_get_a_tag_and_lose_it_by_undo(browser, served):
    page = opened(browser, served, "outliers")
    page.wait_for_selector(".pictures li")
    page.fill(".tag-all input", "odd")
    page.press(".tag-all input", "Enter")
    page.wait_for_selector(".toast >> text=tagged “odd”")
    assert len(tag_file(served.lake).read()["odd"]) == len({row["content_hash"] for row in rows(served)})
    page.click(".toast button")
    eventually(page, lambda: "odd" not in tag_file(served.lake).read(), "the tag is removed")
    assert set(tag_file(served.lake).read()) == {"it's mine"}


def test_more_like_a_picture_is_a_search(browser, served):
    page = opened(browser, served, "labels")
    page.wait_for_selector(".pictures li")
    image = shown(page)[0]
    page.focus(".pictures a.picture")
    page.keyboard.press("m")
    page.wait_for_selector("a.tile")
    assert f"like=image:{image}" in page.url


# -- tags ---------------------------------------------------------------------------------------------------


def test_tag_is_removed_from_all_pictures_and_comes_back_by_undo(browser, served):
    page = opened(browser, served, "tags")
    assert page.locator(".tag-list tbody tr").inner_text().split("\t")[:2] == ["it's mine", "3"]
    page.click("text=Remove from all")
    page.wait_for_selector("text=No picture has a tag yet")
    assert tag_file(served.lake).read() == {}
    page.click(".toast button")
    page.wait_for_selector(".tag-list")
    assert len(tag_file(served.lake).read()["it's mine"]) == 2


def test_tag_opens_as_a_filter(browser, served):
    page = opened(browser, served, "tags")
    page.click(".tag-list th a")
    until(page, "document.querySelectorAll('a.tile').length === 3")
    assert page.input_value("#where") == "'it''s mine' IN tags"


# -- failures -----------------------------------------------------------------------------------------------


def test_failures_are_listed_by_kind_with_previews_and_paged(browser, served):
    page = opened(browser, served, "failures")
    assert "52 files could not be read" in page.inner_text(".failure-summary")
    assert page.locator(".failure-list li").count() == 50
    assert "photos/<b>bad.jpg" in page.inner_text(".failure-list")
    page.click("text=Show more of 52")
    until(page, "document.querySelectorAll('.failure-list li').length === 52")
    page.click(".failure-kinds button:has-text('Damaged')")
    until(page, "document.querySelectorAll('.failure-list li').length === 1")
    assert page.url.endswith("?kind=damaged")
    until(page, "document.querySelector('.failure-list img').naturalWidth > 0")
    assert page.get_attribute(".failure-list img", "alt") == "What is left of cut.jpg"
    page.reload()
    page.wait_for_selector(".failure-list li")
    assert page.locator(".failure-list li").count() == 1
    page.click(".failure-kinds button[aria-pressed=true]")
    until(page, "document.querySelectorAll('.failure-list li').length === 50")
    page.select_option("#failure-source", "photos")
    until(page, "document.querySelectorAll('.failure-list li').length === 2")
    with page.expect_download() as download:
        page.click("text=Download the list")
    assert len(download.value.path().read_text().splitlines()) == 3


def test_file_is_marked_for_the_next_build_and_the_mark_removed(browser, served):
    page = opened(browser, served, "failures")
    row = page.locator(".failure-list li", has_text="cut.jpg")
    row.locator("button:has-text('Try again')").click()
    page.wait_for_selector("text=1 file is marked. To read it again, run")
    assert "imrec build" in page.inner_text(".marked")
    assert "tried again by the next build" in row.inner_text()
    assert retry_marks.load(served.lake) == {image_id("photos", "cut.jpg")}
    row.locator("button:has-text('Do not try again')").click()
    until(page, "!document.querySelector('.marked')")
    assert retry_marks.load(served.lake) == frozenset()


def test_all_files_are_marked_and_the_status_says_so(browser, served):
    page = opened(browser, served, "failures")
    page.click("text=Try all again")
    page.wait_for_selector("text=52 files are marked")
    assert len(retry_marks.load(served.lake)) == 52
    page.click("#views >> text=Status")
    page.wait_for_selector("#todo >> text=the next build tries 52 of them again")
    page.click("#todo a")
    page.wait_for_selector("text=Remove the marks")
    page.click("text=Remove the marks")
    until(page, "!document.querySelector('.marked')")
    assert retry_marks.load(served.lake) == frozenset()


def test_error_of_the_server_is_shown_with_a_button_to_try_again(browser, served):
    browser.allow(" 400 ")
    answer = {"status": 400, "json": {"error": "the lake is away", "kind": "LakeError"}}
    page = browser.open(
        f"{served.url}/issues/failures",
        before=lambda page: page.route("**/api/failures?*", lambda route: route.fulfill(**answer)),
    )
    page.wait_for_selector("text=the lake is away")
    page.unroute("**/api/failures?*")
    page.click(".tab-panel >> text=Try again")
    page.wait_for_selector(".failure-list li")
