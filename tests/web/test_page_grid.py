"""The grid of hits in Chromium: its height, the pages of hits that it fetches, keys, order, size and place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from imrec_core.index.build import build_generation
from tests.support import toy
from tests.support.browser import accessibility_faults, at_every_size, eventually, until
from tests.support.page import address_params, names, run_search, write_sql
from tests.support.serving import serving

ROWS = 1500
FIRST_SEEN = """Number([...document.querySelectorAll('.grid li')]
    .find((item) => item.getBoundingClientRect().top > 30).ariaPosInSet) - 1"""
FOCUSED = "Number(document.activeElement.closest('li')?.ariaPosInSet) - 1"
AT_END = "document.querySelector(\"a.tile[title='001499.jpg']\")?.getBoundingClientRect().bottom < innerHeight"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server over 1,500 rows of three shapes, whose images do not exist."""
    vectors = np.random.default_rng(0).dirichlet(np.ones(512), ROWS).astype(np.float32)
    lake = toy.vector_lake(tmp_path_factory.mktemp("grid"), {"rgb_histogram": vectors}, shard_size=ROWS)
    (shard,) = lake.live_shards()
    hashes = [f"{i:032x}" for i in range(ROWS)]
    taken = [datetime(2020, 1, 1) + timedelta(hours=(i * 7) % ROWS) for i in range(ROWS)]
    widths, heights = ([sizes[i % 3] for i in range(ROWS)] for sizes in ((400, 300, 400), (300, 400, 400)))
    toy.write_tables(lake, shard, hashes, {}, width=widths, height=heights, taken=taken)
    build_generation(lake)
    with serving(lake) as served:
        yield served.url


@pytest.fixture
def page(browser, address: str) -> Any:
    return opened(browser, address)


def opened(browser: Any, address: str, **options: Any) -> Any:
    browser.allow("answered 404")  # the thumbnails
    page = browser.open(address, **options)
    page.wait_for_selector("a.tile")
    return page


def offsets_of(page: Any) -> list[int]:
    """Return a list that grows by the offset of each search of the page."""
    found: list[int] = []
    page.on("request", lambda sent: "/api/search" in sent.url and found.append(sent.post_data_json["offset"]))
    return found


def to_end(page: Any) -> None:
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    until(page, AT_END)


def to_middle(page: Any) -> int:
    """Scroll to the middle, and return the place that is the first in view."""
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    until(page, "history.state?.place > 0 && !document.querySelector('.grid .waiting')")
    return page.evaluate(FIRST_SEEN)


# -- height and pages ---------------------------------------------------------------------------------------


def test_only_tiles_near_the_view_are_in_the_document(page):
    before = page.evaluate("document.documentElement.scrollHeight")
    assert page.inner_text("#said strong") == "1,500 pictures"
    assert 20 < page.locator(".grid li").count() < 120
    assert page.locator(".grid li").first.get_attribute("aria-setsize") == str(ROWS)
    to_end(page)
    assert page.locator(".grid li").count() < 120
    assert page.evaluate("document.documentElement.scrollHeight") == before


def test_jump_to_the_end_fetches_only_the_pages_there(page):
    offsets = offsets_of(page)
    to_end(page)
    assert names(page, ROWS)[-1] == "001499.jpg"
    assert offsets and min(offsets) > 1300
    page.evaluate("scrollTo(0, 0)")
    until(page, "document.querySelector('a.tile').title === '000000.jpg'")
    assert min(offsets) > 1300


def test_places_that_the_view_passes_are_not_fetched(page):
    offsets = offsets_of(page)
    page.evaluate(
        """async () => {
            for (let at = 1; at < 40; at++) {
                scrollTo(0, (document.documentElement.scrollHeight * at) / 40);
                await new Promise(requestAnimationFrame);
            }
        }"""
    )
    to_end(page)
    assert len(offsets) <= 4 and min(offsets) > 1300


def test_request_of_a_page_is_cancelled_when_the_view_has_passed_it(page):
    held: list[Any] = []
    cancelled: list[int] = []
    page.on("requestfailed", lambda sent: sent.post_data and cancelled.append(sent.post_data_json["offset"]))
    page.route("**/api/search", lambda route: held.append(route) if not held else route.continue_())
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    eventually(page, lambda: held, "a request")
    to_end(page)
    assert held[0].request.post_data_json["offset"] in cancelled


def test_placeholders_stand_for_hits_that_have_not_arrived(page):
    page.route("**/api/search", lambda route: None)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    page.wait_for_selector(".grid .waiting")
    assert page.locator(".grid a.tile").count() <= 1  # that with the tab stop of the first place
    words = page.locator(".waiting").first.get_attribute("aria-label")
    assert words.startswith("Picture ") and words.endswith(" of 1,500, loading")
    assert accessibility_faults(page) == []


def test_rows_fill_the_width_at_one_height(page):
    boxes = page.eval_on_selector_all(
        ".grid li", "all => all.map((one) => [one.offsetTop, one.offsetLeft, one.offsetWidth, one.offsetHeight])"
    )
    width = page.evaluate("document.querySelector('.grid').clientWidth")
    rows = [[box for box in boxes if box[0] == top] for top in sorted({box[0] for box in boxes})]
    assert len({len(row) for row in rows}) == 1 and len({box[3] for box in boxes}) == 1
    for row in rows:
        assert row[0][1] == 0 and abs(row[-1][1] + row[-1][2] - width) <= 1
        assert all(0 <= b[1] - a[1] - a[2] <= 10 for a, b in pairwise(row))
    assert len({box[2] for box in rows[0]}) > 1  # by the shapes of the images


def test_results_are_asked_for_again_if_they_change_between_pages(page):
    shown = []

    def changed(route: Any) -> None:
        answer = route.fetch().json()
        shown.append(answer["offset"])
        later = {"total": answer["total"] - 1} if len(shown) == 1 else {}
        route.fulfill(json={**answer, **later})

    page.route("**/api/search", changed)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    eventually(page, lambda: 0 in shown[1:], "a second search from the first hit on")
    until(page, "document.querySelector('.results:not([aria-busy])') && !document.querySelector('.grid .waiting')")


@pytest.mark.parametrize("height", [30_000_000, 90_000_000])
def test_heights_beyond_those_of_browsers_are_scaled(page, height):
    script = """async ([height]) => {
        const { layoutOf, scaleOf, placesBetween } = await import("/static/grid_layout.js");
        const total = Math.floor(height / 200) * 5;
        const layout = layoutOf({ width: 1000, total, tall: 150, shape: 1.2, caption: 21 });
        const { tall, factor } = scaleOf(layout, 800);
        return [layout, tall, placesBetween(layout, (tall - 800) * factor, (tall - 800) * factor + 800).last, total];
    }"""
    layout, tall, last, total = page.evaluate(script, [height])
    assert layout["height"] > 20_000_000 and tall < 17_000_000
    assert last == total - 1


# -- keys and focus -----------------------------------------------------------------------------------------


@at_every_size
def test_keys_reach_every_place(page):
    page.locator("a.tile").first.focus()
    page.keyboard.press("End")
    until(page, "document.activeElement.title === '001499.jpg'")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(FOCUSED) == ROWS - 1
    page.keyboard.press("Home")
    until(page, "document.activeElement.title === '000000.jpg'")
    page.keyboard.press("ArrowDown")
    columns = page.evaluate(FOCUSED)
    assert columns > 1
    page.keyboard.press("PageDown")
    assert page.evaluate(FOCUSED) >= 3 * columns and page.evaluate(FOCUSED) % columns == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    assert page.evaluate(FOCUSED) == 1
    page.keyboard.press("ArrowUp")
    assert page.evaluate(FOCUSED) == 1
    assert page.locator(".grid [tabindex='0']").count() == 1


def test_focus_moves_from_a_placeholder_to_its_hit(page):
    held: list[Any] = []
    is_held = [True]
    page.route("**/api/search", lambda route: held.append(route) if is_held else route.continue_())
    page.locator("a.tile").first.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.className") == "waiting"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(FOCUSED) == ROWS - 2
    eventually(page, lambda: held, "a request")
    is_held.clear()
    for route in held:
        route.continue_()
    until(page, "document.activeElement.title === '001498.jpg'")


def test_second_skip_link_leads_to_the_first_hit(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the pictures"
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED) == 0
    page.click("#views >> text=Status")
    page.wait_for_selector(".view-status h1")
    assert page.locator("a.skip").count() == 1


def test_focused_tile_stays_while_the_view_is_elsewhere(page):
    page.locator("a.tile").nth(3).focus()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    until(page, AT_END)
    assert page.evaluate(FOCUSED) == 3
    page.keyboard.press("ArrowRight")
    assert page.evaluate(FOCUSED) == 4 and page.evaluate("scrollY") < 1000


def test_dialog_steps_beyond_the_pages_that_have_arrived(page):
    offsets = offsets_of(page)
    page.locator("a.tile").first.focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    place = page.evaluate(FOCUSED)
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog.detail")
    for at in range(place + 1, place + 110):
        page.keyboard.press("ArrowRight")
        until(page, f"document.querySelector('dialog.detail').ariaLabel === '{at:06d}.jpg'")
    assert 120 in offsets
    page.keyboard.press("Escape")
    until(page, f"document.activeElement.title === '{place + 109:06d}.jpg'")
    assert page.evaluate("document.activeElement.getBoundingClientRect().bottom <= innerHeight")


# -- place --------------------------------------------------------------------------------------------------


def test_back_and_reload_return_to_the_place(page):
    place = to_middle(page)
    page.locator(f".grid li[data-place='{place}'] a").focus()
    run_search(page, lambda: page.keyboard.press("m"))
    assert page.evaluate(FOCUSED) == 0 and page.evaluate("scrollY") < 200
    page.go_back()
    until(page, f"document.querySelector('.results:not([aria-busy])') && {FIRST_SEEN} === {place}")
    page.reload()
    page.wait_for_selector("a.tile")
    until(page, f"document.querySelector('.results:not([aria-busy])') && {FIRST_SEEN} === {place}")


def test_new_search_starts_at_its_first_hit(page):
    to_end(page)
    write_sql(page, "row >= 100")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert names(page)[0] == "000100.jpg" and page.evaluate("scrollY") < 200
    assert page.inner_text("#said strong") == "1,400 pictures"


# -- counts, order, size ------------------------------------------------------------------------------------


def test_count_of_a_query_is_that_of_the_pictures_it_ranks(page):
    page.locator("a.tile").first.focus()
    run_search(page, lambda: page.keyboard.press("m"))
    assert page.inner_text("#said strong") == "Nearest first, of 1,499 pictures"
    write_sql(page, "row < 90")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert page.inner_text("#said strong") == "Nearest first, of 89 pictures"
    page.click("summary:has-text('More options')")
    run_search(page, lambda: page.check("#distinct"))
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    until(page, "document.querySelector('#said strong').textContent === '89 hits, nearest first'")


def test_limit_of_a_query_is_stated(browser, address):
    def limited(route: Any) -> None:
        offered = route.fetch().json()
        route.fulfill(json={**offered, "limits": {**offered["limits"], "reach": 100}})

    page = opened(browser, address, before=lambda page: page.route("**/api/features", limited))
    page.locator("a.tile").first.focus()
    run_search(page, lambda: page.keyboard.press("m"))
    assert page.inner_text("#said strong") == "Nearest first, the first 100 of 1,499 pictures"
    offsets = offsets_of(page)
    page.keyboard.press("End")
    until(
        page, "document.activeElement.matches('a.tile') && document.activeElement.closest('li').ariaPosInSet === '100'"
    )
    assert offsets == [60]


def test_order_is_chosen_above_the_grid(page):
    assert page.locator("#order option").first.inner_text() == "As in the lake"
    newest = run_search(page, lambda: page.select_option("#order", label="Newest"))
    taken = [(int(name[:6]) * 7) % ROWS for name in newest]
    assert taken == sorted(taken, reverse=True) and taken[0] == ROWS - 1
    assert page.inner_text("#said strong") == "1,500 pictures, newest first"
    assert address_params(page)["order_by"] == ["coalesce(epoch(taken), mtime_ns / 1e9) DESC"]
    assert run_search(page, lambda: page.select_option("#order", label="Oldest"))[0] == "000000.jpg"
    assert run_search(page, lambda: page.select_option("#order", label="Name"))[:2] == ["000000.jpg", "000001.jpg"]
    largest = run_search(page, lambda: page.select_option("#order", label="Largest"))
    assert all(int(name[:6]) % 3 == 2 for name in largest)
    run_search(page, lambda: page.select_option("#order", label="As in the lake"))
    assert "order_by" not in address_params(page)
    page.click("summary:has-text('More options')")
    page.fill("#order_by", "path DESC")
    assert run_search(page, lambda: page.press("#order_by", "Enter"))[0] == "001499.jpg"
    assert page.locator("#order option:checked").inner_text() == "Own: path DESC"
    page.locator("a.tile").first.focus()
    run_search(page, lambda: page.keyboard.press("m"))
    assert page.locator("#order option").first.inner_text() == "Nearest"
    assert page.inner_text("#said strong") == "The 200 best hits, ordered by path DESC"


def test_every_order_is_one_that_the_server_runs(page):
    values = page.eval_on_selector_all("#order option", "all => all.map((one) => one.value)")
    orders = [value for value in values if value not in ("", "random")]
    assert len(orders) > 15
    script = """async (orders) => Promise.all(orders.map(async (order_by) => (await fetch("/api/search", {
        method: "POST", headers: { "X-Imrec": "1", "Content-Type": "application/json" },
        body: JSON.stringify({ order_by, k: 1 }),
    })).status))"""
    assert page.evaluate(script, orders) == [200] * len(orders)


def test_random_order_has_a_seed_in_the_address(page):
    first = run_search(page, lambda: page.select_option("#order", "random"))
    assert first != sorted(first)
    address = page.url
    (order,) = address_params(page)["order_by"]
    assert page.inner_text("#said strong") == f"1,500 pictures, in random order {order.split(chr(39))[1]}"
    second = run_search(page, lambda: page.click("#shuffle"))
    assert second != first
    assert run_search(page, page.go_back) == first and page.url == address
    page.reload()
    page.wait_for_selector("a.tile")
    assert names(page) == first and page.input_value("#order") == "random"


def test_size_of_tiles_is_kept_in_the_browser(page):
    def tall() -> int:
        return page.evaluate("document.querySelector('a.tile img').offsetHeight")

    medium, columns = tall(), page.evaluate(FIRST_ROW)
    page.click("[data-size=large]")
    assert tall() > 1.4 * medium and page.evaluate(FIRST_ROW) < columns
    assert "size=640" in page.locator("a.tile img").first.get_attribute("srcset")
    page.reload()
    page.wait_for_selector("a.tile")
    assert tall() > 1.4 * medium
    assert page.get_attribute("[data-size=large]", "aria-pressed") == "true"
    page.click("[data-size=small]")
    assert tall() < 0.8 * medium and page.evaluate(FIRST_ROW) > columns
    assert "size=160 1x" in page.locator("a.tile img").first.get_attribute("srcset")


FIRST_ROW = "[...document.querySelectorAll('.grid li')].filter((one) => one.offsetTop === 0).length"


def test_size_of_tiles_keeps_the_place(page):
    place = to_middle(page)
    page.evaluate("document.querySelector('[data-size=large]').click()")
    until(page, "!document.querySelector('.grid .waiting')")
    assert abs(page.evaluate(FIRST_SEEN) - place) <= 8


def test_page_works_in_a_browser_that_stores_nothing(browser, address):
    script = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })"
    page = opened(browser, address, before=lambda page: page.add_init_script(script))
    page.click("[data-size=small]")
    assert page.get_attribute("[data-size=small]", "aria-pressed") == "true"


def test_decorations_are_called_for_each_tile(page):
    script = """async () => {
        const { makeGrid } = await import("/static/grid.js");
        const grid = makeGrid({ addressOf: () => "/", onAct() {}, onNeed() {}, onMove() {} });
        document.querySelector(".grid").replaceWith(grid.root);
        const hits = Array.from({ length: 30 }, (_, at) => (
            { image_id: String(at).padStart(16, "0"), path: `${at}.jpg`, width: 4, height: 3, score: null }));
        const seen = [];
        grid.show({ hits, features: [], total: 40, shape: 1.3 });
        const stop = grid.decorate(({ item, tile, hit, place }) => {
            seen.push([place, hit.path, tile.title, item.contains(tile)]);
        });
        const first = seen.length;
        grid.put(30, [{ ...hits[0], image_id: "f".repeat(16), path: "30.jpg" }]);
        stop();
        grid.redecorate();
        grid.root.remove();
        return [first, seen.at(-1), grid.placeOf("f".repeat(16))];
    }"""
    first, last, place = page.evaluate(script)
    assert first >= 12 and json.dumps(last) == '[30, "30.jpg", "30.jpg", true]' and place == 30
