"""The page and the API over real photos show what the core finds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image

from imrec_core import ImageId, Lake, Recommender
from imrec_core.catalog import ids
from imrec_core.duplicates.decisions import load_decisions
from imrec_core.maps.map_table import Map, load_map
from tests.support import toy
from tests.support.browser import SIZES, accessibility_faults, has_sideways_scroll, until
from tests.support.page import (
    address_params,
    adjust,
    at_rest,
    draw_line,
    every_id,
    liked_ids,
    names,
    run_search,
    selected_count,
    shown_ids,
    to_window,
    tray,
    upload,
    write_sql,
)
from tests.support.pictures import encode, noise
from tests.support.real import COPIES, copy_lake, start_command
from tests.support.serving import Served, serving

pytestmark = pytest.mark.slow

BUS, MOUNTAIN, BIRD = "corel_buses/corel_354.jpg", "corel_mountains/corel_867.jpg", "in_bird/n02058221_albatross.JPEG"


@pytest.fixture(scope="module")
def served(real_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over a copy of the lake, with its model loaded."""
    with serving(copy_lake(real_lake, tmp_path_factory.mktemp("served"))) as running:
        answer = httpx.post(f"{running.url}/api/search", files={"images": encode(noise(64, 64), "PNG")}, timeout=60)
        assert answer.status_code == 200
        yield running


@pytest.fixture(scope="module")
def recommender(real_lake: Lake) -> Recommender:
    return Recommender.open(real_lake)


@pytest.fixture(scope="module")
def photos(real_lake: Lake) -> Path:
    return real_lake.root.parent / "photos"


@pytest.fixture
def page(browser: Any, served: Served) -> Any:
    return opened(browser, served, "/", "a.tile")


def opened(browser: Any, served: Served, address: str, what: str, **options: Any) -> Any:
    """Open a page, and wait for a CSS selector."""
    page = browser.open(served.url + address, **options)
    page.set_default_timeout(60_000)  # during a build, or a search for duplicates
    page.wait_for_selector(what)
    return page


def shown(page: Any) -> list[str]:
    return shown_ids(page, "a.tile img")[:30]


def found(recommender: Recommender, **asked: Any) -> list[str]:
    """Return the first images that the core finds for the `k` of the page."""
    return toy.ids(recommender.search(k=60, **asked))[:30]


# -- search -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("photo", "first"), [(BIRD, set()), (BUS, set()), (MOUNTAIN, {"smaller.jpg"})])
def test_photo_finds_its_copy_first_and_not_its_own_bytes(page, photos, recommender, photo, first):
    hits = upload(page, photos / photo)
    assert set(hits[: len(first)]) == first and not {photo, "exact.jpg"} & set(hits)
    assert shown(page) == found(recommender, like=(photos / photo).read_bytes())


def test_sliders_and_tray_give_the_order_of_the_core(page, photos, recommender):
    upload(page, photos / BUS)
    by = {"efficientnet_lite0": 1.0}
    alone = shown(page)
    adjust(page)
    page.focus("#weight-hsv_histogram")
    run_search(page, lambda: page.keyboard.press("End"))
    assert shown(page) == found(recommender, like=(photos / BUS).read_bytes(), by=by | {"hsv_histogram": 1.0}) != alone
    page.focus("#weight-hsv_histogram")
    run_search(page, lambda: page.keyboard.press("Home"))
    assert shown(page) == alone
    page.locator("a.tile").nth(5).focus()
    run_search(page, lambda: page.keyboard.press("+"))
    page.locator("a.tile").nth(8).focus()
    unliked = shown(page)[8]
    run_search(page, lambda: page.keyboard.press("-"))
    assert [len(tray(page, side)) for side in ("like", "unlike")] == [2, 1]
    asked = {"like": [(photos / BUS).read_bytes(), ImageId(alone[5])], "unlike": [ImageId(unliked)]}
    assert shown(page) == found(recommender, **asked) != alone


def test_more_like_this_has_its_own_url_and_back_returns(page, browser, served, photos, recommender):
    first = upload(page, photos / BIRD)
    nearest = shown(page)[0]
    page.click("a.tile >> nth=0")
    page.wait_for_selector("dialog .facts")
    run_search(page, lambda: page.click("text=More like this"))
    assert shown(page) == found(recommender, like=ImageId(nearest))
    assert names(opened(browser, served, page.url.removeprefix(served.url), ".caption .score")) == names(page)
    page.wait_for_selector("dialog", state="detached")
    assert run_search(page, page.go_back) == first


def test_filter_error_is_shown_and_a_filter_applies(page, browser):
    browser.allow("answered 400 : POST")
    write_sql(page, "widht > height")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert "No column named 'widht'; did you mean 'width'?" in page.inner_text("#where-error")
    write_sql(page, "path LIKE 'corel_horses/%' AND width > height")
    run_search(page, lambda: page.press("#where", "Enter"))
    assert len(names(page)) == 30 and all(name.startswith("corel_horses/") for name in names(page))


def test_noise_has_no_good_match_and_an_edited_photo_has(page, photos, tmp_path):
    (tmp_path / "drawn.png").write_bytes(encode(noise(320, 240, seed=1), "PNG"))
    with Image.open(photos / BUS) as bus:
        bus.crop((20, 15, 360, 240)).save(tmp_path / "cropped.jpg", quality=80)
    page.click("summary:has-text('More options')")
    run_search(page, lambda: page.select_option("#rate", "0.01"))
    assert upload(page, tmp_path / "drawn.png") == []
    assert page.inner_text(".empty h2") == page.inner_text("#live") == "No good match"
    run_search(page, lambda: page.click("[aria-label='Remove drawn.png']"))
    assert set(upload(page, tmp_path / "cropped.jpg")[:2]) == {BUS, "exact.jpg"}


# -- duplicates ---------------------------------------------------------------------------------------------


@contextmanager
def copies(browser: Any, served: Served) -> Iterator[Any]:
    """Open the duplicates of the lake; removes decisions after the block."""
    try:
        yield opened(browser, served, "/duplicates", ".group")
    finally:
        served.lake.save_decisions({"format": 1, "not_duplicate": [], "keep": []})


def planned(page: Any) -> list[str]:
    """Return the names of the files that the plan moves."""
    with page.expect_download() as downloading:
        page.click("#plan")
    plan = json.loads(Path(downloading.value.path()).read_text())
    return sorted(Path(move["file"]["path"]).name for move in plan["moves"])


def test_copies_are_the_duplicates_and_the_plan_moves_them(browser, served):
    with copies(browser, served) as page:
        assert page.locator(".group").count() == len(COPIES)
        text = page.inner_text("main")
        for name, photo in COPIES.items():
            assert f"photos/{photo}" in text and f"copies/{name}" in text
        assert planned(page) == sorted(COPIES)


def test_kept_copy_replaces_its_photo_until_undone(browser, served):
    with copies(browser, served) as page:
        copy = page.locator(".copy", has_text="copies/smaller.jpg")
        copy.locator("text=Always keep").click()
        until(page, "document.querySelector('#decided').textContent.includes('1 file always kept')")
        assert copy.locator(".fate").inner_text() == "always stays"
        assert planned(page) == [Path(MOUNTAIN).name, "encoded.jpg", "exact.jpg"]  # the photo in place of its copy
        page.locator(".toast >> text=Undo").click()
        until(page, "!document.querySelector('#decided').textContent.includes('always kept')")
        assert planned(page) == sorted(COPIES)


def test_pair_marked_as_no_duplicates_is_no_group_until_undone(browser, served):
    with copies(browser, served) as page:
        page.locator(".group", has_text="copies/encoded.jpg").locator("text=Not duplicates").click()
        until(page, "document.querySelector('#decided').textContent.includes('1 pair')")
        again = opened(browser, served, "/duplicates", ".group")
        assert again.locator(".group").count() == len(COPIES) - 1
        assert "encoded.jpg" not in again.inner_text("main")
        assert planned(again) == ["exact.jpg", "smaller.jpg"]
        page.locator(".toast >> text=Undo").click()
        until(page, "!document.querySelector('#decided').textContent.includes('pair')")
        assert load_decisions(served.lake).not_duplicate == frozenset()
        assert planned(page) == sorted(COPIES)


# -- the map ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(served: Served) -> Map:
    return load_map(served.lake, "efficientnet_lite0")


def places(made: Map) -> tuple[np.ndarray, np.ndarray]:
    """Return image ids and positions `(n, 2)` of a map."""
    return made.table["image_id"].to_numpy(), np.stack([made.table["x"], made.table["y"]], axis=1).astype(np.float64)


def around(middle: np.ndarray, radius: float) -> np.ndarray:
    """Return a polygon of twelve corners `(12, 2)`."""
    angles = np.arange(12) / 6 * np.pi
    return middle + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def draw(page: Any, made: Map, corners: np.ndarray) -> np.ndarray:
    """Draw around positions of the map; return the corners in window coordinates."""
    box = page.locator("#map-stage").bounding_box()
    low, high = (box["x"] + 3, box["y"] + 3), (box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
    line = np.clip(to_window(page, made.clusters, corners), low, high)
    page.click("#lasso")
    draw_line(page, line)
    return line


def test_lasso_selects_exactly_the_points_inside(browser, served, made):
    ids, xy = places(made)
    page = opened(browser, served, "/map", "#map-stage[data-state=rest]")
    middle = np.median(xy, axis=0)
    line = draw(page, made, around(middle, float(np.quantile(np.linalg.norm(xy - middle, axis=1), 0.4))))
    seen, centre = to_window(page, made.clusters, xy), line.mean(axis=0)
    count = selected_count(page)
    while page.is_visible("text=Show more"):
        page.click("text=Show more")
    inside = shown_ids(page, ".strip img")
    assert len(inside) == len(set(inside)) == count > 50
    well_inside, about = (Outline(centre + (line - centre) * by).contains_points(seen) for by in (0.98, 1.02))
    assert set(ids[well_inside]) <= set(inside) <= set(ids[about])
    page.click("#search-within")
    page.wait_for_url("**/?*polygon=*")
    polygon = np.array(address_params(page)["polygon"][0].split(), float).reshape(-1, 2)
    assert set(inside) == set(ids[Outline(polygon).contains_points(xy)])
    until(page, f"document.querySelector('#said strong')?.textContent === '{count:,} pictures'", 60)
    assert set(every_id(page)) == set(inside)


def test_cluster_inside_a_lasso_becomes_likes_and_a_search_area(browser, served, made, recommender):
    ids, xy = places(made)
    kinds = zip(made.clusters, paths(recommender, [cluster.image_id for cluster in made.clusters]))
    buses = next(cluster for cluster, path in kinds if path.startswith("corel_buses/"))
    middle, its = np.array([buses.x, buses.y]), xy[made.table["cluster"].to_numpy() == buses.cluster]
    corners = around(middle, 1.1 * float(np.linalg.norm(its - middle, axis=1).max()))

    page = opened(browser, served, "/map", "#map-stage[data-state=rest]")
    draw(page, made, corners)
    run_search(page, lambda: page.click("#like-chosen"))
    assert len(liked_ids(page)) == page.locator("#tray-like li").count() == 16
    like = [ImageId(image) for image in liked_ids(page)]
    assert shown(page) == found(recommender, like=like)
    assert sum(path.startswith("corel_buses/") for path in paths(recommender, shown(page))) >= 25

    page.click("#views >> text=Map")
    at_rest(page)
    draw(page, made, corners)
    run_search(page, lambda: page.click("#search-within"))
    polygon = np.array(address_params(page)["polygon"][0].split(), float).reshape(-1, 2)
    among = ids[Outline(polygon).contains_points(xy)].tolist()
    assert shown(page) == found(recommender, like=like, among=among)


def paths(recommender: Recommender, ids: Iterable[str]) -> list[str]:
    """Return paths relative to the sources."""
    generation = recommender.generation
    return generation.columns("path")["path"].take(generation.rows_of(list(ids))).to_pylist()


# -- accessibility and changes of the lake ------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_no_view_has_a_serious_accessibility_fault(browser, served, width, height, scheme):
    like = f"like=image:{ids.image_id('photos', BIRD)}"
    views = {
        "/": "a.tile",
        f"/?{like}": ".caption .score",
        f"/?{like}&open={ids.image_id('photos', BUS)}": "dialog .facts.words",
        "/duplicates": ".group",
        "/map": "#map-stage[data-state=rest]",
        "/issues": "#issue-failed, .issue-counts",
        "/issues/outliers": "main h2, main h1",
        "/issues/labels": "main h2, main h1",
        "/issues/tags": "main h2, main h1",
        "/issues/failures": "main h2, main h1",
        "/status": "#runs",
        "/no-such-page": "h1",
    }
    size = {"width": width, "height": height}
    browser.allow("/no-such-page")
    for address, what in views.items():
        page = opened(browser, served, address, what, size=size, color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_selector(".busy", state="detached")
        assert accessibility_faults(page) == [], address
        assert not has_sideways_scroll(page), address


def test_generation_published_during_searches_serves_the_next_one(browser, real_lake, recommender, photos, tmp_path):
    (tmp_path / "new").mkdir()
    with Image.open(photos / BIRD) as bird:
        bird.crop((10, 10, bird.width - 10, bird.height - 10)).save(tmp_path / "new" / "fresh.jpg")
    like = ImageId(ids.image_id("photos", BIRD))
    with serving(copy_lake(real_lake, tmp_path)) as served:
        page = opened(browser, served, f"/?like=image:{like.value}", ".caption .score")
        with (
            start_command("build", f"new={tmp_path / 'new'}", lake=served.lake) as build,
            ThreadPoolExecutor(2) as pool,
        ):
            asked = list(pool.map(lambda _: search_until(build, served, like), range(2)))
        assert build.returncode == 0
        old, new = (found(of, like=like) for of in (recommender, Recommender.open(served.lake)))
        fresh = ids.image_id("new", "fresh.jpg")
        assert fresh in new[:2] and fresh not in old
        for answers in asked:
            turn = answers.index(new)
            assert turn > 0 and answers == [old] * turn + [new] * (len(answers) - turn)
        assert shown(page) == old
        adjust(page)
        page.focus("#weight-phash")
        run_search(page, lambda: page.keyboard.press("End"))
        assert fresh in shown(page)
        page.wait_for_selector(".toast:has-text('The lake has changed')")
        page.close()  # what it still asks for would fail without the server


def search_until(build: subprocess.Popen[bytes], served: Served, like: ImageId) -> list[list[str]]:
    """Repeat a search until a build has ended, and once more; return the images of each response."""
    answers = []
    with httpx.Client(base_url=served.url, timeout=60) as client:
        for _ in chain(iter(build.poll, 0), [None]):
            answer = client.post("/api/search", json={"like": [{"image_id": like.value}]}).raise_for_status()
            answers.append([hit["image_id"] for hit in answer.json()["hits"]][:30])
    return answers
