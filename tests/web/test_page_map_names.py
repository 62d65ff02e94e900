"""Names, bubbles, overview and hits on the map of the page, in Chromium, and the way back from empty space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from imrec_core.index.opening import open_generation
from imrec_core.lake.tags import change_tag
from imrec_core.maps import Cluster, load_map
from tests.support.browser import PHONE, accessibility_faults, at_every_size, has_sideways_scroll, until
from tests.support.maps import save_groups_map
from tests.support.page import at_rest, cluster_middles, shown_ids, thumbnails, to_window
from tests.support.serving import Served, serving, web_lake

GROUPS = 8  # clusters on the map; the first three have a tag, so a name
TAGS = ("owls", "bees", "ants")
FAR = np.array([[5.0, 40.0]])  # a spot without points, between two rows of groups
DESKTOP = {"width": 1280, "height": 800}
SINGLE_IN_VIEW = """[...document.querySelectorAll('.pinned:not(.medoid)')].some((one) => {
    const [box, stage] = [one, document.querySelector("#map-stage")].map((node) => node.getBoundingClientRect());
    return box.right > stage.left && box.left < stage.right && box.bottom > stage.top && box.top < stage.bottom;
})"""  # the picture of a single point, which only a map that is zoomed in far has


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    lake = web_lake(tmp_path_factory.mktemp("names"), photos=160)
    made = save_groups_map(lake, "groups", GROUPS)
    generation = open_generation(lake)
    contents = generation.columns("content_hash")["content_hash"].to_pylist()
    cluster = made.table["cluster"].to_numpy()
    for number, tag in enumerate(TAGS):
        members = np.flatnonzero(cluster == number)
        change_tag(lake, tag, [contents[row] for row in members[: -(-9 * len(members) // 10)]])
    with serving(lake) as running:
        yield running


@pytest.fixture(scope="module")
def middles(served: Served) -> tuple[Cluster, ...]:
    """The clusters of the map."""
    return load_map(served.lake, "groups").clusters


def opened(browser: Any, served: Served, address: str = "/map", **options: Any) -> Any:
    page = browser.open(served.url + address, **options)
    at_rest(page)
    return page


def named(page: Any) -> list[str]:
    """Wait for the labels, and return their texts."""
    page.wait_for_selector(".map-names li")
    return page.locator(".map-names li").all_inner_texts()


def boxes(page: Any, selector: str) -> np.ndarray:
    """Return left, top, right and bottom of elements `(n, 4)`."""
    found = page.eval_on_selector_all(
        selector,
        "all => all.map((one) => one.getBoundingClientRect()).map((b) => [b.left, b.top, b.right, b.bottom])",
    )
    return np.array(found).reshape(-1, 4)


def overlapping(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return which boxes of `a` overlap which of `b`."""
    return (a[:, None, :2] < b[None, :, 2:]).all(axis=2) & (b[None, :, :2] < a[:, None, 2:]).all(axis=2)


def test_names_are_on_the_map_in_the_list_and_explained(browser, served):
    page = opened(browser, served)
    labels = named(page)
    assert len(labels) == len(TAGS) and all(any(label.startswith(tag) for tag in TAGS) for label in labels)
    assert all(label.endswith(" %") for label in labels)
    assert page.get_attribute(".map-names", "aria-label") == "Clusters in view"
    until(page, "document.querySelectorAll('.cluster-name').length === 3")
    assert set(page.locator(".cluster-name").all_inner_texts()) == set(TAGS)
    why = page.get_attribute(".clusters li:has-text('owls') button", "title")
    assert why.startswith("Tag owls: 9") and "times the share of the whole map" in why
    assert "picture" in page.inner_text(".clusters li >> nth=-1"), "without a name, the number of pictures"


def test_labels_and_bubbles_overlap_nothing(browser, served):
    page = opened(browser, served)
    named(page)
    labels, bubbles = boxes(page, ".map-names li"), boxes(page, ".pinned")
    assert len(bubbles) == GROUPS
    for one in (labels, bubbles):
        assert overlapping(one, one).sum() == len(one), "each overlaps itself only"
    assert not overlapping(labels, bubbles).any()


def test_bubbles_stand_beside_the_points_with_a_line(browser, served, middles):
    page = opened(browser, served)
    ends = cluster_middles(page)
    assert len(ends) == GROUPS
    by_id = {cluster.image_id: ends[cluster.cluster] for cluster in middles}
    made = {image: place for image, *place in thumbnails(page)}
    away = [np.hypot(*np.subtract(made[image], by_id[image])) for image in made]
    assert min(away) > 15, "no bubble is on the middle of its cluster"
    assert max(away) < 120


def test_list_is_ordered_and_filtered_by_name(browser, served):
    page = opened(browser, served)
    named(page)
    page.wait_for_selector("#cluster-order")
    page.select_option("#cluster-order", "name")
    assert page.locator(".cluster-name").all_inner_texts() == sorted(TAGS)
    first = page.inner_text(".clusters li >> nth=0")
    assert first.startswith("ants")
    page.fill("#cluster-filter", "BEE")
    assert page.locator(".clusters li").count() == 1
    assert page.inner_text("#live") == "1 cluster"
    page.press(".clusters button", "Enter")
    page.wait_for_selector("#chosen")
    assert page.get_attribute(".clusters button", "aria-pressed") == "true"
    page.fill("#cluster-filter", "zebra")
    page.wait_for_selector("text=No cluster has such a name")


def test_click_on_a_name_selects_its_cluster(browser, served):
    page = opened(browser, served)
    named(page)
    left, top, right, bottom = boxes(page, ".map-names li:has-text('owls')")[0]
    page.mouse.click((left + right) / 2, (top + bottom) / 2)
    page.wait_for_selector("#chosen")
    assert page.get_attribute(".clusters li:has-text('owls') button", "aria-pressed") == "true"


@at_every_size
def test_names_are_hidden_by_key_and_button(browser, served):
    page = opened(browser, served)
    named(page)
    page.focus("#map-stage")
    page.keyboard.press("n")
    assert page.locator(".map-names >> visible=true").count() == 0
    assert page.get_attribute("#names", "aria-pressed") == "false"
    page.click("#names")
    assert page.locator(".map-names li >> visible=true").count() == len(TAGS)


def test_buttons_are_named_by_their_label_and_key(browser, served):
    page = opened(browser, served)
    names = {button: page.get_attribute(f"#{button}", "aria-label") for button in ("lasso", "pictures", "names", "fit")}
    assert names == {"lasso": "Lasso (l)", "pictures": "Pictures (p)", "names": "Names (n)", "fit": "Fit (0)"}
    for button in page.locator(".map-bar button").all():
        assert button.inner_text() in button.get_attribute("aria-label")


# -- never lost ---------------------------------------------------------------------------------------------


def test_zoom_at_an_empty_spot_ends_at_points(browser, served, middles):
    page = opened(browser, served)
    x, y = to_window(page, middles, FAR)[0]
    page.mouse.move(x, y)
    for _ in range(14):
        page.mouse.wheel(0, -300)
    until(page, SINGLE_IN_VIEW)
    at_rest(page)
    assert page.locator("#fit-lost >> visible=true").count() == 0


def test_empty_view_offers_the_way_back(browser, served):
    page = opened(browser, served)
    for _ in range(5):
        page.click("#zoom-in")
        at_rest(page)
    page.focus("#map-stage")
    for _ in range(60):
        if page.locator("#fit-lost >> visible=true").count():
            break
        page.keyboard.press("ArrowUp")
    assert " ".join(page.inner_text(".map-lost").split()) == "Nothing here · Fit (0)"
    page.click("#fit-lost")
    at_rest(page)
    until(page, f"document.querySelectorAll('.pinned').length === {GROUPS}")
    assert page.locator("#fit-lost >> visible=true").count() == 0


def test_overview_shows_the_view_and_moves_it(browser, served):
    page = opened(browser, served)
    assert page.locator(".overview >> visible=true").count() == 0, "everything is in view"
    for _ in range(3):
        page.click("#zoom-in")
    at_rest(page)
    page.wait_for_selector(".overview >> visible=true")
    left, top, right, bottom = boxes(page, ".overview")[0]
    assert 130 < max(right - left, bottom - top) < 150
    before = boxes(page, ".overview-view")[0]
    middle = (before[:2] + before[2:]) / 2
    page.mouse.move(*middle)
    page.mouse.down()
    down = 15 if middle[1] < (top + bottom) / 2 else -15  # to the middle of the map, away from its edge
    page.mouse.move(middle[0] - 20, middle[1] + down, steps=4)
    page.mouse.up()
    at_rest(page)
    moved = ((after := boxes(page, ".overview-view")[0])[:2] + after[2:]) / 2 - middle
    assert moved == pytest.approx([-20, down], abs=3)


# -- hits of a search ---------------------------------------------------------------------------------------


def test_pictures_of_a_filter_are_shown_on_the_map_and_back(browser, served):
    page = browser.open(f"{served.url}/?where=source = 'scans'")
    page.wait_for_selector("a.tile")
    page.click("#on-map")
    page.wait_for_selector("#hits-said")
    assert page.inner_text("#hits-said") == "9 pictures"
    assert page.get_attribute("#hits", "aria-pressed") == "true"
    assert accessibility_faults(page) == []
    page.reload()
    page.wait_for_selector("#hits-said")
    page.click("#to-search")
    page.wait_for_selector("a.tile")
    assert page.locator("a.tile").count() == 9
    page.go_back()
    page.wait_for_selector("#hits-said")
    page.click("#all-points")
    page.wait_for_selector("#hits-said", state="detached")
    assert page.url.endswith("/map")
    assert page.get_attribute("#hits", "aria-pressed") == "false"


@at_every_size
def test_best_hits_of_a_query_are_shown_by_key(browser, served):
    image = open_generation(served.lake).columns("image_id")["image_id"][3].as_py()
    page = browser.open(f"{served.url}/?like=image:{image}&where=source = 'photos'")
    page.wait_for_selector(".caption .score")
    shown = len(set(shown_ids(page, "a.tile img")))
    page.click("#views a[href='/map']")
    at_rest(page)
    page.keyboard.press("h")
    page.wait_for_selector("#hits-said")
    assert page.inner_text("#hits-said") == "159 hits" and shown > 0
    assert "search=" in page.url
    page.keyboard.press("h")
    page.wait_for_selector("#hits-said", state="detached")


def test_map_without_a_search_has_no_hits_to_show(browser, served):
    page = opened(browser, served)
    page.click("#hits")
    page.wait_for_selector(".toast:has-text('search, or filter, first')")
    assert page.get_attribute("#hits", "aria-pressed") == "false"


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")])
def test_view_with_names_and_hits_is_accessible(browser, served, size, scheme):
    address = "/map?search=/?where=source%20=%20'scans'"
    page = opened(browser, served, address, size=size, color_scheme=scheme, has_touch=size is PHONE)
    page.wait_for_selector("#hits-said")
    named(page)
    page.click("#zoom-in")
    at_rest(page)
    assert accessibility_faults(page) == []
    assert not has_sideways_scroll(page)
    assert page.locator(".overview >> visible=true").count() == int(size is not PHONE)
    if size is PHONE:
        targets = boxes(page, ".map-bar :is(button, select), .map-hits :is(a, button)")
        assert (targets[:, 3] - targets[:, 1]).min() >= 44
