"""The open image: zoom, slideshow, facts, likes, and the rectangle to search by; in Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imrec_core.lake import schemas, tags
from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, at_every_size, has_sideways_scroll, pause_clock, until
from tests.support.page import address_params, names, run_search, tray, upload
from tests.support.pictures import encode
from tests.support.serving import serving

FACTS = Path(__file__).parents[2] / "imrec_core/web/static/facts.js"
LARGE = "a-large.jpg"  # the first of the grid
SIZE = (1600, 1200)
CHANGED = 1_514_800_000  # seconds since 1970
HANDHELD = {"size": PHONE, "has_touch": True, "is_mobile": True}
PICTURE = "document.querySelector('dialog img.large').getBoundingClientRect()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of 160 × 120, and a large one with a camera, a time and columns of the user."""
    folder = tmp_path_factory.mktemp("detail")
    toy.write_photos(folder / "photos", range(8), specks=20)
    toy.write_photos(folder / "photos" / "it's sea", range(20, 23))
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "NIKON", "NIKON D750"
    exif.get_ifd(0x8769)[0x9003] = "2018:04:01 08:26:16"
    large = Image.fromarray(toy.photo(99, *SIZE, specks=80))
    (folder / "photos" / LARGE).write_bytes(encode(large, "JPEG", quality=80, exif=exif))
    os.utime(folder / "photos" / LARGE, (CHANGED, CHANGED))
    (folder / "own.csv").write_text(f"path,shelf mark,rating\n{LARGE},it's A/7,4\nphoto_001.jpg,it's A/7,2\n")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    lake = toy.new_lake(folder / "lake", toy.CHEAP, columns=(str(folder / "own.csv"),))
    toy.build(lake)
    with serving(lake) as served:
        yield served.url


def opened(browser: Any, address: str, name: str = LARGE, query: str = "order_by=path", **options: Any) -> Any:
    """Open the page, and one image of its grid."""
    page = browser.open(f"{address}/?{query}", **{"timezone_id": "Asia/Tokyo", **options})
    page.wait_for_selector("a.tile")
    page.click(f"a.tile[title='{name}']")
    ready(page)
    return page


def ready(page: Any) -> None:
    page.wait_for_selector("dialog .facts.words")
    until(page, "document.querySelector('dialog img.large').naturalWidth > 0")


def shown(page: Any) -> str:
    return page.get_attribute("dialog.detail", "aria-label")


def until_shown(page: Any, name: str) -> None:
    """Wait until the dialog shows the image of a name in the grid."""
    until(page, f"document.querySelector('dialog.detail').ariaLabel === '{Path(name).name}'")


def place(page: Any) -> tuple[float, float, float, float]:
    """Return left, top, width and height of the picture in the window."""
    return tuple(page.evaluate(f"(({{ x, y, width, height }}) => [x, y, width, height])({PICTURE})"))


def middle(page: Any) -> tuple[float, float]:
    box = page.locator("dialog .space").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def searches(page: Any) -> list[str]:
    """Collect the requests of searches that the page sends from now on."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data) if "/api/search" in request.url else None)
    return sent


def touch(page: Any, *paths: list[tuple[float, float]]) -> None:
    """Move one finger along each path at the same time, from its first place to its last."""
    session = page.context.new_cdp_session(page)

    def send(kind: str, step: int) -> None:
        points = [{"x": path[step][0], "y": path[step][1], "id": finger} for finger, path in enumerate(paths)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else points})

    send("touchStart", 0)
    for step in range(1, len(paths[0])):
        send("touchMove", step)
    send("touchEnd", -1)


def line(start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> list[tuple[float, float]]:
    return [
        (start[0] + (end[0] - start[0]) * i / steps, start[1] + (end[1] - start[1]) * i / steps)
        for i in range(steps + 1)
    ]


# -- zoom ---------------------------------------------------------------------------------------------------


def test_picture_fits_and_z_shows_its_pixels(browser, address):
    page = opened(browser, address)
    space = page.locator("dialog .space").bounding_box()
    _, _, width, height = place(page)
    assert width == pytest.approx(space["width"], abs=1) and height == pytest.approx(width * 3 / 4, abs=1)
    page.keyboard.press("z")
    assert place(page)[2:] == pytest.approx(SIZE, abs=1)
    assert page.inner_text(".tools button >> nth=0") == "Fit" and page.inner_text(".percent") == "100 %"
    page.click(".tools button:text-is('Fit')")
    assert place(page)[2] == pytest.approx(width, abs=1)
    page.dblclick("dialog .space", position={"x": 100, "y": 300})
    assert place(page)[2:] == pytest.approx(SIZE, abs=1)


def test_small_picture_is_enlarged_at_most_twice(browser, address):
    page = opened(browser, address, "photo_003.jpg")
    assert place(page)[2:] == pytest.approx((320, 240), abs=1)
    page.keyboard.press("z")
    assert place(page)[2:] == pytest.approx((160, 120), abs=1)
    page.keyboard.press("ArrowRight")  # nothing to pan
    until_shown(page, "photo_004.jpg")


def test_wheel_zooms_about_the_pointer(browser, address):
    page = opened(browser, address)
    x, y = middle(page)
    at = (x - 150, y + 60)
    before = place(page)
    page.mouse.move(*at)
    for _ in range(3):
        page.mouse.wheel(0, -200)
    until(page, f"{PICTURE}.width > {before[2] * 2}")
    after = place(page)
    for axis in (0, 1):
        under = [(at[axis] - box[axis]) / box[2 + axis] for box in (before, after)]
        assert under[0] == pytest.approx(under[1], abs=0.005)
    page.mouse.wheel(0, 5000)
    until(page, f"Math.abs({PICTURE}.width - {before[2]}) < 1")
    assert place(page) == pytest.approx(before, abs=1)


def test_zoomed_picture_is_panned_by_drag_and_arrows_within_its_edges(browser, address):
    page = opened(browser, address)
    page.keyboard.press("z")
    x, y = middle(page)
    left, top, _, _ = place(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y - 30, steps=4)
    page.mouse.up()
    assert place(page)[:2] == pytest.approx((left + 40, top - 30), abs=1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert place(page)[:2] == pytest.approx((left + 40 - 80, top - 30 - 80), abs=1)
    assert shown(page) == LARGE
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert place(page)[0] == pytest.approx(page.locator("dialog .space").bounding_box()["x"], abs=1)
    page.keyboard.press("z")
    page.keyboard.press("ArrowRight")
    until(page, f"document.querySelector('dialog.detail').ariaLabel !== '{LARGE}'")


@at_every_size
def test_keys_zoom_in_and_out(browser, address):
    page = opened(browser, address, "photo_003.jpg")
    page.keyboard.press("i")
    assert place(page)[2] == pytest.approx(480, abs=1)
    page.keyboard.press("o")
    assert place(page)[2] == pytest.approx(320, abs=1)
    page.keyboard.press("o")
    assert place(page)[2] == pytest.approx(320, abs=1)


def test_next_picture_is_at_fit(browser, address):
    page = opened(browser, address)
    page.keyboard.press("z")
    page.click("dialog button[aria-label='Next picture']")
    until(page, f"document.querySelector('dialog.detail').ariaLabel !== '{LARGE}'")
    ready(page)
    assert place(page)[2:] == pytest.approx((320, 240), abs=1)


def test_fingers_pinch_pan_and_swipe(browser, address):
    page = opened(browser, address, **HANDHELD)
    x, y = middle(page)
    before = place(page)[2]
    touch(page, line((x - 20, y), (x - 100, y)), line((x + 20, y), (x + 100, y)))
    assert place(page)[2] == pytest.approx(before * 5, rel=0.05)
    left = place(page)[0]
    touch(page, line((x, y), (x - 90, y)))
    assert place(page)[0] == pytest.approx(left - 90, abs=2)
    assert shown(page) == LARGE
    page.keyboard.press("z")
    touch(page, line((x + 80, y), (x - 80, y + 10)))
    until(page, f"document.querySelector('dialog.detail').ariaLabel !== '{LARGE}'")
    ready(page)
    touch(page, line((x - 80, y), (x + 80, y)))
    until_shown(page, LARGE)
    touch(page, line((x, y - 80), (x + 60, y + 80)))  # rather upright
    assert shown(page) == LARGE


def test_full_screen_shows_the_picture_alone(browser, address):
    page = opened(browser, address)
    page.keyboard.press("f")
    until(page, "document.fullscreenElement?.className.startsWith('stage')")
    page.keyboard.press("ArrowRight")
    until(page, f"document.querySelector('dialog.detail').ariaLabel !== '{LARGE}'")
    page.click(".tools button:text-is('Full screen')")
    until(page, "!document.fullscreenElement")
    assert page.is_visible("dialog.detail")


def prepare_slideshow(page: Any) -> None:
    """Install a clock that can be paused, and count the large pictures that fade in."""
    page.clock.install()
    page.add_init_script(
        """window.faded = 0;
        const animate = Element.prototype.animate;
        Element.prototype.animate = function (...how) {
            if (this.matches("img.large")) faded += 1;
            return animate.apply(this, how);
        };"""
    )


@at_every_size
@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_slideshow_steps_until_a_key_is_pressed(browser, address, motion):
    page = opened(browser, address, before=prepare_slideshow, reduced_motion=motion)
    every = names(page)
    pause_clock(page)
    page.keyboard.press("p")
    assert page.inner_text(".tools button[aria-pressed=true]") == "Pause (4 s)"
    page.clock.run_for(3900)
    assert shown(page) == LARGE
    page.clock.run_for(200)
    until_shown(page, every[1])
    ready(page)
    assert page.evaluate("faded") == (0 if motion == "reduce" else 1)
    page.keyboard.press("z")
    assert page.inner_text(".tools button[aria-keyshortcuts=p]") == "Slideshow"
    page.clock.run_for(10_000)
    assert shown(page) == Path(every[1]).name


def test_slideshow_ends_at_the_last_picture_and_by_its_button(browser, address):
    page = opened(browser, address, before=lambda page: page.clock.install())
    last = names(page)[-1]
    page.click(".tools button:text-is('Slideshow')")
    page.click(".tools button:text-is('Pause (4 s)')")
    assert page.is_visible(".tools button:text-is('Slideshow')")
    page.keyboard.press("Escape")
    page.click(f'a.tile[title="{last}"]')
    ready(page)
    page.keyboard.press("p")
    assert page.is_visible(".tools button:text-is('Slideshow')")


# -- facts --------------------------------------------------------------------------------------------------


def test_facts_are_in_words(browser, address, folder):
    page = opened(browser, address)
    facts = page.locator("dialog .facts.words").inner_text()
    kilobytes = (folder / "photos" / LARGE).stat().st_size / 1000
    for words in (
        f"1600 × 1200 · JPEG · {kilobytes:.1f} kB",
        "1 Apr 2018, 08:26",  # as stored, whatever the time zone of the browser
        "NIKON D750",
        "1 Jan 2018, 18:46",  # CHANGED in Tokyo
        "it's A/7",
    ):
        assert words in facts
    assert "content_hash" not in facts and "mtime_ns" not in facts
    assert page.inner_text("dialog .copying .path") == str(folder / "photos" / LARGE)
    assert not page.is_visible("dialog .technical dl")
    page.click("dialog summary:text-is('Technical details')")
    technical = page.inner_text("dialog .technical")
    assert re.search(r"image_id\s+[0-9a-f]{16}", technical) and f"{CHANGED}000000000" in technical


@pytest.mark.parametrize(
    ("words", "where", "count"),
    [
        ("Same size", "width = 1600 AND height = 1200", 1),
        ("Same format", "format = 'JPEG'", 12),
        ("Same camera", "camera = 'NIKON D750'", 1),
        ("Same day", "CAST(taken AS DATE) = '2018-04-01'", 1),
        ("Same folder", "source = 'photos' AND NOT contains(path, '/')", 9),
        ("Same shelf mark", "\"shelf mark\" = 'it''s A/7'", 2),
        ("Same rating", "rating = 4", 1),
    ],
)
def test_fact_becomes_a_filter(browser, address, words, where, count):
    page = opened(browser, address)
    found = run_search(page, lambda: page.click(f"dialog button:text-is('{words}')"))
    page.wait_for_selector("dialog", state="detached")
    assert address_params(page)["where"] == [where] and page.input_value("#where") == where
    assert LARGE in found and len(found) == count


def test_fact_is_added_to_the_filter_of_the_search(browser, address):
    page = opened(browser, address, "it\\'s sea/photo_021.jpg", query="where=width=160 OR width=1600")
    found = run_search(page, lambda: page.click("dialog button:text-is('Same folder')"))
    folder = "source = 'photos' AND starts_with(path, 'it''s sea/')"
    assert address_params(page)["where"] == [f"(width=160 OR width=1600) AND {folder}"]
    assert len(found) == 3
    page.click("a.tile >> nth=0")
    ready(page)
    run_search(page, lambda: page.click("dialog button:text-is('Same folder')"))  # again
    assert address_params(page)["where"] == [f"(width=160 OR width=1600) AND {folder}"]


def test_path_and_id_are_copied(browser, address, folder):
    page = opened(browser, address, permissions=["clipboard-read", "clipboard-write"])
    page.click("dialog button:text-is('Copy path')")
    page.wait_for_selector("dialog [role=status]:text-is('Copied')")
    assert page.evaluate("navigator.clipboard.readText()") == str(folder / "photos" / LARGE)
    page.click("dialog button:text-is('Copy id')")
    until(page, f"navigator.clipboard.readText().then((text) => text === '{address_params(page)['open'][0]}')")


def test_text_is_selected_where_the_clipboard_is_refused(browser, address, folder):
    page = opened(browser, address)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    page.click("dialog button:text-is('Copy path')")
    page.wait_for_selector("dialog [role=status]:has-text('Ctrl+C')")
    assert page.evaluate("String(getSelection())") == str(folder / "photos" / LARGE)


def test_known_columns_are_those_of_every_lake():
    text = re.search(r"BUILT_IN = \[(.*?)\]", FACTS.read_text(), re.DOTALL)[1]
    hidden = {"row", "shard", "removed"}
    assert set(re.findall(r'"(\w+)"', text)) == {*schemas.ROWS.names, tags.COLUMN} - hidden


# -- likes --------------------------------------------------------------------------------------------------


def test_like_keeps_the_picture_open_and_searches_once_when_it_closes(browser, address):
    page = opened(browser, address)
    every, sent, steps = names(page), searches(page), page.evaluate("history.length")
    page.keyboard.press("+")
    assert page.inner_text("dialog .mark") == "+ Liked" and shown(page) == LARGE
    assert page.get_attribute("dialog button:text-is('+ Like')", "aria-pressed") == "true"
    page.keyboard.press("ArrowRight")
    until_shown(page, every[1])
    assert page.is_hidden("dialog .mark")
    page.click("dialog button:text-is('− Less like this')")
    assert page.inner_text("dialog .mark") == "− Less like this"
    page.keyboard.press("ArrowLeft")
    until_shown(page, LARGE)
    assert page.inner_text("dialog .mark") == "+ Liked"
    assert sent == []
    run_search(page, lambda: page.keyboard.press("Escape"))
    page.wait_for_selector("dialog", state="detached")
    assert len(sent) == 1
    assert (tray(page, "like"), tray(page, "unlike")) == ([LARGE], [Path(every[1]).name])
    assert page.evaluate("history.length") == steps  # in place of the open picture
    run_search(page, page.go_back)
    assert names(page) == every


@at_every_size
def test_like_is_taken_back_by_the_same_key(browser, address):
    page = opened(browser, address)
    sent = searches(page)
    page.keyboard.press("+")
    page.keyboard.press("-")
    assert page.inner_text("dialog .mark") == "− Less like this"
    page.keyboard.press("-")
    assert page.is_hidden("dialog .mark")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    until(page, "!location.search.includes('open=')")
    assert sent == [] and tray(page, "like") == []


def test_back_button_closes_the_picture_and_searches_by_the_likes(browser, address):
    page = opened(browser, address)
    page.keyboard.press("+")
    run_search(page, page.go_back)
    assert tray(page, "like") == [LARGE] and page.locator("dialog").count() == 0


def test_like_goes_along_with_a_filter_by_a_fact(browser, address):
    page = opened(browser, address)
    page.keyboard.press("+")
    run_search(page, lambda: page.click("dialog button:text-is('Same format')"))
    assert tray(page, "like") == [LARGE] and address_params(page)["where"] == ["format = 'JPEG'"]


def test_like_survives_the_map_and_a_reload(browser, address):
    browser.allow("/api/map")  # the lake has no map
    page = opened(browser, address)
    page.keyboard.press("+")
    page.click("dialog a:text-is('On the map')")
    page.wait_for_selector("dialog", state="detached")
    run_search(page, page.go_back)
    ready(page)
    assert page.inner_text("dialog .mark") == "+ Liked" and tray(page, "like") == [LARGE]
    page.reload()
    ready(page)
    assert page.inner_text("dialog .mark") == "+ Liked" and tray(page, "like") == [LARGE]
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    until(page, "!location.search.includes('open=')")
    assert [entry.partition(":")[0] for entry in address_params(page)["like"]] == ["image"]


# -- a part of a picture ------------------------------------------------------------------------------------


def part(page: Any) -> list[float]:
    (entry,) = address_params(page)["like"]
    return [float(number) for number in entry.partition("#")[2].split(",")]


@at_every_size
def test_part_is_chosen_by_keyboard_and_kept_in_the_address(browser, address):
    page = opened(browser, address)
    sent = searches(page)
    page.keyboard.press("c")
    assert page.evaluate("document.activeElement.className") == "crop-box"
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown", "+", "m"):
        page.keyboard.press(key)
    assert page.inner_text(".crop-bar p") == "51 % wide, 51 % high, from 24 % left, 23 % top"
    found = run_search(page, lambda: page.keyboard.press("Enter"))
    page.wait_for_selector("dialog", state="detached")
    assert part(page) == [0.24, 0.23, 0.51, 0.51]
    assert '"crop":[0.24,0.23,0.51,0.51]' in sent[-1]
    assert tray(page, "like") == [f"part of {LARGE}"]
    assert page.locator("#tray-like canvas.part").count() == 1
    page.reload()
    page.wait_for_selector(".caption .score")
    until(page, f"document.querySelector('#tray-like .name').textContent === 'part of {LARGE}'")
    assert names(page) == found and LARGE not in found


def test_part_is_scored_otherwise_than_the_whole(browser, address):
    scores = "[...document.querySelectorAll('.caption .score')].map((one) => one.textContent).join()"
    page = opened(browser, address)
    whole = run_search(page, lambda: page.keyboard.press("m"))
    of_whole = page.evaluate(scores)
    page = opened(browser, address)
    page.keyboard.press("c")
    for _ in range(40):
        page.keyboard.press("Shift+ArrowLeft")
    found = run_search(page, lambda: page.click("text=Search by this part"))
    assert sorted(found) == sorted(whole)
    assert of_whole.count(",") == page.evaluate(scores).count(",") == len(whole) - 1
    assert page.evaluate(scores) != of_whole


def test_part_is_drawn_moved_and_resized_by_the_mouse(browser, address):
    page = opened(browser, address)
    page.click(".tools button:text-is('Search by a part')")
    x, y, width, height = place(page)

    def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        page.mouse.move(x + start[0] * width, y + start[1] * height)
        page.mouse.down()
        page.mouse.move(x + end[0] * width, y + end[1] * height, steps=5)
        page.mouse.up()

    drag((0.05, 0.1), (0.15, 0.2))  # new
    drag((0.15, 0.2), (0.6, 0.7))  # its corner
    drag((0.3, 0.4), (0.4, 0.3))  # moved
    assert page.inner_text(".crop-bar p") == "55 % wide, 60 % high, from 15 % left, 0 % top"
    drag((0.4, 0.3), (1.5, 0.3))  # not beyond the picture
    run_search(page, lambda: page.click("text=Search by this part"))
    assert part(page) == pytest.approx([0.45, 0, 0.55, 0.6], abs=0.01)


def test_part_is_drawn_by_a_finger(browser, address):
    page = opened(browser, address, **HANDHELD)
    page.tap(".tools button:text-is('Search by a part')")
    page.wait_for_selector(".crop-box")
    x, y, width, height = place(page)
    touch(page, line((x + 0.02 * width, y + 0.02 * height), (x + 0.12 * width, y + 0.5 * height)))
    buttons = page.locator(".crop-bar button").all()
    assert [button.bounding_box()["height"] >= 44 for button in buttons] == [True, True]
    until(page, "document.querySelector('.crop-bar p').textContent.startsWith('10 % wide')")
    run_search(page, lambda: page.click("text=Search by this part"))  # a tap soon after a drag may count as its end
    assert part(page) == pytest.approx([0.02, 0.02, 0.1, 0.48], abs=0.02)


def test_escape_leaves_the_part_and_then_the_picture(browser, address):
    page = opened(browser, address)
    page.keyboard.press("c")
    page.keyboard.press("Escape")
    assert page.is_hidden(".crop-box") and page.is_visible("dialog.detail")
    assert page.evaluate("document.activeElement.textContent") == "Search by a part"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_whole_picture_as_a_part_is_the_picture(browser, address):
    page = opened(browser, address)
    page.keyboard.press("c")
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    for _ in range(60):
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
    run_search(page, lambda: page.keyboard.press("Enter"))
    assert "#" not in address_params(page)["like"][0] and tray(page, "like") == [LARGE]


def test_part_of_an_uploaded_image(browser, address, folder):
    page = browser.open(address)
    page.wait_for_selector("a.tile")
    whole = upload(page, folder / "photos" / "photo_003.jpg")
    page.click("#tray-like button[title='Search by a part of photo_003.jpg']")
    page.wait_for_selector(".part-dialog .crop-box")
    page.keyboard.press("Shift+ArrowLeft")
    found = run_search(page, lambda: page.keyboard.press("Enter"))
    assert part(page) == [0.25, 0.25, 0.49, 0.5] and tray(page, "like") == ["part of photo_003.jpg"]
    assert sorted(found) == sorted(whole)
    page.click("#tray-like button[title='Search by a part of photo_003.jpg']")
    until(page, "document.querySelector('.part-dialog .crop-bar p')?.textContent.startsWith('49 % wide')")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_explanation_frames_the_part(browser, address):
    def matching(route: Any) -> None:  # a smooth photo has no details of its own
        route.fulfill(json={**route.fetch().json(), "points": [[600, 500, 80, 60]], "alike": 1, "agree": 1})

    page = opened(browser, address, before=lambda page: page.route("**/api/explain", matching))
    page.keyboard.press("c")
    run_search(page, lambda: page.keyboard.press("Enter"))
    page.click("a.tile >> nth=0")
    page.wait_for_selector("dialog .lines")
    frame = page.locator("dialog .part-box").evaluate(
        "one => ['x', 'y', 'width', 'height'].map((name) => +one.getAttribute(name))"
    )
    assert frame == [100, 75, 200, 150]  # of 400 × 300


def test_part_beyond_the_image_is_refused_with_the_reason(browser, address):
    browser.allow("answered 400")
    page = opened(browser, address)
    image_id = address_params(page)["open"][0]
    other = browser.open(f"{address}/?like=image:{image_id}%231500,0,200,100")
    assert "extends beyond the image" in other.inner_text(".error[role=alert]")


# -- accessibility ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1440, 1100, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_fault(browser, address, width, scheme):
    touches = {"has_touch": True, "is_mobile": True} if width < 500 else {}
    size = {"width": width, "height": 844}
    page = opened(browser, address, size=size, color_scheme=scheme, **touches)
    page.click("dialog summary:text-is('Technical details')")
    page.keyboard.press("+")
    assert accessibility_faults(page) == [] and not has_sideways_scroll(page)
    page.keyboard.press("c")
    assert accessibility_faults(page) == [] and not has_sideways_scroll(page)


def test_controls_of_the_open_picture_are_large_enough_for_a_finger(browser, address):
    page = opened(browser, address, **HANDHELD)
    small = "all => all.filter((one) => one.offsetHeight && one.offsetHeight < 44).map((one) => one.textContent)"
    assert page.eval_on_selector_all("dialog :is(button, .button, summary)", small) == []
