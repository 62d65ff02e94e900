"""Selections over HTTP: ids of hits, lists of paths, CSV and zip."""

from __future__ import annotations

import csv
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from imrec_core import Lake
from imrec_core.catalog.ids import image_id
from imrec_core.lake.tags import change_tag
from imrec_core.web import create_app, zip_download
from imrec_core.web.limits import Limits
from tests.support import toy
from tests.support.pictures import encode
from tests.support.serving import serving, web_lake

NAMES = ("photo_000.jpg", "photo_001.jpg", "photo_002.jpg")
IDS = [image_id("photos", name) for name in NAMES]
GONE = "f" * 16


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Lake:
    return web_lake(tmp_path_factory.mktemp("selection"), photos=12)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake that a test may change."""
    toy.write_photos(tmp_path / "photos", range(3))
    made = toy.new_lake(tmp_path / "lake", ("phash",))
    toy.build(made)
    return made


def opened(lake: Lake, **options: Any) -> TestClient:
    return TestClient(create_app(lake, **options), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000))


@pytest.fixture
def client(shared) -> Iterator[TestClient]:
    with opened(shared) as found:
        yield found


def select(client: Any, images: list[str]) -> dict[str, Any]:
    found = client.post("/api/selections", json={"images": images})
    assert found.status_code == 200, found.text
    return found.json()


def download(client: Any, images: list[str], kind: str, **options: Any) -> Any:
    return client.get(f"/api/selections/{select(client, images)['selection']}/{kind}", **options)


def files_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        return {name: found.read(name) for name in found.namelist()}


# -- ids and handles ----------------------------------------------------------------------------------------


def test_ids_are_those_of_all_hits_in_their_order(client):
    asked = {"like": [{"image_id": IDS[0]}], "where": "source = 'photos'"}
    hits = client.post("/api/search", json={**asked, "k": 100}).json()
    found = client.post("/api/search/ids", json=asked).json()
    assert found == {
        "generation": hits["generation"],
        "images": [hit["image_id"] for hit in hits["hits"]],
        "more": False,
    }
    assert len(found["images"]) == 11
    some = client.post("/api/search/ids", json={"k": 5}).json()
    assert len(some["images"]) == 5 and some["more"]


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"k": 10_001}, {"k": 10_000, "offset": 1, "like": [{"text": "x"}]}, {"ids": 1}, {"where": 5}]
)
def test_wrong_searches_for_ids_are_refused(client, wrong):
    assert client.post("/api/search/ids", json=wrong).status_code == 422
    assert client.post("/api/search/ids", json={"where": "widht > 1"}).json()["kind"] == "BadFilter"


def test_selection_has_a_handle_sizes_and_the_ids_that_are_not_in_the_lake(client, shared):
    found = select(client, [IDS[1], GONE, IDS[0], IDS[1]])
    sizes = [(Path(shared.settings().sources["photos"]) / name).stat().st_size for name in NAMES[:2]]
    assert (found["images"], found["unknown"], found["byte_size"]) == (2, [GONE], sum(sizes))
    assert found["max_zip_bytes"] == Limits().zip_bytes
    assert select(client, [IDS[1], GONE, IDS[0]])["selection"] == found["selection"]
    assert select(client, [IDS[0], IDS[1]])["selection"] != found["selection"]


def test_ten_thousand_images_can_be_selected_and_no_more(client):
    many = [f"{number:016x}" for number in range(10_001)]
    assert select(client, many[:-1])["images"] == 0
    assert client.post("/api/selections", json={"images": many}).status_code == 422


@pytest.mark.parametrize("wrong", [{}, {"images": []}, {"images": ["x"]}, {"images": IDS, "path": "/etc"}, []])
def test_wrong_selections_are_refused(client, wrong):
    assert client.post("/api/selections", json=wrong).status_code == 422


@pytest.mark.parametrize("kind", ["paths", "csv", "zip"])
def test_unknown_and_expired_handles_are_gone(client, shared, kind):
    assert client.get(f"/api/selections/{'0' * 32}/{kind}").status_code == 410
    assert client.get(f"/api/selections/../../{kind}").status_code == 404
    assert client.get(f"/api/selections/{'Z' * 32}/{kind}").status_code == 422
    with opened(shared, limits=Limits(cache_seconds=0)) as forgetful:
        found = forgetful.post("/api/selections", json={"images": IDS})
        assert found.status_code == 410 and found.json()["kind"] == "SelectionGone"


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://127.0.0.1"}]
)
def test_pages_of_other_sites_can_neither_select_nor_download(client, headers):
    handle = select(client, IDS)["selection"]
    assert client.post("/api/selections", json={"images": IDS}, headers=headers).status_code == 403
    if "Sec-Fetch-Site" in headers:
        assert client.get(f"/api/selections/{handle}/zip", headers=headers).status_code == 403


# -- paths and CSV ------------------------------------------------------------------------------------------


def test_local_server_lists_full_paths(shared):
    folder = shared.settings().sources["photos"]
    with opened(shared, hosts=("127.0.0.1", "localhost")) as local:
        found = download(local, [IDS[2], IDS[0]], "paths")
        assert found.text == f"{folder}/{NAMES[2]}\n{folder}/{NAMES[0]}\n"
        assert found.headers["content-disposition"] == 'attachment; filename="imrec-paths.txt"'
        for name in ("X-Forwarded-For", "Forwarded", "Via"):
            proxied = download(local, IDS[:1], "paths", headers={name: "203.0.113.7"})
            assert proxied.text == f"photos/{NAMES[0]}\n", name


@pytest.mark.parametrize(
    "options", [{}, {"hosts": None, "token": "secret-token"}, {"hosts": ("127.0.0.1", "photos.lan")}]
)
def test_server_for_other_machines_lists_no_paths_of_its_own(shared, options):
    with opened(shared, **options) as client:
        client.headers["Authorization"] = "Bearer secret-token"
        assert download(client, [GONE, *IDS[:2]], "paths").text == f"photos/{NAMES[0]}\nphotos/{NAMES[1]}\n"


def test_name_with_a_line_break_is_refused_in_a_list(lake):
    photos = lake.root.parent / "photos"
    (photos / "a\nb.jpg").write_bytes(encode(toy.photo(9), "JPEG"))
    toy.build(lake)
    with opened(lake) as client:
        found = download(client, [image_id("photos", "a\nb.jpg")], "paths")
        assert (found.status_code, found.json()["kind"]) == (422, "LineBreak")
        (row,) = csv.DictReader(io.StringIO(download(client, [image_id("photos", "a\nb.jpg")], "csv").text))
        assert row["path"] == "a\nb.jpg"


def test_csv_has_properties_and_tags_in_the_order_of_the_selection(lake):
    change_tag(lake, "two words", [lake_content(lake, IDS[1])])
    with opened(lake) as client:
        found = download(client, [IDS[1], GONE, IDS[0]], "csv")
        assert found.headers["content-type"] == "text/csv; charset=utf-8"
        facts = client.get(f"/api/images/{IDS[1]}").json()["facts"]
    assert found.content.startswith(b"\xef\xbb\xbfimage_id,source,path,width,height,taken,")
    first, second = csv.DictReader(io.StringIO(found.text.removeprefix("\ufeff")))
    assert [first["image_id"], second["image_id"]] == [IDS[1], IDS[0]]
    assert (first["path"], first["width"], first["tags"]) == (NAMES[1], "160", '["two words"]')
    assert (second["tags"], second["taken"]) == ("[]", "")
    assert set(first) == set(facts)
    assert not {"row", "shard", "removed"} & set(first)


def lake_content(lake: Lake, image: str) -> str:
    with opened(lake) as client:
        return client.get(f"/api/images/{image}").json()["facts"]["content_hash"]


@pytest.mark.parametrize("name", ['=HYPERLINK("x").jpg', "+1.jpg", "-1.jpg", "@a.jpg", "\t=1.jpg"])
def test_text_that_a_spreadsheet_would_run_has_an_apostrophe(lake, name):
    (lake.root.parent / "photos" / name).write_bytes(encode(toy.photo(9), "JPEG"))
    toy.build(lake)
    with opened(lake) as client:
        (row,) = csv.DictReader(io.StringIO(download(client, [image_id("photos", name)], "csv").text))
    assert row["path"] == f"'{name}"


# -- zip ----------------------------------------------------------------------------------------------------


def test_zip_has_the_original_files(client, shared):
    copy = image_id("scans", "copy_000.jpg")
    found = download(client, [IDS[0], copy], "zip")
    assert found.headers["content-type"] == "application/zip"
    assert found.headers["content-disposition"] == 'attachment; filename="imrec-pictures.zip"'
    data = (Path(shared.settings().sources["photos"]) / NAMES[0]).read_bytes()
    assert files_of(found.content) == {f"photos/{NAMES[0]}": data, "scans/copy_000.jpg": data}


def test_files_that_cannot_be_read_are_named_in_a_text(lake):
    photos = lake.root.parent / "photos"
    (photos / NAMES[0]).unlink()
    with (photos / NAMES[1]).open("ab") as file:
        file.write(b"more")
    with opened(lake) as client:
        found = files_of(download(client, [GONE, *IDS], "zip").content)
    assert list(found) == [f"photos/{NAMES[2]}", "MISSING.txt"]
    text = found["MISSING.txt"].decode()
    assert text.startswith("3 of 4 files are not in this zip:\n\n")
    assert f"\n{GONE}: the lake does not have this image" in text
    assert f"\nphotos/{NAMES[0]}: the file cannot be read (No such file or directory)\n" in text
    assert f"\nphotos/{NAMES[1]}: the file has changed since the last build" in text
    assert str(lake.root.parent) not in text


def test_links_to_outside_the_sources_are_not_followed(lake, tmp_path):
    photo = lake.root.parent / "photos" / NAMES[0]
    (tmp_path / "secret.jpg").write_bytes(photo.read_bytes())
    photo.unlink()
    photo.symlink_to(tmp_path / "secret.jpg")
    with opened(lake) as client:
        found = files_of(download(client, IDS, "zip").content)
    assert f"photos/{NAMES[0]}" not in found and b"outside the sources" in found["MISSING.txt"]


def test_zip_is_refused_beyond_its_size(shared):
    with opened(shared, limits=Limits(zip_bytes=1000)) as client:
        found = download(client, IDS, "zip")
    assert (found.status_code, found.json()["kind"]) == (413, "TooLarge")
    assert "select fewer" in found.json()["error"]


def test_file_that_grew_in_a_store_is_not_read(lake, monkeypatch):
    read: list[object] = []
    monkeypatch.setattr(zip_download, "contents", lambda path, *rest: read.append(path) or b"")
    with (lake.root.parent / "photos" / NAMES[1]).open("ab") as file:
        file.write(bytes(10**6))
    with opened(lake) as client:
        download(client, IDS, "zip")
    assert [os.path.basename(str(path)) for path in read] == [NAMES[0], NAMES[2]]


def test_full_queue_is_waited_for(shared, monkeypatch):
    monkeypatch.setattr(zip_download, "_PAUSE", 0.01)
    app = create_app(shared)
    tries: list[int] = []

    async def full_once(state: Any, request: Any, work: Any) -> bytes:
        tries.append(len(tries))
        if len(tries) % 2:
            raise zip_download.ApiError(503, "Overloaded", "the queue is full")
        return work()

    monkeypatch.setattr(zip_download.AppState, "in_image_queue", full_once)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert list(files_of(download(client, IDS, "zip").content)) == [f"photos/{name}" for name in NAMES]
    assert len(tries) == 6


def test_zips_beyond_the_limit_are_refused_and_a_client_that_leaves_frees_its_place(lake, monkeypatch):
    reading, go_on = threading.Event(), threading.Event()
    read: list[str] = []

    def slow(path: Path, *rest: object) -> bytes:
        read.append(path.name)
        reading.set()
        assert go_on.wait(20)
        return b""

    monkeypatch.setattr(zip_download, "contents", slow)
    with serving(lake, limits=Limits(max_zips=1)) as served, httpx.Client(base_url=served.url, timeout=20) as client:
        address = f"/api/selections/{select(client, IDS)['selection']}/zip"
        with httpx.stream("GET", f"{served.url}{address}", timeout=20):
            assert reading.wait(20)
            refused = client.get(address)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        for _ in range(200):  # until the server has noticed the disconnect
            answer = client.stream("GET", address)
            with answer as response:
                if response.status_code == 200:
                    go_on.set()
                    response.read()
                    break
        assert response.status_code == 200
    assert read == [NAMES[0], *NAMES]


# -- duplicates ---------------------------------------------------------------------------------------------


def ready(client: TestClient, **params: str) -> dict[str, Any]:
    for _ in range(100):
        found = client.get("/api/duplicates", params=params).json()
        if found["state"] == "ready":
            return found
    raise AssertionError(found)


def test_groups_and_plan_are_those_with_selected_images(client):
    every = ready(client, tier="identical")
    assert every["total"] == 4
    one = every["groups"][1]
    chosen = [copy["image_id"] for copy in one["copies"]][-1:]
    handle = select(client, [*chosen, GONE])["selection"]
    found = ready(client, tier="identical", selection=handle)
    assert (found["total"], found["next"]) == (1, None)
    assert found["groups"] == [one]
    plan = client.get("/api/duplicates/plan", params={"tier": "identical", "selection": handle}).json()
    assert len(client.get("/api/duplicates/plan", params={"tier": "identical"}).json()["moves"]) == 4
    (move,) = plan["moves"]
    assert move["file"]["path"].endswith(one["copies"][1]["path"])
    alone = select(client, [image_id("photos", "photo_010.jpg")])["selection"]
    assert ready(client, tier="identical", selection=alone)["groups"] == []


def test_pages_of_groups_with_selected_images_follow_each_other(client):
    every = ready(client, tier="identical")["groups"]
    handle = select(client, [group["copies"][0]["image_id"] for group in every[1:]])["selection"]
    pages, cursor = [], None
    while cursor or not pages:
        more = {"cursor": cursor} if cursor else {}
        page = ready(client, tier="identical", selection=handle, limit="2", **more)
        pages, cursor = pages + page["groups"], page["next"]
    assert pages == every[1:]


def test_groups_of_an_expired_selection_are_gone(client):
    for address in ("/api/duplicates", "/api/duplicates/plan"):
        assert client.get(address, params={"selection": "0" * 32}).status_code == 410
        assert client.get(address, params={"selection": "x"}).status_code == 422
