"""A file that is replaced after the build holds up no request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import toy
from tests.support.serving import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("odd")
    toy.write_photos(folder / "photos", range(8))
    lake = toy.new_lake(folder / "lake", ["ahash"])
    toy.build(lake)
    replaced = {
        "photo_000.jpg": os.mkfifo,
        "photo_001.jpg": lambda path: path.symlink_to("/dev/zero"),
        "photo_002.jpg": lambda path: os.mkfifo(path.with_name("fifo")) or path.symlink_to("fifo"),
        "photo_003.jpg": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40),
        "photo_004.jpg": Path.mkdir,
    }
    for name, replace in replaced.items():
        path = folder / "photos" / name
        path.unlink()
        replace(path)
    with serving(lake) as found:
        yield found


@pytest.fixture(scope="module")
def client(served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=20) as found:
        yield found


@pytest.fixture(scope="module")
def ids(client) -> dict[str, str]:
    hits = client.post("/api/search", json={"k": 20}).json()["hits"]
    return {hit["path"]: hit["image_id"] for hit in hits}


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("url", ["/image/{}", "/thumb/{}", "/thumb/{}?size=320"])
def test_request_for_it_is_answered_at_once_and_so_are_others(client, ids, number, url):
    for _ in range(3):  # more than the queue for pictures would hold
        found = client.get(url.format(ids[f"photo_{number:03d}.jpg"]))
        assert found.status_code == 404, found.text
    assert client.get("/health").status_code == 200
    assert client.get(url.format(ids["photo_007.jpg"])).status_code == 200
