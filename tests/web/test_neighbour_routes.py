"""Outliers, suspicious labels, hidden images and undone tags, over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from imrec_core import Lake
from imrec_core.catalog.ids import image_id
from imrec_core.curation.outliers import find_outliers
from imrec_core.errors import QueryError
from imrec_core.web import create_app
from imrec_core.web.neighbour_jobs import JobProgress, NeighbourJobs
from tests.support import toy
from tests.support.serving import web_lake

FIRST, COPY = image_id("photos", "photo_000.jpg"), image_id("scans", "copy_000.jpg")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return web_lake(tmp_path_factory.mktemp("neighbours"), photos=30)


@pytest.fixture
def client(built: Lake) -> Iterator[TestClient]:
    built.layout.tags_path.unlink(missing_ok=True)
    with TestClient(create_app(built)) as found:
        yield found


def finished(client: TestClient, path: str, **params: Any) -> dict[str, Any]:
    for _ in range(100):
        found = client.get(path, params=params)
        assert found.status_code == 200, found.text
        if found.json()["state"] == "done":
            return found.json()
    raise AssertionError("the search did not end")


def test_outliers_are_those_of_the_command_without_paths_of_the_server(client, built):
    expected = find_outliers(built, 1000)
    found = finished(client, "/api/outliers", limit=1000)
    assert [one["image_id"] for one in found["findings"]] == [one.image_id for one in expected]
    assert found["findings"][0]["ratio"] == pytest.approx(expected[0].ratio)
    assert found["total"] == len(expected) == found["done"]
    assert found["feature"] == "rgb_histogram"
    assert not any(one["path"].startswith("/") for one in found["findings"])
    other = finished(client, "/api/outliers", by="phash", limit=1000)
    assert other["feature"] == "phash"
    assert [one["image_id"] for one in other["findings"]] == [
        one.image_id for one in find_outliers(built, 1000, by="phash")
    ]


@pytest.mark.parametrize("path", ["/api/outliers", "/api/label-issues"])
def test_pages_follow_each_other(client, path):
    whole = finished(client, path, limit=1000)["findings"]
    pages: list[Any] = []
    offset: int | None = 0
    while offset is not None:
        page = finished(client, path, offset=offset, limit=7)
        pages, offset = pages + page["findings"], page["next"]
    assert pages == whole


def test_label_issues_name_both_labels(client):
    found = finished(client, "/api/label-issues")
    assert found["has_labels"]
    assert {one["label"] for one in found["findings"]} <= {"photos", "scans"}
    assert all(one["confidence"] > 0.5 and one["label"] != one["suggested"] for one in found["findings"])


def test_wrong_requests_are_refused(client):
    assert client.get("/api/outliers", params={"by": "phahs"}).json()["kind"] == "UnknownName"
    assert client.get("/api/outliers", params={"limit": 1001}).status_code == 422
    for _ in range(3):
        assert client.get("/api/label-issues", params={"column": "specie"}).json()["kind"] == "UnknownName"
    assert client.post("/api/tags/remove", json={"tag": "none"}).status_code == 404
    assert client.post("/api/tags/remove", json={"tag": ""}).status_code == 422
    assert client.post("/api/tags/undo", json={"undo": "0" * 32}).status_code == 410
    assert client.post("/api/tags/undo", json={"undo": "x"}).status_code == 422


def test_hidden_images_are_in_no_list_of_curation(client, built):
    first = finished(client, "/api/outliers")["findings"][0]["image_id"]
    issue = max(client.get("/api/issues").json()["issues"], key=lambda one: one["images"])
    in_issue = client.get(f"/api/issues/{issue['issue']}").json()["findings"][0]["image_id"]
    labels = finished(client, "/api/label-issues")["findings"]
    images = [first, in_issue]
    undo = client.post("/api/tags", json={"tag": "hidden", "images": images}).json()["undo"]
    assert first not in {one["image_id"] for one in finished(client, "/api/outliers", limit=1000)["findings"]}
    after = {one["issue"]: one["images"] for one in client.get("/api/issues").json()["issues"]}
    assert after[issue["issue"]] < issue["images"]
    hidden = {one["image_id"] for one in labels[:1]}
    client.post("/api/tags", json={"tag": "hidden", "images": list(hidden)})
    assert hidden.isdisjoint(one["image_id"] for one in finished(client, "/api/label-issues", limit=1000)["findings"])
    client.post("/api/tags/undo", json={"undo": undo})
    assert first in {one["image_id"] for one in finished(client, "/api/outliers")["findings"]}


def test_undo_takes_back_only_what_a_change_did(client):
    one = client.post("/api/tags", json={"tag": "sea", "images": [FIRST]}).json()
    both = client.post("/api/tags", json={"tag": "sea", "images": [FIRST, image_id("photos", "photo_009.jpg")]}).json()
    assert (one["changed"], both["changed"]) == (2, 1)
    undone = client.post("/api/tags/undo", json={"undo": both["undo"]}).json()
    assert undone["tags"] == [{"tag": "sea", "images": 2}]
    assert client.post("/api/tags/undo", json={"undo": both["undo"]}).status_code == 410
    nothing = client.post("/api/tags", json={"tag": "sea", "images": [COPY]}).json()
    assert (nothing["changed"], nothing["undo"]) == (0, None)


def test_tag_is_removed_from_all_images_and_comes_back(client):
    client.post("/api/tags", json={"tag": "sea", "images": [FIRST, image_id("photos", "photo_009.jpg")]})
    removed = client.post("/api/tags/remove", json={"tag": "sea"}).json()
    assert (removed["tags"], removed["changed"]) == ([], 3)
    back = client.post("/api/tags/undo", json={"undo": removed["undo"]}).json()
    assert back["tags"] == [{"tag": "sea", "images": 3}] and back["changed"] == 3


def test_running_search_reports_progress_and_a_newer_one_replaces_it():
    jobs, go, stopped = NeighbourJobs(), threading.Event(), threading.Event()

    def slow(report):
        report(0, 100)
        report(40, 100)
        go.wait(10)
        try:
            report(80, 100)
        except BaseException:
            stopped.set()
            raise
        return []

    found = jobs.result("outliers", 1, slow)
    assert isinstance(found, JobProgress) and (found.done, found.total) == (40, 100)
    assert found.seconds_left is not None
    jobs.result("outliers", 2, lambda report: [])
    go.set()
    assert stopped.wait(10)
    for _ in range(100):
        last = jobs.result("outliers", 2, lambda report: [])
        if last == []:
            break
    assert last == []
    jobs.close()


def test_search_that_failed_is_tried_again():
    jobs, tries = NeighbourJobs(), []

    def work(report):
        tries.append(1)
        raise QueryError("too few images")

    for _ in range(2):
        with pytest.raises(QueryError, match="too few"):
            jobs.result("labels", 1, work)
    assert len(tries) == 2
    jobs.close()


def test_lake_with_one_folder_has_no_labels(tmp_path):
    lake = toy.new_lake(tmp_path / "lake", ("rgb_histogram",), sources={"photos": tmp_path / "photos"})
    toy.write_photos(tmp_path / "photos", range(4))
    toy.build(lake)
    with TestClient(create_app(lake)) as client:
        found = finished(client, "/api/label-issues")
    assert (found["has_labels"], found["findings"]) == (False, [])
