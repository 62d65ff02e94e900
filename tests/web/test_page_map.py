"""The map view of the page: in Chromium, against a running server, with points at known positions."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from imrec_core import Lake
from imrec_core.index.opening import open_generation
from imrec_core.maps.map_table import SCHEMA, Cluster, Map, load_map, save_map
from tests.support.browser import PHONE, accessibility_faults, at_every_size, has_sideways_scroll, until
from tests.support.page import at_rest, draw_line, every_id, liked_ids, selected_count, shown_ids, thumbnails, to_window
from tests.support.serving import Served, serving, web_lake

GROUPS = 3  # of points, in a row, each 2 wide and high, 10 apart
TOP = "document.querySelector('.pinned').getBoundingClientRect().y"
LEFTMOST = "document.querySelector('.pinned').getBoundingClientRect().x"
NOISE = 2  # the last points, above them


def places(count: int) -> np.ndarray:
    """Return the position of each row `(count, 2)`."""
    row = np.arange(count)
    within = row // GROUPS
    xy = np.stack([row % GROUPS * 10 + within % 5 * 0.5, within // 5 * 0.5], axis=1)
    xy[count - NOISE :, 1] = 8 + np.arange(NOISE)
    return xy


def clusters(count: int) -> np.ndarray:
    found = np.arange(count) % GROUPS
    found[count - NOISE :] = -1
    return found


def add_map(lake: Lake, name: str) -> None:
    generation = open_generation(lake)
    ids = generation.columns("image_id")["image_id"].to_pylist()
    xy, cluster = places(len(ids)), clusters(len(ids))
    columns = {"row": np.arange(len(ids)), "image_id": ids, "content": np.zeros(len(ids)), "x": xy[:, 0], "y": xy[:, 1]}
    columns |= {"cluster": cluster, "neighbours": [[]] * len(ids), "distances": [[]] * len(ids)}
    table = pa.table([pa.array(columns[field.name]).cast(field.type) for field in SCHEMA], schema=SCHEMA)
    found = tuple(
        Cluster(c, int((cluster == c).sum()), *np.median(xy[cluster == c], axis=0).tolist(), ids[c], c)
        for c in range(GROUPS)
    )
    save_map(lake, Map(name, "phash", "hamming", "umap", generation.id, {}, 0.5, 1.0, table, found))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    lake = web_lake(tmp_path_factory.mktemp("map"), photos=160)  # more than can have thumbnails at once
    add_map(lake, "look")
    add_map(lake, "other")
    with serving(lake) as running:
        yield running


@pytest.fixture(scope="module")
def ids(served: Served) -> list[str]:
    """Ids of all images, in the order of the rows."""
    return open_generation(served.lake).columns("image_id")["image_id"].to_pylist()


def opened(browser: Any, served: Served, address: str = "/map", **options: Any) -> Any:
    page = browser.open(served.url + address, **options)
    at_rest(page)
    return page


def on_screen(page: Any, served: Served, xy: np.ndarray) -> np.ndarray:
    """Convert positions of the map to window coordinates."""
    return to_window(page, load_map(served.lake, "look").clusters, xy)


def draw(page: Any, served: Served, corners: np.ndarray, *, with_tool: bool = True) -> None:
    """Draw around a polygon of the map, with the lasso or with Shift."""
    path = on_screen(page, served, corners)
    if with_tool:
        page.click("#lasso")
        return draw_line(page, path)
    page.keyboard.down("Shift")
    draw_line(page, path)
    page.keyboard.up("Shift")


def strip(page: Any) -> set[str]:
    """Return the ids of the selected images that are shown."""
    return set(shown_ids(page, ".strip img"))


# Around the lower part of the first group, and higher only around its first column.
LINE = np.array([[-0.75, -0.75], [0.75, -0.75], [0.75, 1.25], [0.25, 1.25], [0.25, 3.75], [-0.75, 3.75]])


def inside_line(count: int) -> np.ndarray:
    x, y = places(count).T
    return np.flatnonzero((x < 0.25) & (y < 3.75) | (x < 0.75) & (y < 1.25))


@pytest.mark.parametrize("with_tool", [True, False])
def test_lasso_selects_exactly_the_points_inside(browser, served, ids, with_tool):
    page = opened(browser, served)
    draw(page, served, LINE, with_tool=with_tool)
    expected = inside_line(len(ids))
    assert len(expected) == 11
    assert strip(page) == {ids[row] for row in expected}
    assert selected_count(page) == len(expected)


def test_selected_images_become_likes(browser, served, ids):
    page = opened(browser, served)
    draw(page, served, LINE)
    page.click("#like-chosen")
    page.wait_for_url("**/?like=*")
    among = {ids[row] for row in inside_line(len(ids))}
    assert set(liked_ids(page)) <= among
    assert len(liked_ids(page)) == min(16, len(among))
    page.wait_for_selector("#tray-like li")
    assert page.locator("#tray-like li").count() == len(liked_ids(page))


def test_search_within_the_line_is_in_the_url(browser, served, ids):
    page = opened(browser, served)
    draw(page, served, LINE)
    page.click("#search-within")
    page.wait_for_url("**/?*polygon=*")
    expected = {ids[row] for row in inside_line(len(ids))}
    page.wait_for_selector("a.tile")
    assert page.inner_text("#said strong") == f"{len(expected)} pictures"
    again = browser.open(page.url)
    again.wait_for_selector("a.tile")
    assert set(every_id(again)) == expected


@at_every_size
def test_cluster_is_selected_from_the_list_by_keyboard(browser, served, ids):
    page = opened(browser, served)
    page.focus(".clusters button >> nth=0")
    page.keyboard.press("Enter")
    cluster = int(page.get_attribute(".clusters button >> nth=0", "data-cluster") or -1)
    expected = {image for image, found in zip(ids, clusters(len(ids))) if found == cluster}
    assert selected_count(page) == len(expected)
    page.click("text=Show more")
    assert strip(page) == expected
    assert page.get_attribute(".clusters button >> nth=0", "aria-pressed") == "true"
    page.focus("#like-chosen")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?like=*")
    assert liked_ids(page)[0] == ids[cluster], "the medoid comes first"


def test_likes_in_the_open_image_are_searched_for_when_it_closes(browser, served, ids):
    page = opened(browser, served)
    page.focus(".clusters button >> nth=0")
    page.keyboard.press("Enter")
    chosen = shown_ids(page, ".strip img")
    page.click(".strip button >> nth=0")
    for key in ("+", "ArrowRight", "-"):
        page.wait_for_selector("dialog .facts.words")
        page.keyboard.press(key)
    assert page.inner_text("dialog .mark") == "− Less like this"
    page.keyboard.press("Escape")
    page.wait_for_url("**/?like=*")
    assert liked_ids(page) == chosen[:1]
    assert page.url.endswith(f"&unlike=image:{chosen[1]}")


def test_part_of_the_open_image_is_searched_for(browser, served, ids):
    page = opened(browser, served)
    page.focus(".clusters button >> nth=0")
    page.keyboard.press("Enter")
    (first, *_) = shown_ids(page, ".strip img")
    page.click(".strip button >> nth=0")
    page.wait_for_selector("dialog .facts.words")
    page.keyboard.press("c")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?like=*")
    assert liked_ids(page) == [f"{first}#0.25,0.25,0.5,0.5"]


@at_every_size
def test_keys_move_zoom_and_reset_the_map(browser, served):
    page = opened(browser, served)
    home, top = page.evaluate(LEFTMOST), page.evaluate(TOP)
    page.focus("#map-stage")
    page.keyboard.press("ArrowRight")
    until(page, f"{LEFTMOST} < {home - 50}")
    assert page.evaluate(TOP) == pytest.approx(top, abs=1)
    page.keyboard.press("0")
    until(page, f"Math.abs({LEFTMOST} - {home}) < 1")
    page.keyboard.press("-")
    until(page, f"{LEFTMOST} > {home + 10}")


@at_every_size
def test_keys_act_at_any_focus_but_arrows_only_on_the_map(browser, served):
    page = opened(browser, served)
    on_page = f"{TOP} + scrollY"  # in a narrow window, focus scrolls the page
    home, top = page.evaluate(LEFTMOST), page.evaluate(on_page)
    page.focus(".clusters button >> nth=0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("p")
    assert page.get_attribute("#pictures", "aria-pressed") == "false"
    page.keyboard.press("p")
    assert (page.evaluate(LEFTMOST), page.evaluate(on_page)) == pytest.approx((home, top), abs=1)
    page.keyboard.press("-")
    until(page, f"{LEFTMOST} > {home + 10}")
    page.focus("#by")
    page.keyboard.press("p")  # the list handles it: it selects the entry with that initial
    assert page.get_attribute("#pictures", "aria-pressed") == "true"


def test_thumbnails_are_of_points_at_high_zoom_and_else_of_clusters(browser, served, ids):
    page = opened(browser, served)
    assert {image for image, *_ in thumbnails(page)} == {ids[c] for c in range(GROUPS)}
    sizes = [int(text) for text in page.locator(".pinned .size").all_inner_texts()]
    assert sorted(sizes) == sorted(np.bincount(clusters(len(ids)) + 1)[1:])
    x, y = on_screen(page, served, np.array([1.0, 0.0]))  # in the lower part of the first group
    page.mouse.move(x, y)
    for _ in range(12):
        page.mouse.wheel(0, -200)
        until(page, "document.querySelector('#map-stage').dataset.state === 'moving'")
        at_rest(page)
        if page.locator(".pinned:not(.medoid)").count():
            break
    near = thumbnails(page)
    assert len(near) > 3
    at = places(len(ids))[[ids.index(image) for image, _, _ in near]]
    shown = np.array([place for _, *place in near])
    for axis in (0, 1):
        line = np.polyfit(at[:, axis], shown[:, axis], 1)
        assert np.abs(np.polyval(line, at[:, axis]) - shown[:, axis]).max() < 1.5, "each thumbnail is at its point"
    apart = np.abs(shown[:, None] - shown).max(axis=2)[np.triu_indices(len(shown), 1)]
    assert apart.min() >= 68, "thumbnails do not overlap"


def test_legend_explains_colours_and_selects(browser, served, ids):
    page = opened(browser, served)
    assert page.locator(".legend").inner_text().startswith(f"{GROUPS} clusters")
    page.select_option("#by", "source")
    page.wait_for_selector(".legend button:has-text('scans')")
    assert "by=source" in page.url
    page.click(".legend button:has-text('scans')")
    sources = open_generation(served.lake).columns("source")["source"].to_pylist()
    assert selected_count(page) == sources.count("scans")
    assert strip(page) == {image for image, source in zip(ids, sources) if source == "scans"}
    page.select_option("#by", "width")
    page.wait_for_selector(".ramp")
    low, high = page.locator(".ramp span:not(.band)").all_inner_texts()
    assert (low, high) == ("140", "320")


def test_points_have_their_colours_and_unselected_ones_fade(browser, served, ids):
    page = opened(browser, served)
    alone = on_screen(page, served, places(len(ids))[-1])
    page.mouse.move(1, 1)
    assert_drawn(page, alone, (158, 160, 168))  # grey, blended with the white background
    page.select_option("#by", "source")
    assert_drawn(page, alone, (234, 174, 40))
    draw(page, served, LINE)
    assert_drawn(page, alone, (252, 241, 219))
    page.click("#clear-chosen")
    assert_drawn(page, alone, (234, 174, 40))


def assert_drawn(page: Any, at: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Wait until a pixel of the window has a colour."""
    place = tuple(np.round(at).astype(int).tolist())
    for _ in range(30):
        seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB").getpixel(place)
        if seen == pytest.approx(colour, abs=6):
            return
    assert seen == pytest.approx(colour, abs=6)


def test_hover_names_the_image_and_a_click_opens_it(browser, served, ids):
    page = opened(browser, served)
    row = len(ids) - 1  # stands alone
    paths = open_generation(served.lake).columns("path")["path"].to_pylist()
    page.mouse.move(*on_screen(page, served, places(len(ids))[row]))
    page.wait_for_selector(f".hover-card div:has-text('{Path(paths[row]).name}')")
    assert ids[row] in (page.get_attribute(".hover-card img", "src") or "")
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector(f"dialog.detail:has-text('{Path(paths[row]).name}')")


def test_thumbnails_can_be_hidden_to_reach_the_points_below(browser, served, ids):
    page = opened(browser, served)
    x, y = on_screen(page, served, places(len(ids))[0])
    page.focus("#map-stage")
    page.keyboard.press("p")
    assert page.locator(".pinned >> visible=true").count() == 0
    assert page.get_attribute("#pictures", "aria-pressed") == "false"
    page.mouse.click(x, y)
    page.wait_for_selector("dialog.detail")  # of the point below
    assert page.locator("#chosen").count() == 0, "a hidden thumbnail takes no click"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.click("#pictures")
    assert page.locator(".pinned >> visible=true").count() == GROUPS


def test_url_marks_an_image(browser, served, ids):
    page = opened(browser, served, f"/map?at={ids[4]}")
    page.wait_for_selector(".ring")
    at_rest(page)
    box, stage = page.locator(".ring").bounding_box(), page.locator("#map-stage").bounding_box()
    assert box and stage
    assert box["x"] + box["width"] / 2 == pytest.approx(stage["x"] + stage["width"] / 2, abs=2)
    assert box["y"] + box["height"] / 2 == pytest.approx(stage["y"] + stage["height"] / 2, abs=2)


def test_detail_links_to_the_image_on_the_map(browser, served, ids):
    page = browser.open(f"{served.url}/?open={ids[4]}")
    page.click("dialog >> text=On the map")
    page.wait_for_selector(".ring")
    assert page.url.endswith(f"/map?at={ids[4]}")
    assert page.locator("dialog").count() == 0
    page.go_back()
    page.wait_for_selector("dialog")


def test_another_map_is_selected_by_name(browser, served):
    page = opened(browser, served)
    page.select_option("#map-name", "other")
    page.wait_for_url("**/map?name=other")
    at_rest(page)
    assert page.input_value("#map-name") == "other"
    page.go_back()
    until(page, "document.querySelector('#map-name')?.value === 'look'")


def test_browser_without_webgl_still_lists_the_clusters(browser, served):
    page = browser.open(f"{served.url}/status")
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page.goto(f"{served.url}/map")
    page.wait_for_selector("text=This browser cannot draw the map")
    page.click(".clusters button >> nth=0")
    page.wait_for_selector(".strip img")
    page.select_option("#by", "source")
    page.wait_for_selector(".legend button:has-text('scans')")


def test_page_without_a_map_says_how_to_make_one(browser, tmp_path):
    with serving(web_lake(tmp_path, photos=10)) as bare:
        page = browser.open(f"{bare.url}/map")
        page.wait_for_selector("text=There is no map yet")
        assert page.locator("code").inner_text() == "imrec map"
        assert accessibility_faults(page) == []
        page.close()  # what it still asks for would fail without the server


@pytest.mark.parametrize(("size", "scheme"), [({"width": 1280, "height": 800}, "light"), (PHONE, "dark")])
def test_view_is_accessible_and_fits(browser, served, size, scheme):
    page = opened(browser, served, size=size, color_scheme=scheme)
    page.select_option("#by", "source")
    page.wait_for_selector(".legend button:has-text('scans')")
    page.click(".clusters button >> nth=0")
    page.wait_for_selector("#chosen")
    assert accessibility_faults(page) == []
    assert not has_sideways_scroll(page)
