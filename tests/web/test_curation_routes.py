"""Issues and tags over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from imrec_core import Lake, find_issues
from imrec_core.catalog.ids import image_id
from imrec_core.web import create_app
from tests.support import toy
from tests.support.serving import web_lake

FIRST, COPY = image_id("photos", "photo_000.jpg"), image_id("scans", "copy_000.jpg")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = web_lake(tmp_path, photos=12)
    (tmp_path / "photos" / "notes.jpg").write_text("not a picture")
    toy.build(made)
    return made


@pytest.fixture
def client(lake: Lake) -> Iterator[TestClient]:
    with TestClient(create_app(lake)) as found:
        yield found


def test_issues_are_those_of_python_without_paths_of_the_server(client, lake):
    report = find_issues(lake)
    found = client.get("/api/issues").json()
    assert {one["issue"]: one["images"] for one in found["issues"]} == report.counts
    assert found["has_outliers"] and found["images"] == report.images
    for issue, count in report.counts.items():
        page = client.get(f"/api/issues/{issue}", params={"limit": 200})
        assert page.json()["total"] == count == len(page.json()["findings"])
        assert str(lake.root.parent) not in page.text
    assert client.get("/api/issues/failed").json()["findings"][0]["path"] == "notes.jpg"


def test_outliers_are_known_after_the_command_without_a_restart(client, lake):
    assert not client.get("/api/issues").json()["has_outliers"]
    find_issues(lake)
    assert client.get("/api/issues").json()["has_outliers"]


def test_pages_of_findings_follow_each_other(client, lake):
    issue = max(find_issues(lake).counts.items(), key=lambda item: item[1])[0]
    whole = client.get(f"/api/issues/{issue}").json()["findings"]
    pages, offset = [], 0
    while offset is not None:
        page = client.get(f"/api/issues/{issue}", params={"offset": offset, "limit": 2}).json()
        pages, offset = pages + page["findings"], page["next"]
    assert pages == whole


def test_wrong_requests_are_refused(client):
    assert client.get("/api/issues/blury").json()["kind"] == "UnknownName"
    assert client.get("/api/issues/dark", params={"limit": 1001}).status_code == 422
    tag = {"tag": "x", "images": [FIRST]}
    assert client.post("/api/tags", json=tag | {"images": ["f" * 16]}).status_code == 404
    for wrong in ({"tag": ""}, {"images": []}, {"images": ["x"]}, {"images": [FIRST] * 1001}, {"where": "true"}):
        assert client.post("/api/tags", json=tag | wrong).status_code == 422, wrong
    assert client.post("/api/tags", json=tag | {"tag": " x"}).status_code == 400
    assert client.get("/api/tags").json()["tags"] == []


def test_tag_is_given_and_taken_away_and_is_in_searches_at_once(client):
    found = client.post("/api/tags", json={"tag": "holiday", "images": [FIRST]}).json()
    assert (found["tags"], found["changed"]) == ([{"tag": "holiday", "images": 2}], 2)
    assert client.get(f"/api/images/{COPY}").json()["tags"] == ["holiday"]
    hits = client.post("/api/search", json={"where": "'holiday' IN tags"}).json()["hits"]
    assert {hit["image_id"] for hit in hits} == {FIRST, COPY}
    columns = {one["name"]: one for one in client.get("/api/features").json()["columns"]}
    assert columns["tags"] == {"name": "tags", "type": "VARCHAR[]", "values": ["holiday"]}
    gone = client.post("/api/tags", json={"tag": "holiday", "images": [COPY], "remove": True}).json()
    assert (gone["tags"], gone["changed"]) == ([], 2)
    assert client.post("/api/search", json={"where": "'holiday' IN tags"}).json()["hits"] == []


def test_pages_of_other_sites_cannot_tag(client):
    body = {"tag": "x", "images": [FIRST]}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://testserver"},
    ):
        assert client.post("/api/tags", json=body, headers=headers).status_code == 403, headers
    assert client.get("/api/tags").json()["tags"] == []


def test_lake_that_cannot_be_written_says_so(client, lake, monkeypatch):
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied", str(lake.layout.tags_path))

    monkeypatch.setattr("imrec_core.lake.storage.files.write_text", refuse)
    answer = client.post("/api/tags", json={"tag": "x", "images": [FIRST]})
    assert answer.status_code == 503
    assert "Permission denied" in answer.json()["error"] and str(lake.root) not in answer.json()["error"]
