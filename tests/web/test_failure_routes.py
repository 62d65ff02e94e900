"""Files that could not be read, over HTTP."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from imrec_core import Lake
from imrec_core.catalog import manifests, retry_marks
from imrec_core.catalog.ids import image_id
from imrec_core.web import create_app
from tests.support import toy
from tests.support.pictures import encode

CUT, NOTES = image_id("photos", "cut.jpg"), image_id("photos", 'notes, "1".jpg')


def half_of(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake of six photos in two sources, and of files that are cut, empty, no image, and outside."""
    toy.write_photos(tmp_path / "photos", range(4))
    toy.write_photos(tmp_path / "scans", range(4, 6))
    (tmp_path / "photos" / "cut.jpg").write_bytes(half_of(encode(toy.photo(1), "JPEG")))
    (tmp_path / "photos" / 'notes, "1".jpg').write_text("not a picture")
    (tmp_path / "scans" / "empty.jpg").write_bytes(b"")
    made = toy.new_lake(
        tmp_path / "lake", ("rgb_histogram",), sources={"photos": tmp_path / "photos", "scans": tmp_path / "scans"}
    )
    toy.build(made)
    return made


@pytest.fixture
def client(lake: Lake) -> Iterator[TestClient]:
    with TestClient(create_app(lake)) as found:
        yield found


def paths(found: dict) -> list[str]:
    return [one["path"] for one in found["failures"]]


def test_failures_have_kinds_in_plain_words_and_what_to_do(client, lake):
    answer = client.get("/api/failures")
    found = answer.json()
    assert paths(found) == ["cut.jpg", 'notes, "1".jpg', "empty.jpg"]
    assert [one["kind"] for one in found["failures"]] == ["damaged", "not_an_image", "not_an_image"]
    assert {one["kind"]: one["files"] for one in found["kinds"]} == {"damaged": 1, "not_an_image": 2}
    assert all(one["title"] and one["advice"].endswith(".") for one in found["kinds"])
    assert found["sources"] == [{"source": "photos", "files": 2}, {"source": "scans", "files": 1}]
    assert (found["total"], found["marked"], found["next"]) == (3, 0, None)
    assert str(lake.root.parent) not in answer.text


def test_failures_are_filtered_and_paged(client):
    assert paths(client.get("/api/failures", params={"kind": "damaged"}).json()) == ["cut.jpg"]
    assert paths(client.get("/api/failures", params={"source": "scans"}).json()) == ["empty.jpg"]
    first = client.get("/api/failures", params={"limit": 2}).json()
    rest = client.get("/api/failures", params={"limit": 2, "offset": first["next"]}).json()
    assert len(paths(first)) == 2 and paths(rest) == ["empty.jpg"] and rest["next"] is None
    assert first["total"] == rest["total"] == 3


def test_list_is_downloaded_as_csv(client):
    answer = client.get("/api/failures/list")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["path"] for row in rows] == ["cut.jpg", 'notes, "1".jpg', "empty.jpg"]
    assert rows[0]["kind"] == "damaged" and rows[0]["image_id"] == CUT
    only = client.get("/api/failures/list", params={"source": "scans"}).text
    assert len(only.splitlines()) == 2


def test_new_failure_is_listed_without_a_restart(client, lake):
    assert client.get("/api/failures").json()["total"] == 3
    (lake.root.parent / "scans" / "more.jpg").write_text("not a picture")
    toy.build(lake)
    assert client.get("/api/failures").json()["total"] == 4


def test_marks_are_kept_for_the_next_build_and_removed(client, lake):
    def retry(**body: object) -> dict:
        answer = client.post("/api/failures/retry", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert retry(images=[CUT, CUT]) == {"changed": 1, "marked": 1}
    found = client.get("/api/failures").json()
    assert [one["is_marked"] for one in found["failures"]] == [True, False, False] and found["marked"] == 1
    assert client.get("/api/failures", params={"source": "scans"}).json()["marked"] == 0
    assert client.get("/api/status").json()["failures"]["marked"] == 1
    assert retry(source="scans") == {"changed": 1, "marked": 2}
    assert retry() == {"changed": 1, "marked": 3}
    assert retry(kind="not_an_image", remove=True) == {"changed": 2, "marked": 1}
    assert manifests.diff(lake).reread == 1
    toy.build(lake)
    assert retry_marks.load(lake) == frozenset()
    assert client.get("/api/failures").json()["marked"] == 0


def test_preview_is_what_is_left_of_a_damaged_image(client):
    answer = client.get(f"/failed/{CUT}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert Image.open(io.BytesIO(answer.content)).size == toy.photo(1).shape[1::-1]


def test_preview_of_other_files_is_refused(client, lake):
    photos = lake.root.parent / "photos"
    for nothing in (NOTES, image_id("scans", "empty.jpg")):
        answer = client.get(f"/failed/{nothing}")
        assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/failed/{image_id('photos', 'photo_000.jpg')}").json()["kind"] == "UnknownImage"
    assert client.get(f"/failed/{'f' * 16}").json()["kind"] == "UnknownImage"
    for wrong in ("../lake.toml", "cut.jpg", "%2e%2e%2flake.toml", "F" * 16):
        assert client.get(f"/failed/{wrong}").status_code in (404, 422)
    secret = lake.root.parent / "secret.jpg"
    secret.write_bytes((photos / "cut.jpg").read_bytes())
    times = (photos / "cut.jpg").stat()
    os.utime(secret, ns=(times.st_atime_ns, times.st_mtime_ns))
    (photos / "cut.jpg").unlink()
    (photos / "cut.jpg").symlink_to(secret)
    assert "outside the sources" in client.get(f"/failed/{CUT}").json()["error"]
    (photos / "cut.jpg").unlink()
    (photos / "cut.jpg").write_bytes((photos / "photo_000.jpg").read_bytes())
    assert "has changed since the last scan" in client.get(f"/failed/{CUT}").json()["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"images": []}, 422),
        ({"images": ["x"]}, 422),
        ({"images": ["f" * 16] * 1001}, 422),
        ({"images": ["f" * 16]}, 404),
        ({"images": [CUT], "kind": "damaged"}, 422),
        ({"kind": "broken"}, 400),
        ({"source": "card"}, 400),
        ({"all": True}, 422),
    ],
)
def test_wrong_marks_are_refused(client, lake, body, status):
    assert client.post("/api/failures/retry", json=body).status_code == status
    assert retry_marks.load(lake) == frozenset()


def test_wrong_lists_are_refused(client):
    for path in ("/api/failures", "/api/failures/list"):
        assert client.get(path, params={"kind": "broken"}).json()["kind"] == "UnknownName"
        assert client.get(path, params={"source": "card"}).status_code == 400
    assert client.get("/api/failures", params={"limit": 1000}).status_code == 422
    assert client.get("/api/failures", params={"offset": -1}).status_code == 422


def test_marks_from_another_site_are_refused(client, lake):
    headers = {"Origin": "http://elsewhere.example", "X-Imrec": "1"}
    assert client.post("/api/failures/retry", json={}, headers=headers).status_code == 403
    assert client.post("/api/failures/retry", json={}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 403
    assert retry_marks.load(lake) == frozenset()
