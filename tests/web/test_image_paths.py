"""Absolute paths of images in the HTTP API: only for requests of the machine whose files they are."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from imrec_core import Lake
from imrec_core.web import create_app
from imrec_core.web.security import is_for_this_machine, is_loopback
from tests.support import toy
from tests.support.serving import serving


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("paths")
    toy.write_photos(folder / "photos" / "sea", range(3))
    lake = toy.new_lake(folder / "lake", ("phash",))
    toy.build(lake)
    return lake


def detail(client: httpx.Client, **headers: str) -> dict[str, object]:
    hit = client.post("/api/search", json={"k": 1}, headers=headers).json()["hits"][0]
    return client.get(f"/api/images/{hit['image_id']}", headers=headers).json()


@pytest.fixture(scope="module")
def local(lake: Lake) -> httpx.Client:
    with serving(lake) as served, httpx.Client(base_url=served.url) as client:
        yield client


def test_local_server_names_the_file(local, lake):
    found = detail(local)
    path = Path(str(found["absolute_path"]))
    assert path.is_file() and path.is_absolute()
    assert path == lake.settings().sources["photos"] / str(found["path"])


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
def test_request_through_a_proxy_gets_no_absolute_path(local, header):
    assert detail(local, **{header: "203.0.113.7"})["absolute_path"] is None


@pytest.mark.parametrize(
    "options", [{"token": "long enough"}, {"hosts": None}, {"hosts": ("127.0.0.1", "pictures.example")}]
)
def test_server_for_others_names_no_absolute_path(lake, options):
    headers = {"Authorization": "Bearer long enough"}
    with serving(lake, **options) as served, httpx.Client(base_url=served.url, headers=headers) as client:
        found = detail(client)
    assert found["absolute_path"] is None and found["path"]


@pytest.mark.parametrize(("client", "is_named"), [("192.0.2.4", False), ("127.0.0.1", True), ("::1", True)])
def test_client_of_another_machine_gets_no_absolute_path(lake, client, is_named):
    from starlette.testclient import TestClient

    app = create_app(lake, hosts=("127.0.0.1",))
    with TestClient(app, base_url="http://127.0.0.1", client=(client, 5000)) as requests:
        assert bool(detail(requests)["absolute_path"]) == is_named


def test_hosts_and_token_tell_whether_a_server_is_for_this_machine():
    assert is_for_this_machine(None, ["127.0.0.1", "::1", "localhost"])
    assert not is_for_this_machine("a token", ["127.0.0.1"])
    assert not is_for_this_machine(None, None)
    assert not is_for_this_machine(None, [])
    assert not is_for_this_machine(None, ["127.0.0.1", "10.0.0.1"])
    assert is_loopback("127.9.9.9") and not is_loopback("localhost.example")
