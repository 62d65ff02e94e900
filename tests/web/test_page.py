"""The search view of the page: in Chromium, against a running server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, at_every_size, has_sideways_scroll, until
from tests.support.page import address_params, adjust, every_name, names, run_search, show_sql, tray, upload, write_sql
from tests.support.pictures import encode
from tests.support.serving import serving

PHOTOS = 70  # more than a page of hits
HOSTILE = ("<img src=x onerror=alert(1)>.jpg", '"onload="alert(1).jpg', "${1+1}&lt;b&gt;.jpg", "\u202egpj.exe.jpg")
EVERY = PHOTOS + 1 + len(HOSTILE)
MIX = {"phash": 1.0, "hsv_histogram:manhattan": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, one of them twice, and some with markup as their names."""
    folder = tmp_path_factory.mktemp("page")
    toy.write_photos(folder / "photos", range(PHOTOS), specks=20)
    (folder / "photos" / "copy.jpg").write_bytes((folder / "photos" / "photo_003.jpg").read_bytes())
    for seed, name in enumerate(HOSTILE, 200):
        (folder / "photos" / name).write_bytes(encode(toy.photo(seed), "JPEG"))
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """URL of a server over a lake of these photos."""
    lake = toy.new_lake(folder / "lake", toy.CHEAP, mixes={"shapes": MIX})
    toy.build(lake)
    with serving(lake) as served:
        yield served.url


@pytest.fixture
def page(browser, address: str) -> Any:
    """The page with the images of the lake; queries may be hits of themselves."""
    return opened(browser, f"{address}/?with_self=yes")


def opened(browser: Any, address: str, **options: Any) -> Any:
    page = browser.open(address, **options)
    page.wait_for_selector("a.tile")
    return page


# -- queries ------------------------------------------------------------------------------------------------


def test_page_without_a_query_shows_the_images_of_the_lake(page):
    assert len(names(page)) == 30
    assert page.locator(".caption .score").count() == 0
    assert "pictures" in page.inner_text("#live")


def test_uploaded_image_finds_itself_and_its_copy(page, folder):
    found = upload(page, folder / "photos" / "photo_003.jpg")
    assert set(found[:2]) == {"copy.jpg", "photo_003.jpg"}
    assert page.locator(".caption .score").first.inner_text() == "1.000"
    assert page.locator(".caption .bars i").first.get_attribute("title").startswith("rgb_histogram: score 1.000")
    assert tray(page, "like") == ["photo_003.jpg"]
    (said,) = address_params(page)["like"]
    assert re.fullmatch("upload:[0-9a-f]{32}", said)
    page.reload()
    page.wait_for_selector(".caption .score")
    assert (names(page), tray(page, "like")) == (found, ["photo_003.jpg"])
    assert page.inner_text("#live") == f"Nearest first, of {EVERY} pictures"


def test_uploaded_image_is_no_hit_unless_asked_for(browser, address, folder):
    page = opened(browser, address)
    assert not {"copy.jpg", "photo_003.jpg"} & set(upload(page, folder / "photos" / "photo_003.jpg"))
    page.click("summary:has-text('More options')")
    found = run_search(page, lambda: page.check("#with_self"))
    assert set(found[:2]) == {"copy.jpg", "photo_003.jpg"} and address_params(page)["with_self"] == ["yes"]
    assert not {"copy.jpg", "photo_003.jpg"} & set(run_search(page, lambda: page.uncheck("#with_self")))


def test_several_images_are_uploaded_in_one_request(page, folder):
    sent = []
    page.on("request", lambda request: sent.append(request.method) if "/api/search" in request.url else None)
    found = upload(page, folder / "photos" / "photo_005.jpg", folder / "photos" / "photo_009.jpg")
    assert tray(page, "like") == ["photo_005.jpg", "photo_009.jpg"]
    assert {"photo_005.jpg", "photo_009.jpg"} <= set(found[:10])
    assert sent == ["POST"]


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_images_can_be_pasted_and_dropped_anywhere(page, event):
    act = f"""async () => {{
        const bytes = await (await fetch(document.querySelector("a.tile img").src)).blob();
        const carried = new DataTransfer();
        carried.items.add(new File([bytes], "brought.jpg", {{ type: "image/jpeg" }}));
        const made = "{event}" === "paste"
            ? new ClipboardEvent("paste", {{ clipboardData: carried, bubbles: true, cancelable: true }})
            : new DragEvent("drop", {{ dataTransfer: carried, bubbles: true, cancelable: true }});
        document.querySelector("main").dispatchEvent(made);
    }}"""
    first = names(page)[0]
    assert run_search(page, lambda: page.evaluate(act))[0] == first
    assert tray(page, "like") == ["brought.jpg"]


def test_unreadable_file_is_named_and_removed(page, browser, folder, tmp_path):
    browser.allow("answered 4")
    (tmp_path / "letter.jpg").write_text("Dear reader")
    page.set_input_files("#chooser", [tmp_path / "letter.jpg", folder / "photos" / "photo_004.jpg"])
    page.wait_for_selector(".toast:has-text('letter.jpg')")
    page.wait_for_selector(".caption .score")
    assert tray(page, "like") == ["photo_004.jpg"]


def test_text_becomes_an_entry_if_a_feature_understands_text(browser, address):
    asked = []

    def offer(route: Any) -> None:
        offered = route.fetch().json()
        offered["features"][0]["understands_text"] = True
        route.fulfill(json=offered)

    def search(route: Any) -> None:
        asked.append(route.request.post_data_json)
        route.continue_(post_data={**asked[-1], "like": []})  # no feature of this lake understands text

    def before(page: Any) -> None:
        page.route("**/api/features", offer)
        page.route("**/api/search", search)

    page = opened(browser, address, before=before)
    page.fill("#words", "a red car")
    run_search(page, lambda: page.press("#words", "Enter"))
    assert asked[-1]["like"] == [{"text": "a red car"}]
    assert address_params(page)["like"] == ["text:a red car"]
    assert tray(page, "like") == ["“a red car”"]


# -- tray, weights, options ---------------------------------------------------------------------------------


def test_tray_changes_the_order(page, folder):
    one = upload(page, folder / "photos" / "photo_003.jpg")
    page.locator("a.tile").nth(5).focus()
    two = run_search(page, lambda: page.keyboard.press("+"))
    assert two != one
    assert tray(page, "like") == ["photo_003.jpg", one[5]]
    moved = run_search(page, lambda: page.click(f"button[aria-label='Move {one[5]} to Unlike']"))
    assert (tray(page, "like"), tray(page, "unlike")) == (["photo_003.jpg"], [one[5]])
    assert moved != two
    assert moved.index(one[5]) > one.index(one[5]) if one[5] in moved else True
    weighed = run_search(page, lambda: page.fill(f"input[aria-label='Weight of {one[5]}']", "0.2"))
    assert weighed != moved
    assert address_params(page)["unlike"][0].startswith("0.2*image:")
    assert run_search(page, lambda: page.click(f"button[aria-label='Remove {one[5]}']")) == one


def test_entries_are_dragged_between_likes_and_unlikes(page, folder):
    upload(page, folder / "photos" / "photo_003.jpg", folder / "photos" / "photo_005.jpg")
    run_search(page, lambda: page.drag_and_drop("#tray-like .entry:nth-child(2) .name", "#tray-unlike"))
    assert (tray(page, "like"), tray(page, "unlike")) == (["photo_003.jpg"], ["photo_005.jpg"])
    tile = page.locator("a.tile").nth(4)
    name = tile.get_attribute("title")
    run_search(page, lambda: tile.drag_to(page.locator("#tray-like")))
    assert tray(page, "like") == ["photo_003.jpg", name]


def test_sliders_and_metrics_change_the_order(page, folder):
    adjust(page)
    one = upload(page, folder / "photos" / "photo_003.jpg")
    steps = page.evaluate("history.length")
    page.focus("#weight-phash")
    two = run_search(page, lambda: page.keyboard.press("End"))
    assert two != one
    assert address_params(page)["by"] == ["rgb_histogram=1", "phash=1"]
    assert page.locator("a.tile").first.locator(".bars i").count() == 2
    assert page.evaluate("history.length") == steps
    page.focus("#weight-rgb_histogram")
    run_search(page, lambda: page.keyboard.press("Home"))
    page.focus("#weight-phash")
    page.keyboard.press("Home")
    page.wait_for_selector(".toast:has-text('At least one feature needs a weight')")
    page.focus("#weight-phash")
    run_search(page, lambda: page.keyboard.press("End"))
    page.focus("#weight-rgb_histogram")
    assert run_search(page, lambda: page.keyboard.press("End")) == two
    three = run_search(page, lambda: page.select_option("[aria-label='Metric of rgb_histogram']", "euclidean"))
    assert three != two
    assert set(address_params(page)["by"]) == {"rgb_histogram:euclidean=1", "phash=1"}
    assert page.input_value("#mix") == "own"


def test_mix_is_chosen_by_name_and_shows_its_weights(page, folder):
    upload(page, folder / "photos" / "photo_003.jpg")
    adjust(page)
    run_search(page, lambda: page.select_option("#mix", "mix:shapes"))
    assert address_params(page)["by"] == ["mix:shapes"]
    assert [page.input_value(f"#weight-{name}") for name in ("rgb_histogram", "phash", "hsv_histogram")] == [
        "0",
        "1",
        "0.5",
    ]
    assert page.input_value("[aria-label='Metric of hsv_histogram']") == "manhattan"


def test_distinct_option_excludes_the_copy(page, folder):
    upload(page, folder / "photos" / "photo_003.jpg")
    page.click("summary:has-text('More options')")
    found = run_search(page, lambda: page.check("#distinct"))
    assert len({"copy.jpg", "photo_003.jpg"} & set(found[:2])) == 1


def test_no_good_match_is_shown_with_a_button_for_the_nearest(page, tmp_path):
    (tmp_path / "red.png").write_bytes(encode(np.full((50, 50, 3), (255, 0, 0), np.uint8), "PNG"))
    upload(page, tmp_path / "red.png")
    page.click("summary:has-text('More options')")
    assert run_search(page, lambda: page.select_option("#rate", "0.0001")) == []
    assert page.inner_text(".empty h2") == page.inner_text("#live") == "No good match"
    assert len(run_search(page, lambda: page.click("text=Show the nearest"))) > 20


def test_filter_error_is_shown_beside_the_box(page, browser):
    browser.allow("answered 400 : POST")
    before = names(page)
    write_sql(page, "widht > 3")
    assert run_search(page, lambda: page.press("#where", "Enter")) == before
    assert "widht" in page.inner_text("#where-error")
    assert page.get_attribute("#where", "aria-invalid") == "true"
    write_sql(page, "path LIKE 'photo_00%'")
    assert run_search(page, lambda: page.press("#where", "Enter")) == [f"photo_00{i}.jpg" for i in range(10)]
    assert page.locator("#where-error").is_hidden()
    assert address_params(page)["where"] == ["path LIKE 'photo_00%'"]


def test_columns_are_listed_for_the_filter(page):
    show_sql(page)
    page.click("summary:has-text('Columns')")
    assert {"width", "height", "source"} <= set(page.locator(".column").all_inner_texts())
    page.click(".column:text-is('width')")
    assert page.input_value("#where") == "width "
    write_sql(page, "width > 1")
    run_search(page, lambda: page.click(".chip:text-is('photos')"))
    assert address_params(page)["where"] == ["width > 1 AND source = 'photos'"]


# -- results ------------------------------------------------------------------------------------------------


def test_scrolling_shows_every_hit_once(page, folder):
    upload(page, folder / "photos" / "photo_003.jpg")
    found = every_name(page)
    assert len(found) == len(set(found)) == EVERY
    assert page.locator(".caption .score").count() == page.locator("a.tile").count() < EVERY


@pytest.mark.parametrize("is_query", [True, False])
def test_last_page_is_followed_by_no_further_request(page, folder, is_query):
    if is_query:
        upload(page, folder / "photos" / "photo_003.jpg")
    offsets = []
    page.on("request", lambda sent: "/api/search" in sent.url and offsets.append(sent.post_data_json["offset"]))
    write_sql(page, "row < 60")  # the size of a page
    run_search(page, lambda: page.press("#where", "Enter"))
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    frame = "new Promise((done) => requestAnimationFrame(done))"
    for _ in range(5):  # observers report visible elements from one frame to the next
        page.evaluate(frame)
    assert page.inner_text("#said strong") == ("Nearest first, of 60 pictures" if is_query else "60 pictures")
    assert offsets == [0]


def test_order_of_the_best_hits_spans_all_pages(page, folder):
    best = upload(page, folder / "photos" / "photo_003.jpg")
    page.click("summary:has-text('More options')")
    page.fill("#order_by", "path DESC")
    run_search(page, lambda: page.press("#order_by", "Enter"))
    found = every_name(page)
    assert len(found) == EVERY and found == sorted(found, reverse=True) != best
    assert page.inner_text("#said strong") == f"{EVERY} hits, ordered by path DESC"
    assert page.inner_text("#live") == f"{EVERY} hits, ordered by path DESC"


def test_page_says_that_only_the_best_are_ordered_or_diversified(browser, address):
    def fewer(route: Any) -> None:
        script = route.fetch().text().replace("REACH = 200", "REACH = 65")
        route.fulfill(body=script, content_type="text/javascript")

    page = opened(browser, address, before=lambda page: page.route("**/static/state.js", fewer))
    page.locator("a.tile").first.focus()
    run_search(page, lambda: page.keyboard.press("+"))
    page.click("summary:has-text('More options')")
    page.focus("#diversify")
    run_search(page, lambda: page.keyboard.press("ArrowRight"))
    assert page.inner_text("#said strong") == "The 65 best hits, chosen to differ"
    assert len(every_name(page)) == 65
    page.fill("#order_by", "path")
    run_search(page, lambda: page.press("#order_by", "Enter"))
    assert page.inner_text("#said strong") == "The 65 best hits, chosen to differ, ordered by path"
    page.click("#help")
    assert "take the 65 best hits as a whole" in page.inner_text("dialog.help")


def test_detail_shows_properties_parts_explanation_and_copies(page, folder):
    found = upload(page, folder / "photos" / "photo_003.jpg")
    page.click(f"a.tile[title='{found[0]}']")
    detail = page.locator("dialog.detail")
    detail.locator(".lines").wait_for()
    assert detail.get_attribute("aria-label") == found[0]
    assert "agree in position" in detail.inner_text()
    assert detail.locator(".lines line").count() > 3
    assert detail.locator(".swatch").count() > 0
    assert detail.locator(".parts tbody tr").all_inner_texts()[0].startswith("rgb_histogram")
    assert "160 × 120 · JPEG" in detail.locator(".facts.words").inner_text()
    assert detail.locator(".copies a").all_inner_texts() == [
        f"photos/{name}" for name in sorted(found[:2]) if name != found[0]
    ]
    assert detail.locator("img.large").evaluate("image => image.naturalWidth") == 160


@at_every_size
def test_keyboard_navigation(page, folder):
    found = upload(page, folder / "photos" / "photo_003.jpg")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    top = "document.activeElement.getBoundingClientRect().top + scrollY"
    page.keyboard.press("ArrowRight")
    first = page.evaluate(top)
    page.keyboard.press("ArrowDown")
    assert page.evaluate(top) > first + 50
    page.keyboard.press("ArrowUp")
    assert page.evaluate(top) == first
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    detail = page.locator("dialog.detail")
    assert detail.get_attribute("aria-label") == found[2]
    page.keyboard.press("ArrowRight")
    until(page, f"document.querySelector('dialog.detail').ariaLabel === '{found[3]}'")
    opened_id = address_params(page)["open"]
    page.keyboard.press("Escape")
    until(page, "!location.search.includes('open=')")
    assert page.evaluate("document.activeElement.dataset.id") == opened_id[0]
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "where"
    page.keyboard.press("?")  # is text here
    assert page.input_value("#where") == "?"
    write_sql(page, "")
    page.locator("a.tile").nth(1).focus()
    page.keyboard.press("?")
    assert "More like this" in page.inner_text("dialog.help")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def test_more_and_less_like_this(browser, address, folder):
    page = opened(browser, address)
    found = upload(page, folder / "photos" / "photo_003.jpg")
    page.click(f"a.tile[title='{found[4]}']")
    more = run_search(page, lambda: page.click("text=More like this"))
    assert more != found and found[4] not in more  # an image of the lake is not its own hit
    assert tray(page, "like") == [found[4]]
    page.click(f"a.tile[title='{more[3]}']")
    page.click("dialog button:text-is('− Less like this')")
    less = run_search(page, lambda: page.keyboard.press("Escape"))
    assert tray(page, "unlike") == [more[3]]
    assert less.index(more[3]) > 3 if more[3] in less else True
    page.wait_for_selector("dialog", state="detached")


def test_url_holds_the_search_and_back_returns_to_the_previous_one(browser, address, folder):
    page = opened(browser, address)
    one = upload(page, folder / "photos" / "photo_003.jpg")
    first = page.url
    page.focus("a.tile")
    two = run_search(page, lambda: (page.keyboard.press("ArrowRight"), page.keyboard.press("+")))
    run_search(page, lambda: (page.keyboard.press("ArrowRight"), page.keyboard.press("-")))
    write_sql(page, "path LIKE 'photo%'")
    three = run_search(page, lambda: page.press("#where", "Enter"))
    page.click(f"a.tile[title='{three[2]}']")
    page.wait_for_selector("dialog .copies, dialog .facts")
    shared = page.url
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    until(page, "!location.search.includes('open=')")
    run_search(page, page.go_back)
    assert run_search(page, page.go_back) == two
    assert run_search(page, page.go_back) == one
    assert page.url == first
    assert run_search(page, page.go_forward) == two
    other = opened(browser, shared)
    assert names(other) == three
    assert other.locator("dialog.detail").get_attribute("aria-label") == three[2]
    assert [len(tray(other, side)) for side in ("like", "unlike")] == [2, 1]
    assert other.input_value("#where") == "path LIKE 'photo%'"


@pytest.mark.parametrize("name", HOSTILE)
def test_file_names_are_shown_as_text(page, folder, name):
    page.on("dialog", lambda shown: pytest.fail(f"ran: {shown.message}"))
    upload(page, folder / "photos" / name)
    assert names(page)[0] == name
    page.click("a.tile >> nth=0")
    page.wait_for_selector("dialog .facts")
    assert page.inner_text("dialog h2") == name
    assert page.get_attribute("dialog img.large", "alt") == name
    assert page.locator("img[src=x], script:not([src^='/static/'])").count() == 0


# -- server errors and new generations ----------------------------------------------------------------------


def test_busy_server_is_retried(page, browser, folder):
    browser.allow("answered 503")
    busy = [{"status": 503, "headers": {"Retry-After": "0.3"}, "json": {"error": "busy", "kind": "Overloaded"}}]
    page.route("**/api/search", lambda route: route.fulfill(**busy.pop()) if busy else route.continue_())
    page.set_input_files("#chooser", folder / "photos" / "photo_003.jpg")
    page.wait_for_selector("#said:has-text('The server is busy')")
    page.wait_for_selector(".caption .score")


def test_replaced_search_does_not_show_its_response(page, folder):
    held = []
    adjust(page)
    page.route(
        "**/api/search", lambda route: held.append(route) if "phash" in route.request.post_data else route.continue_()
    )
    upload(page, folder / "photos" / "photo_003.jpg")
    page.focus("#weight-phash")
    page.keyboard.press("End")
    until(page, "Boolean(document.querySelector('.results[aria-busy]'))")
    alone = run_search(page, lambda: page.select_option("#mix", ""))
    held[0].continue_()
    page.evaluate("fetch('/api/features').then((answer) => answer.json())")  # gives the response time to arrive
    assert names(page) == alone
    assert "by" not in address_params(page)


def test_expired_upload_is_sent_again_while_the_page_has_the_file(page, browser, folder):
    browser.allow("answered 410")
    upload(page, folder / "photos" / "photo_003.jpg")
    adjust(page)
    gone = [{"status": 410, "json": {"error": "not kept any more", "kind": "UploadGone"}}]
    page.route("**/api/search", lambda route: route.fulfill(**gone.pop()) if gone else route.continue_())
    page.focus("#weight-phash")
    page.keyboard.press("End")
    page.wait_for_selector("a.tile .bars i:nth-child(2)")
    assert not gone
    assert tray(page, "like") == ["photo_003.jpg"]


def test_expired_upload_of_a_shared_url_is_reported(browser, address):
    browser.allow("answered 410")
    browser.allow("answered 404")
    page = browser.open(f"{address}/?like=upload:{'0' * 32}")
    assert "no longer on the server" in page.inner_text(".error[role=alert]")


def test_unreachable_server_is_reported(page, browser):
    browser.allow("ERR_FAILED")
    page.route("**/api/search", lambda route: route.abort())
    write_sql(page, "width > 1")
    page.press("#where", "Enter")
    assert "does not answer" in page.inner_text(".error[role=alert]")
    page.unroute("**/api/search")
    assert len(run_search(page, lambda: page.click("text=Try again"))) == 30


def test_page_without_a_server_has_a_button_to_retry(browser, address):
    browser.allow("ERR_FAILED")
    page = browser.open(address, before=lambda page: page.route("**/api/features", lambda route: route.abort()))
    assert "does not answer" in page.inner_text(".error[role=alert]")
    page.unroute("**/api/features")
    page.click("text=Try again")
    page.wait_for_selector("a.tile")


def test_view_that_cannot_be_loaded_is_reported(page, browser):
    browser.allow("ERR_FAILED")
    page.route("**/static/status.js", lambda route: route.abort())
    page.click("#views >> text=Status")
    page.wait_for_selector(".toast:has-text('Status cannot be loaded')")


def test_new_generation_serves_the_next_search(browser, new_lake, tmp_path):
    lake = new_lake(20)
    with serving(lake) as served:
        page = opened(browser, f"{served.url}/?with_self=yes")
        assert page.locator("a.tile").count() == 20
        toy.write_photos(tmp_path / "photos", [77])
        toy.build(lake)
        assert "photo_077.jpg" not in names(page)
        assert upload(page, tmp_path / "photos" / "photo_077.jpg")[0] == "photo_077.jpg"
        page.wait_for_selector(".toast:has-text('The lake has changed')")
        page.wait_for_selector("#lake:has-text('21 pictures')")
        page.close()  # what it still asks for would fail without the server


# -- accessibility ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_fault(browser, address, folder, scheme):
    page = opened(browser, address, color_scheme=scheme, reduced_motion="reduce")
    upload(page, folder / "photos" / "photo_003.jpg")
    for summary in page.locator("summary").all():
        if summary.is_visible() and not summary.evaluate("summary => summary.parentElement.open"):
            summary.click()
    assert accessibility_faults(page) == []
    page.locator("a.tile").nth(2).click()
    page.wait_for_selector("dialog .facts")
    page.wait_for_selector("dialog .busy", state="detached")
    assert accessibility_faults(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.is_visible("dialog.help")
    assert accessibility_faults(page) == []


def test_phone_has_no_sideways_scroll(browser, address, folder):
    page = opened(browser, address, size=PHONE, has_touch=True, is_mobile=True)
    upload(page, folder / "photos" / HOSTILE[0])
    assert not has_sideways_scroll(page)
    page.click("summary:has-text('Filter and options')")
    show_sql(page)
    assert page.is_visible("#where")
    assert not has_sideways_scroll(page)
    page.locator("a.tile").first.click()
    page.wait_for_selector("dialog .facts")
    assert not has_sideways_scroll(page)
    assert page.locator("dialog.detail").bounding_box()["width"] <= PHONE["width"]


def test_dark_colours_follow_the_system(browser, address):
    page = opened(browser, address, color_scheme="dark")
    red, green, blue = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]
    assert max(int(red), int(green), int(blue)) < 40


def test_views_keep_their_state(page, folder):
    found = upload(page, folder / "photos" / "photo_003.jpg")
    page.click("#views >> text=Status")
    page.wait_for_selector(".view-status h1")
    assert page.title() == "Status – imrec"
    assert run_search(page, lambda: page.click("#views >> text=Search")) == found
    assert tray(page, "like") == ["photo_003.jpg"]


# -- phones -------------------------------------------------------------------------------------------------


def test_phone_offers_its_camera_and_the_help(browser, address, folder):
    page = opened(browser, address, size=PHONE, has_touch=True, is_mobile=True)
    assert page.get_attribute("#camera", "capture") == "environment"
    with page.expect_file_chooser() as chosen:
        page.tap("text=Take a picture")
    run_search(page, lambda: chosen.value.set_files(folder / "photos" / "photo_003.jpg"))
    assert tray(page, "like") == ["photo_003.jpg"]
    box = page.locator("#help").bounding_box()
    assert min(box["width"], box["height"]) >= 44 and not has_sideways_scroll(page)
    page.tap("#help")
    page.wait_for_selector("dialog[open] >> text=Keys")


def test_computer_offers_no_camera(page):
    assert not page.is_visible("text=Take a picture")


# -- a lake that is built meanwhile -------------------------------------------------------------------------


def test_published_generation_is_noticed_within_half_a_minute(browser, tmp_path):
    toy.write_photos(tmp_path / "photos", range(8))
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    toy.build(lake)
    with serving(lake) as served:
        page = opened(browser, served.url, before=lambda page: page.clock.install())
        assert page.inner_text("#lake") == "8 pictures"
        toy.write_photos(tmp_path / "photos", range(8, 11))
        toy.build(lake)
        page.clock.run_for(31_000)
        page.wait_for_selector(".toast:has-text('The lake has changed: 11 pictures now.')")
        assert page.inner_text("#lake") == "11 pictures"
        page.close()  # what it still asks for would fail without the server
