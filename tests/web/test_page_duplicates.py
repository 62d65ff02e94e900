"""The duplicates view of the page: in Chromium, against a running server, with decisions saved in the lake."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imrec_core.catalog import manifests
from imrec_core.duplicates import Duplicates, find_duplicates
from imrec_core.duplicates.decisions import Decisions, load_decisions
from imrec_core.duplicates.move_plan import File, MovePlan
from imrec_core.index.build import build_generation
from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, at_every_size, eventually, has_sideways_scroll, until
from tests.support.pictures import encode, noise
from tests.support.serving import Served, serving, web_lake


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with four groups of equal bytes, and four of a photo and its smaller copy; one file has a sidecar."""
    folder = tmp_path_factory.mktemp("duplicates")
    lake = web_lake(folder, photos=16)
    (folder / "scans" / "COPY_001.xmp").write_bytes(b"stars")
    with serving(lake) as running:
        yield running


@pytest.fixture
def found(served: Served) -> Iterator[Duplicates]:
    """Duplicates without decisions; removes the decisions after the test."""
    yield find_duplicates(served.lake)
    served.lake.save_decisions({"format": 1, "not_duplicate": [], "keep": []})


def opened(browser: Any, served: Served, address: str = "/duplicates", **options: Any) -> Any:
    page = browser.open(served.url + address, **options)
    page.wait_for_selector(".group")
    return page


def decided(served: Served, claim: Callable[[Decisions], bool], page: Any) -> Decisions:
    """Wait until a condition holds for the decisions of the lake, and return them."""
    eventually(page, lambda: claim(load_decisions(served.lake)), "the decisions")
    return load_decisions(served.lake)


def near_group(page: Any, found: Duplicates) -> tuple[Any, Any]:
    """Return the first group of different contents: in the page, and from the core."""
    place = next(i for i, group in enumerate(found) if group.pairs)
    return page.locator(".group").nth(place), found[place]


def test_groups_show_what_the_core_found(browser, served, found):
    page = opened(browser, served)
    assert page.inner_text("#duplicates-said").startswith(f"{len(found)} groups")
    groups = page.locator(".group")
    assert groups.count() == len(found)
    for shown, group in zip(groups.all(), found, strict=True):
        text = shown.inner_text()
        for copy in group.copies:
            assert f"{copy.source}/{copy.below}" in text
            assert f"{copy.width} × {copy.height}" in text
            assert all(companion in text for companion in copy.companions)
        assert shown.locator(".copy.stays").count() == sum(copy.is_kept for copy in group.copies)
        assert shown.locator(".copy").nth(0).locator(".fate").inner_text() == "stays"
        for pair in group.pairs:
            assert pair.how in text
    assert "smaller" not in page.inner_text("main")
    assert page.inner_text("main").count("COPY_001.xmp") == 2
    assert page.locator(".fate:has-text('would be moved with COPY_001.xmp')").count() == 1


def test_not_duplicates_is_saved_and_undone(browser, served, found):
    page = opened(browser, served)
    group, known = near_group(page, found)
    group.locator("text=Not duplicates").click()
    after = decided(served, lambda d: bool(d.not_duplicate), page)
    (pair,) = known.pairs
    assert after.not_duplicate == {tuple(sorted(pair.contents))}
    until(page, "document.querySelector('#decided').textContent.includes('1 pair')")
    assert "marked as no duplicates" in group.inner_text()
    again = opened(browser, served)
    assert again.locator(".group").count() == len(found) - 1
    page.locator(".toast >> text=Undo").click()
    assert decided(served, lambda d: not d.not_duplicate, page).not_duplicate == frozenset()
    until(page, "!document.querySelector('.pairs .apart')")


def test_keep_is_saved_and_undone_by_its_own_button(browser, served, found):
    page = opened(browser, served)
    group, known = near_group(page, found)
    second = group.locator(".copy").nth(1)
    assert second.locator(".fate").inner_text() == "would be moved"
    second.locator("text=Always keep").click()
    assert decided(served, lambda d: bool(d.keep), page).keep == {known.copies[1].content_hash}
    assert second.locator(".fate").inner_text() == "always stays"
    assert second.locator("button[aria-pressed=true]").count() == 1
    until(page, "document.querySelector('#decided').textContent.includes('1 file always kept')")
    again = opened(browser, served)
    assert again.locator(".fate:has-text('always stays')").count() == 1
    second.locator("text=Always keep").click()
    assert decided(served, lambda d: not d.keep, page).keep == frozenset()
    assert second.locator(".fate").inner_text() == "would be moved"


ACTS: dict[str, list[tuple[bool, str]]] = {  # True: in the first group of different contents; False: of the same bytes
    "second kept": [(True, "[data-key='2']")],
    "both kept": [(True, "[data-key='1']"), (True, "[data-key='2']")],
    "kept no longer": [(True, "[data-key='2']"), (True, "[data-key='2']")],
    "one of the same bytes kept": [(False, "[data-key='2']")],
    "no duplicates": [(True, "text=Not duplicates")],
    "kept and no duplicates": [(True, "[data-key='2']"), (True, "text=Not duplicates")],
}


@pytest.mark.parametrize("acts", ACTS.values(), ids=ACTS)
def test_shown_moves_equal_the_moves_of_the_plan(browser, served, found, acts):
    page = opened(browser, served)
    for is_near, button in acts:
        place = next(i for i, group in enumerate(found) if bool(group.pairs) is is_near)
        with page.expect_response("**/api/decisions"):
            page.locator(".group").nth(place).locator(button).click()
    plan = MovePlan.of(find_duplicates(served.lake))
    moved = {Path(move.file.path).name for move in plan.moves}
    assert set(page.locator(".copy:not(.stays) .name").all_inner_texts()) == moved
    assert page.locator(".fate:has-text('would be moved')").count() == len(moved)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with copies that the plan leaves: of a RAW file, beside a shared video, in a group with a link."""
    folder = tmp_path_factory.mktemp("guarded")
    names = [f"{group}/{name}" for group in ("link", "plain", "sidecar", "video") for name in ("a.jpg", "b.jpg")]
    toy.write_photos(folder / "drawn", range(4))
    for i, name in enumerate([*names, "video/b.png"]):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photos" / name).write_bytes((folder / "drawn" / f"photo_{i // 2 % 4:03d}.jpg").read_bytes())
    (folder / "photos" / "video" / "b.png").write_bytes(encode(noise(64, 48), "PNG"))
    (folder / "photos" / "video" / "b.mov").write_bytes(b"film")
    (folder / "photos" / "sidecar" / "b.xmp").write_bytes(b"stars")
    lake = toy.new_lake(folder / "lake")
    toy.build(lake)
    linked = folder / "photos" / "link" / "b.jpg"
    linked.rename(folder / "elsewhere.jpg")
    linked.symlink_to(folder / "elsewhere.jpg")
    with serving(lake) as running:
        yield running


FATES = {
    "link/a.jpg": "stays",
    "link/b.jpg": "stays: there is a link in its group; move it by hand",
    "plain/a.jpg": "stays",
    "plain/b.jpg": "would be moved",
    "sidecar/a.jpg": "stays",
    "sidecar/b.jpg": "would be moved with b.xmp",
    "video/a.jpg": "stays",
    "video/b.jpg": "stays: its companion b.mov also belongs to b.png, which stays",
}


def fates(page: Any) -> dict[str, str]:
    shown = page.locator(".copy").all()
    return {
        one.locator(".name").get_attribute("title"): one.locator(".fate").inner_text().replace("\n", " ")
        for one in shown
    }


def test_page_says_what_the_plan_does_and_why(browser, guarded, monkeypatch):
    browser.allow("answered 404")  # the small picture of the link
    monkeypatch.setattr(File, "at", lambda path: pytest.fail("a file is read for display"))
    page = opened(browser, guarded, "/duplicates?tier=identical")
    assert fates(page) == FATES
    monkeypatch.undo()
    plan = MovePlan.of(find_duplicates(guarded.lake, tier="identical"))
    below = guarded.lake.settings().sources["photos"]
    assert {os.path.relpath(move.file.path, below) for move in plan.moves} == {"plain/b.jpg", "sidecar/b.jpg"}
    assert {os.path.relpath(image.path, below): f"stays: {image.reason}" for image in plan.left} == {
        path: fate for path, fate in FATES.items() if fate.startswith("stays: ")
    }
    assert accessibility_faults(page) == []


def test_decision_asks_again_what_the_plan_does(browser, guarded):
    browser.allow("answered 404")
    page = opened(browser, guarded, "/duplicates?tier=identical&keep=source:photos")
    group = page.locator(".group").nth(2)
    with page.expect_response("**/api/duplicates/outcomes?*") as asked:
        group.locator("[data-key='2']").click()
    assert {outcome["is_kept"] for outcome in asked.value.json()["outcomes"].values()} == {True, False}
    until(page, "document.querySelectorAll('.group')[2].textContent.includes('always stays')")
    group.locator("[data-key='2']").click()
    until(page, "!document.querySelectorAll('.group')[2].textContent.includes('always stays')")
    assert fates(page) == FATES


def test_undo_removes_one_decision_only(browser, served, found):
    page = opened(browser, served)
    group, known = near_group(page, found)
    group.locator("text=Not duplicates").click()
    decided(served, lambda d: bool(d.not_duplicate), page)
    group.locator(".copy").nth(1).locator("text=Always keep").click()
    decided(served, lambda d: bool(d.keep), page)
    page.keyboard.press("u")
    after = decided(served, lambda d: not d.keep, page)
    assert after.keep == frozenset()
    assert after.not_duplicate == {tuple(sorted(known.pairs[0].contents))}
    page.keyboard.press("u")
    assert decided(served, lambda d: not d.not_duplicate, page) == Decisions()


def test_refused_decision_is_reported_and_not_shown(browser, served, found):
    browser.allow("answered 400")
    page = opened(browser, served)
    answer = {"status": 400, "json": {"error": "the disk is full; make room", "kind": "LakeError"}}
    page.route("**/api/decisions", lambda route: route.fulfill(**answer))
    group, _ = near_group(page, found)
    group.locator("text=Not duplicates").click()
    page.wait_for_selector(".toast:has-text('the disk is full; make room')")
    assert page.locator(".pairs .apart").count() == 0


@at_every_size
def test_keyboard_moves_between_groups_and_decides(browser, served, found):
    page = opened(browser, served)
    place = next(i for i, group in enumerate(found) if group.pairs)
    for _ in range(place + 1):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("[...document.querySelectorAll('.group')].indexOf(document.activeElement)") == place
    page.keyboard.press("2")
    assert decided(served, lambda d: bool(d.keep), page).keep == {found[place].copies[1].content_hash}
    page.keyboard.press("n")
    assert decided(served, lambda d: bool(d.not_duplicate), page).not_duplicate
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog.compare")
    assert page.locator("dialog.compare img").count() == 2
    assert accessibility_faults(page, "dialog.compare") == []
    page.keyboard.press(" ")
    assert page.locator("dialog.compare .behind").count() == 1
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('dialog')")


def test_plan_equals_that_of_the_command(browser, served, found, imrec, tmp_path):
    page = opened(browser, served, "/duplicates?keep=source:scans")
    with page.expect_download() as downloading:
        page.click("#plan")
    downloading.value.save_as(tmp_path / "downloaded.json")
    imrec("duplicates", "--keep", "source:scans", "--plan", "plan.json", "--lake", served.lake.root)
    downloaded = (tmp_path / "downloaded.json").read_text()
    assert json.loads(downloaded)["moves"]
    assert downloaded == (tmp_path / "plan.json").read_text()
    assert "imrec duplicates --apply" in page.inner_text("main")


def test_tier_and_rule_are_in_the_url(browser, served, found):
    page = opened(browser, served)
    page.select_option("#tier", "identical")
    until(page, "document.querySelectorAll('.group').length === 4")
    assert page.locator(".pairs").count() == 0
    page.select_option("#keep", "source:scans")
    until(page, "document.querySelector('.copy.stays .facts')?.textContent.includes('scans/')")
    assert "tier=identical" in page.url and "keep=source%3Ascans" in page.url
    page.reload()
    page.wait_for_selector(".group")
    assert (page.input_value("#tier"), page.input_value("#keep")) == ("identical", "source:scans")
    page.go_back()
    until(page, "document.querySelector('#keep').value === 'original'")


def test_scrolling_loads_more_groups(browser, served, found):
    page = browser.open(served.url)
    page.route(
        "**/api/duplicates?*", lambda route: route.continue_(url=route.request.url.replace("limit=20", "limit=3"))
    )
    page.click("#views >> text=Duplicates")
    page.wait_for_selector(".group")
    until(page, f"(scrollTo(0, 1e6), document.querySelectorAll('.group').length === {len(found)})")
    names = page.locator(".group").evaluate_all("all => all.map((one) => one.innerText)")
    assert len(set(names)) == len(found)


def test_cursor_of_an_older_generation_restarts(browser, served, found):
    browser.allow("answered 410")
    page = browser.open(served.url)
    answer = {"status": 410, "json": {"error": "the lake has changed", "kind": "StaleCursor"}}
    asked: list[str] = []

    def limited(route: Any) -> None:
        asked.append(route.request.url)
        if "cursor" in route.request.url and len(asked) < 3:
            route.fulfill(**answer)
        else:
            route.continue_(url=route.request.url.replace("limit=20", "limit=3"))

    page.route("**/api/duplicates?*", limited)
    page.click("#views >> text=Duplicates")
    page.wait_for_selector(".toast:has-text('lake has changed')")
    until(page, f"(scrollTo(0, 1e6), document.querySelectorAll('.group').length === {len(found)})")


def test_progress_is_shown_while_the_search_runs(browser, served, found):
    page = browser.open(served.url)
    running = {"state": "running", "progress": "comparing 12 pairs", "generation": "000001", "total": 0, "groups": []}
    running |= {"next": None, "left_out": [], "decisions": {"keep": 0, "apart": 0}}
    page.route("**/api/duplicates?*", lambda route: route.fulfill(json=running), times=1)
    page.click("#views >> text=Duplicates")
    page.wait_for_selector("text=comparing 12 pairs")
    page.wait_for_selector(".group")
    assert page.locator("text=comparing 12 pairs").count() == 0


def test_search_can_be_cancelled_and_continued_on_the_page(browser, served, found):
    page = browser.open(served.url)
    common = {"generation": "000001", "total": 0, "groups": [], "next": None, "left_out": []}
    common |= {"decisions": {"keep": 0, "apart": 0}, "done": 1280, "planned": 13052, "seconds_left": 40.0}
    state, asked = ["running"], []

    def reply(route: Any) -> None:
        line = "comparing pairs of images: 1,280 of 13,052, about 40 s left"
        route.fulfill(json=common | {"state": state[0], "progress": line})

    def control(route: Any) -> None:
        asked.append(route.request.post_data_json)
        state[0] = "cancelled"
        if asked[-1]["action"] == "continue":
            page.unroute("**/api/duplicates?*")
        route.fulfill(json=asked[-1])

    page.route("**/api/duplicates?*", reply)
    page.route("**/api/duplicates/search", control)
    page.click("#views >> text=Duplicates")
    page.wait_for_selector("text=1,280 of 13,052, about 40 s left")
    assert page.locator("progress").evaluate("bar => bar.value / bar.max") == pytest.approx(1280 / 13052)
    assert accessibility_faults(page) == []
    page.click(".search-progress button:has-text('Cancel')")
    page.wait_for_selector("text=The search was cancelled")
    assert accessibility_faults(page) == []
    page.click(".search-progress button:has-text('Continue')")
    page.wait_for_selector(".group")
    assert [one["action"] for one in asked] == ["cancel", "continue"]
    assert page.locator(".search-progress").count() == 0


def test_lake_without_duplicates_is_reported(browser, tmp_path):
    toy.write_photos(tmp_path / "photos", range(4))
    lake = toy.new_lake(tmp_path / "lake")
    manifests.update(lake)
    toy.extract(lake)
    build_generation(lake)
    with serving(lake) as running:
        page = browser.open(f"{running.url}/duplicates")
        page.wait_for_selector("h2:has-text('No duplicates')")
        assert accessibility_faults(page) == []
        page.close()  # what it still asks for would fail without the server


@pytest.mark.parametrize(("size", "scheme"), [({"width": 1280, "height": 800}, "light"), (PHONE, "dark")])
def test_view_is_accessible_and_fits(browser, served, found, size, scheme):
    page = opened(browser, served, size=size, color_scheme=scheme)
    assert accessibility_faults(page) == []
    assert not has_sideways_scroll(page)
