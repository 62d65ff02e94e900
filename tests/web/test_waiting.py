"""The page of a lake that has no generation yet."""

from __future__ import annotations

import socket

import httpx
import pytest

from imrec_core.catalog import manifests
from imrec_dagster.cli.page_server import serving_waiting_page
from tests.support import toy
from tests.support.browser import PHONE, accessibility_faults, has_sideways_scroll, until
from tests.support.serving import serving

PAGE = {"accept": "text/html,*/*"}


@pytest.fixture
def lake(tmp_path):
    toy.write_photos(tmp_path / "photos", range(12))
    return toy.new_lake(tmp_path / "lake", ("rgb_histogram", "phash"), sources={"photos": tmp_path / "photos"})


def test_page_waits_for_the_first_generation_and_opens_the_search(browser, lake):
    browser.allow("/building")  # 404 once the search page is served
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serving_waiting_page(lake, listener):
            page = browser.open(f"{url}/?where=width > 10", size=PHONE, color_scheme="dark")
            until(page, "document.querySelector('#said').textContent === 'Looking for pictures …'")
            manifests.update(lake)
            until(page, "document.querySelector('#said').textContent.startsWith('12 pictures found')")
            assert accessibility_faults(page) == [] and not has_sideways_scroll(page)
            toy.build(lake)
        with serving(lake, at=listener):
            page.wait_for_selector("a.tile")
            assert page.input_value("#where") == "width > 10"
            page.close()


def test_other_requests_are_told_to_come_again(lake):
    with socket.create_server(("127.0.0.1", 0)) as listener, serving_waiting_page(lake, listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for answer in (httpx.get(f"{url}/api/features"), httpx.post(f"{url}/api/search", json={}, headers=PAGE)):
            assert answer.status_code == 503 and answer.json()["kind"] == "NoGeneration"
            assert answer.headers["retry-after"] == "5"
        assert httpx.get(f"{url}/map", headers=PAGE).headers["content-security-policy"].startswith("default-src 'none'")
        assert httpx.get(f"{url}/building", headers={"host": "elsewhere.example"}).status_code == 403
        assert httpx.get(f"{url}/static/../waiting.py").status_code in (403, 404, 503)
        assert httpx.get(f"{url}/building").json() == {"images": 0}


def test_catalog_that_goes_away_is_no_error(lake):
    with socket.create_server(("127.0.0.1", 0)) as listener, serving_waiting_page(lake, listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        manifests.update(lake)
        lake.catalog_path(lake.live_shards()[0]).unlink()
        assert httpx.get(f"{url}/building").json() == {"images": 0}
