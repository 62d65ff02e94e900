"""The status view of the page: in Chromium, against a running server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from imrec_core.lake.run_log import note
from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, eventually, has_sideways_scroll, pause_clock, until
from tests.support.pictures import encode
from tests.support.serving import Served, serving

FINE = [{"name": "photos", "reachable": True, "images": 22, "shards": 2, "fresh": 2, "stale": 0}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over a lake with two unreadable files, and a feature added after the last build."""
    folder = tmp_path_factory.mktemp("status")
    toy.write_photos(folder / "photos", range(20))
    (folder / "photos" / "<b>notes.jpg").write_text("not a picture")
    (folder / "photos" / "cut.jpg").write_bytes(encode(toy.photo(1), "JPEG")[:700])
    lake = toy.new_lake(folder / "lake", ("rgb_histogram", "phash"))
    toy.build(lake)
    note(lake, "extract", "photos-0000", 1.5, rows=16, stages={"read": 0.25, "decode": 1.0, "describe": 0.25})
    note(lake, "generation", "000001", 0.2, rows=20)
    toy.set_to(lake, features=("rgb_histogram", "phash", "dhash"))
    with serving(lake) as running:
        yield running


def opened(browser: Any, served: Served, **options: Any) -> Any:
    page = browser.open(f"{served.url}/status", **options)
    page.wait_for_selector("#runs")
    return page


def row(page: Any, section: str, name: str) -> str:
    return page.locator(f"#{section} tr", has=page.locator("th", has_text=name)).inner_text()


def test_failures_are_counted_by_kind_and_lead_to_their_files(browser, served):
    page = opened(browser, served)
    text = page.inner_text("#failures")
    assert "2 files could not be read" in text
    assert "Files without a readable image: 1" in text
    page.click("#failures a:has-text('Damaged')")
    page.wait_for_selector(".failure-list li")
    assert page.url.endswith("/issues/failures?kind=damaged")
    assert "photos/cut.jpg" in page.inner_text(".failure-list")


def test_fresh_features_take_one_line_and_open(browser, served):
    page = opened(browser, served)
    assert page.inner_text("#fresh-features summary") == "2 features, fresh for 2 of 2 shards"
    assert page.locator("#features tr", has_text="rgb_histogram").is_hidden()
    page.click("#fresh-features summary")
    assert "Joint histogram" in row(page, "features", "rgb_histogram")


def test_searches_are_not_among_the_runs(browser, served):
    note(served.lake, "search", "a-query.jpg", 0.1, rows=5)
    page = opened(browser, served)
    assert "a-query" not in page.inner_text("#runs")


def test_stages_have_as_many_fills_as_there_are(browser, served):
    stages = {f"stage {at}": 20.0 - at for at in range(11)}

    def many(route: Any) -> None:
        run = {"when": None, "kind": "extract", "what": "x", "seconds": 9.0, "rows": 3, "stages": stages}
        route.fulfill(json=route.fetch().json() | {"runs": [run]})

    page = browser.open(f"{served.url}/status", before=lambda page: page.route("**/api/status", many))
    page.wait_for_selector(".stage-names")
    fills = page.eval_on_selector_all(".stage-names .hue", "all => all.map((one) => getComputedStyle(one).background)")
    assert len(fills) == len(set(fills)) == 11
    assert page.locator(".stage-names li").first.inner_text() == "stage 0"


def test_command_is_copied(browser, served):
    page = opened(browser, served, permissions=["clipboard-read", "clipboard-write"])
    page.click("#todo button")
    page.wait_for_selector(".toast >> text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "imrec build"


def test_stale_feature_says_why_and_what_to_run(browser, served):
    page = opened(browser, served)
    assert "not computed yet" in row(page, "features", "dhash") or "missing" in row(page, "features", "dhash")
    assert "0 of 2, 2 stale" in row(page, "features", "dhash")
    assert "stale" not in row(page, "features", "rgb_histogram")
    assert "imrec build" in page.inner_text("#todo")


def test_sources_generation_and_runs_are_shown(browser, served):
    page = opened(browser, served)
    assert "22" in row(page, "sources", "photos")
    assert "reachable" in row(page, "sources", "photos")
    assert "20" in page.inner_text("#generation")
    assert "just now" in page.inner_text("#age") or "min ago" in page.inner_text("#age")
    runs = page.locator("#runs tbody tr")
    assert runs.count() == 2
    assert "200 ms" in runs.filter(has_text="generation 000001").inner_text()
    extracted = runs.filter(has_text="extract photos-0000")
    assert "1.5 s" in extracted.inner_text()
    assert extracted.locator(".stages").get_attribute("aria-label") == "read 250 ms, decode 1.0 s, describe 250 ms"
    widths = [part.bounding_box()["width"] for part in extracted.locator(".stages span").all()]
    assert widths[1] == pytest.approx(4 * widths[0], rel=0.05) and widths[2] == pytest.approx(widths[0], rel=0.05)


def test_status_updates_itself_and_keeps_open_details(browser, served):
    page = browser.open(served.url)
    answers: list[dict[str, Any]] = []

    def changed(route: Any) -> None:
        answer = route.fetch().json()
        answers.append(answer)
        route.fulfill(json=answer | ({"rows": 4711} if len(answers) > 1 else {}))

    page.route("**/api/status", changed)
    page.clock.install()
    page.click("#views >> text=Status")
    page.wait_for_selector("#runs")
    pause_clock(page)
    page.click("#fresh-features summary")
    assert "4,711" not in page.inner_text("#generation")
    page.clock.run_for(6000)
    until(page, "document.querySelector('#generation').textContent.includes('4,711')")
    assert page.locator("#fresh-features[open]").count() == 1
    page.evaluate("document.querySelector('#sources').isSame = true")
    page.clock.run_for(6000)
    eventually(page, lambda: len(answers) == 3, "a third status")
    page.clock.run_for(100)
    assert page.evaluate("document.querySelector('#sources').isSame"), "an unchanged status is not rendered again"
    page.click("#views >> text=Duplicates")
    page.wait_for_selector("h1:has-text('Duplicates')")
    asked = len(answers)
    page.clock.run_for(30_000)
    page.wait_for_timeout(100)
    assert len(answers) == asked, "a view that was left sends no requests"


def test_server_error_is_shown_and_the_last_status_stays(browser, served):
    page = opened(browser, served)
    answer = {"status": 500, "json": {"error": "the lake is away; mount it", "kind": "LakeError"}}
    browser.allow("answered 500")
    page.route("**/api/status", lambda route: route.fulfill(**answer))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("text=the lake is away; mount it")
    assert "photos" in page.inner_text("#sources")


WAITING = {"images": 14, "new": 12, "away": 0}
AWAY = [{"name": "card", "reachable": False, "images": 1, "shards": 1, "fresh": 1, "stale": 0}]
SCANNED = "2026-11-30T10:32:00+00:00"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"features": [], "rows": 3127, "scanned": SCANNED},
            "3,127 pictures from 1 folder, all up to date since 2026-11-30",
        ),
        ({"features": [], "up_to_date": False}, "A build is not finished"),
        ({"sources": []}, "imrec build FOLDER"),
        ({"sources": AWAY}, "card cannot be reached"),
        ({"waiting": WAITING}, "12 new pictures wait."),
        ({}, "dhash is not computed for all pictures"),
        ({"features": [], "sources": [FINE[0] | {"stale": 1}]}, "Pictures of photos have changed"),
        (
            {"failures": {"total": 4, "marked": 3, "kinds": [], "reasons": []}},
            "4 files could not be read; the next build tries 3 of",
        ),
    ],
)
def test_state_is_said_in_words_with_the_next_step(browser, served, change, words):
    def changed(route: Any) -> None:
        fine = {"sources": FINE, "up_to_date": True, "waiting": WAITING | {"new": 0}}
        route.fulfill(json=route.fetch().json() | fine | change)

    page = browser.open(served.url)
    page.route("**/api/status", changed)
    page.click("#views >> text=Status")
    page.wait_for_selector(f"#todo:has-text('{words}')")
    assert "imrec build" in page.inner_text("#todo")


@pytest.mark.parametrize(("size", "scheme"), [({"width": 1280, "height": 800}, "light"), (PHONE, "dark")])
def test_view_is_accessible_and_fits(browser, served, size, scheme):
    page = opened(browser, served, size=size, color_scheme=scheme)
    assert accessibility_faults(page) == []
    assert not has_sideways_scroll(page)
