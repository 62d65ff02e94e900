"""The HTTP API of duplicates, status, maps and explanations."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from imrec_core.duplicates.move_plan import MovePlan
from imrec_core.index.opening import open_generation
from imrec_core.lake.tags import change_tag
from tests.support import toy
from tests.support.maps import save_line_map
from tests.support.pictures import encode
from tests.support.serving import Served, serving, web_lake


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    lake = web_lake(tmp_path_factory.mktemp("views"))
    save_line_map(lake)
    with serving(lake) as found:
        yield found


@pytest.fixture(scope="module")
def client(served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as found:
        yield found


def _ready(client, **asked) -> dict:
    for _ in range(100):
        found = client.get("/api/duplicates", params=asked).json()
        if found["state"] == "ready":
            return found
    raise AssertionError(found)


def _copies(found: dict) -> list[list[str]]:
    return [[f"{copy['source']}/{copy['path']}" for copy in group["copies"]] for group in found["groups"]]


def test_duplicates_are_paged(client):
    whole = _ready(client, limit=100)
    assert whole["total"] == 8
    assert whole["groups"][0]["copies"][0]["is_kept"]
    assert all(group["why"] for group in whole["groups"])
    first = _ready(client, limit=5)
    second = _ready(client, limit=5, cursor=first["next"])
    assert _copies(first) + _copies(second) == _copies(whole)
    assert second["next"] is None


def test_decision_changes_the_groups_and_is_undone_alone(client):
    whole = _ready(client, limit=100)
    (near,) = [group for group in whole["groups"] if "photo_005.jpg" in str(group)]
    pair = [copy["image_id"] for copy in near["copies"]]
    keep = {"action": "keep", "images": pair[1:]}
    assert client.post("/api/decisions", json=keep).json() == {"decisions": {"keep": 1, "apart": 0}}
    apart = {"action": "not_duplicates", "images": pair}
    assert client.post("/api/decisions", json=apart).json() == {"decisions": {"keep": 1, "apart": 1}}
    assert _ready(client)["total"] == 7
    assert client.get(f"/api/images/{pair[1]}").json()["decided"] == {"keep": True, "apart": [pair[0]]}
    undone = client.post("/api/decisions", json={**apart, "action": "undo_not_duplicates"}).json()
    assert undone == {"decisions": {"keep": 1, "apart": 0}}
    (again,) = [group for group in _ready(client, limit=100)["groups"] if "photo_005.jpg" in str(group)]
    assert [copy["image_id"] for copy in again["copies"] if copy["is_kept"]] == pair[1:]
    assert [copy["decided"] for copy in again["copies"]] == [copy["image_id"] == pair[1] for copy in again["copies"]]
    client.post("/api/decisions", json={**keep, "action": "undo_keep"})
    assert _ready(client, limit=100)["groups"] == whole["groups"]


def test_plan_can_be_read_by_the_command(client, tmp_path):
    _ready(client)
    found = client.get("/api/duplicates/plan")
    assert found.headers["content-disposition"].startswith("attachment")
    (tmp_path / "plan.json").write_bytes(found.content)
    assert len(MovePlan.load(tmp_path / "plan.json").moves) == 8


def test_search_that_has_ended_is_not_changed_by_cancel(client):
    whole = _ready(client, tier="same_pixels")
    for action in ("cancel", "continue"):
        control = {"tier": "same_pixels", "action": action}
        assert client.post("/api/duplicates/search", json=control).json() == control
    assert _ready(client, tier="same_pixels") == whole


@pytest.mark.parametrize(
    "body", [{}, {"tier": "near"}, {"tier": "all", "action": "cancel"}, {"tier": "near", "action": "stop"}]
)
def test_invalid_control_of_a_search_is_refused(client, body):
    found = client.post("/api/duplicates/search", json=body)
    assert (found.status_code, found.json()["kind"]) == (422, "BadRequest")


def test_invalid_and_stale_cursors_are_refused(client):
    assert client.get("/api/duplicates", params={"cursor": "x"}).json()["kind"] == "BadCursor"
    image = _ready(client)["groups"][0]["copies"][0]["image_id"]
    old = client.get("/api/duplicates", params={"cursor": f"20200101-000000~{image}"})
    assert (old.status_code, old.json()["kind"]) == (410, "StaleCursor")
    generation = _ready(client)["generation"]
    unknown = client.get("/api/duplicates", params={"cursor": f"{generation}~{'0' * 16}"})
    assert (unknown.status_code, unknown.json()["kind"]) == (400, "BadCursor")


def test_decision_between_pages_skips_no_group(client):
    whole = _copies(_ready(client, limit=100))
    first = _ready(client, limit=6)
    near = next(group for group in first["groups"] if group["pairs"])
    apart = {"action": "not_duplicates", "images": [copy["image_id"] for copy in near["copies"]]}
    client.post("/api/decisions", json=apart)
    try:
        assert _copies(_ready(client, limit=6, cursor=first["next"])) == whole[6:]
    finally:
        client.post("/api/decisions", json={**apart, "action": "undo_not_duplicates"})


def test_decisions_about_the_wrong_number_of_images_are_refused(client):
    image = _ready(client)["groups"][0]["copies"][0]["image_id"]
    assert client.post("/api/decisions", json={"action": "not_duplicates", "images": [image]}).status_code == 422
    same = client.post("/api/decisions", json={"action": "not_duplicates", "images": [image, image]})
    assert same.json()["kind"] == "QueryError"


def test_status_names_sources_features_and_maps(client):
    found = client.get("/api/status").json()
    assert [(s["name"], s["images"], s["fresh"], s["stale"]) for s in found["sources"]] == [
        ("photos", 60, 4, 0),
        ("scans", 9, 1, 0),
    ]
    assert all(source["reachable"] for source in found["sources"])
    assert found["maps"] == ["line"]
    assert found["failures"] == {"total": 0, "marked": 0, "kinds": [], "reasons": []}


def test_status_reports_unreachable_sources_and_failures(tmp_path):
    lake = web_lake(tmp_path, photos=10)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no picture")
    from tests.support import toy

    toy.build(lake)
    shutil.rmtree(tmp_path / "scans")
    with serving(lake) as found:
        status = httpx.get(f"{found.url}/api/status", timeout=60).json()
    assert [source["reachable"] for source in status["sources"]] == [True, False]
    assert status["failures"]["total"] == 1
    assert status["failures"]["reasons"][0]["examples"] == ["photos/bad.jpg"]
    assert str(tmp_path) not in str(status)


# -- maps ---------------------------------------------------------------------------------------------------


def _numbers(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def test_map_excludes_removed_images(client):
    found = client.get("/api/map/line").json()
    assert found["count"] == 69
    assert _numbers(found["x"], "<f4").tolist() == list(range(69))
    (cluster,) = found["clusters"]
    assert cluster["size"] == 10
    assert cluster["image_id"] == f"{_numbers(found['ids'], '<u8')[0]:016x}"


def test_clusters_are_named_by_what_is_frequent_in_them(client, served):
    found = client.get("/api/map/line/names").json()
    assert found["clusters"] == [{"cluster": 0, "size": 10, "name": "", "terms": []}], "all are of the same folder"
    ids = _numbers(client.get("/api/map/line").json()["ids"], "<u8")
    generation = open_generation(served.lake)
    rows = generation.rows_of(ids[:6])
    hashes = generation.columns("content_hash")["content_hash"].take(rows).to_pylist()
    change_tag(served.lake, "first six", hashes)
    try:
        (one,) = client.get("/api/map/line/names").json()["clusters"]
        assert (one["name"], one["terms"][0]["by"], one["terms"][0]["share"]) == ("first six", "tag", 0.6)
        assert one["terms"][0]["lift"] == pytest.approx(0.6 / (len(_images_with(generation, hashes)) / 69), abs=0.01)
    finally:
        change_tag(served.lake, "first six", hashes, remove=True)
    assert client.get("/api/map/line/names").json() == found
    assert client.get("/api/map/none/names").status_code == 404


def _images_with(generation, hashes) -> list[str]:
    return [one for one in generation.live_table(["content_hash"])["content_hash"].to_pylist() if one in hashes]


def test_hits_of_a_search_are_places_on_the_map(client):
    points = client.get("/api/map/line").json()
    ids = _numbers(points["ids"], "<u8")
    found = client.post("/api/map/line/hits", json={"where": "source = 'scans'"}).json()
    assert (found["points"], found["count"], found["more"]) == (points["count"], 9, False)
    listed = client.post("/api/search", json={"where": "source = 'scans'", "k": 100}).json()["hits"]
    places = _numbers(found["places"], "<u4")
    assert [f"{ids[place]:016x}" for place in places] == [hit["image_id"] for hit in listed]
    asked = {"like": [{"image_id": f"{ids[5]:016x}"}], "k": 7}
    found = client.post("/api/map/line/hits", json=asked).json()
    listed = client.post("/api/search", json=asked).json()["hits"]
    assert (found["count"], found["more"]) == (7, True)
    assert [f"{ids[place]:016x}" for place in _numbers(found["places"], "<u4")] == [hit["image_id"] for hit in listed]
    every = client.post("/api/map/line/hits", json={}).json()
    assert _numbers(every["places"], "<u4").tolist() == list(range(69))


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"where": "width >"}, 400, "ends too early"),
        ({"k": 5000}, 422, "k"),
        ({"like": [{"image_id": "0" * 16}]}, 404, "no image"),
        ({"like": [{"upload": "0" * 32}]}, 410, "upload"),
        ({"wheer": "1"}, 422, "wheer"),
    ],
)
def test_bad_search_for_hits_on_the_map_is_refused(client, asked, status, words):
    found = client.post("/api/map/line/hits", json=asked)
    assert (found.status_code, words in found.json()["error"]) == (status, True), found.text
    assert client.post("/api/map/none/hits", json={}).status_code == 404


def test_maps_are_listed(client, served):
    found = client.get("/api/map").json()
    (one,) = found["maps"]
    assert (one["name"], one["rows"], one["clusters"], one["is_current"]) == ("line", 70, 1, False)
    assert found["colours"][:2] == ["cluster", "source"]
    assert "content_hash" not in found["colours"]


def test_colours_are_categories_and_numbers(client):
    source = client.get("/api/map/line/colours", params={"by": "source"}).json()
    assert source["labels"] == ["photos", "scans"]
    assert np.bincount(_numbers(source["codes"], "u1")).tolist() == [60, 9]
    cluster = client.get("/api/map/line/colours", params={"by": "cluster"}).json()
    assert (cluster["labels"], _numbers(cluster["codes"], "u1")[-1]) == (["0", "none"], 1)
    width = client.get("/api/map/line/colours", params={"by": "width"}).json()
    assert (width["kind"], width["low"], width["high"]) == ("number", 140, 320)
    taken = client.get("/api/map/line/colours", params={"by": "taken"}).json()
    assert (taken["kind"], taken["low"], np.isnan(_numbers(taken["values"], "<f4")).all()) == ("date", None, True)
    assert client.get("/api/map/line/colours", params={"by": "path"}).status_code == 400


def test_search_within_an_area_of_a_map(client):
    polygon = [[4.5, -1], [7.5, -1], [7.5, 1], [4.5, 1]]
    found = client.post("/api/search", json={"within": {"map": "line", "polygon": polygon}, "k": 10}).json()
    ids = _numbers(client.get("/api/map/line").json()["ids"], "<u8")
    assert [hit["image_id"] for hit in found["hits"]] == [f"{ids[i]:016x}" for i in (5, 6, 7)]
    asked = {"like": [{"image_id": f"{ids[5]:016x}"}], "within": {"map": "line", "polygon": polygon}}
    near = client.post("/api/search", json=asked).json()["hits"]
    assert {hit["image_id"] for hit in near} == {f"{ids[i]:016x}" for i in (6, 7)}


def test_unknown_map_is_not_found(client):
    found = client.get("/api/map/none")
    assert (found.status_code, "imrec map" in found.json()["error"]) == (404, True)


# -- explaining ---------------------------------------------------------------------------------------------


def test_explanation_gives_points_and_colours(client):
    hits = client.post("/api/search", json={"where": "path IN ('photo_005.jpg', 'copy_005.jpg')"}).json()["hits"]
    asked = {"like": [{"image_id": hits[0]["image_id"]}], "hit": hits[1]["image_id"]}
    found = client.post("/api/explain", json=asked).json()
    assert found["rank"] == 1
    assert found["query"] == {"width": 160, "height": 120, "entry": 0}
    assert found["hit"] == {"width": 140, "height": 105}
    assert found["colours"]
    assert "rgb_histogram" in found["parts"]


@pytest.fixture
def whole() -> tuple[bytes, list[int]]:
    """A large image that contains photo 11 at twice its size, and the box of the photo in it."""
    pixels = np.full((400, 600, 3), 130, np.uint8)
    pixels[100:340, 280:600] = np.asarray(Image.fromarray(toy.photo(11)).resize((320, 240)))
    return encode(pixels, "PNG"), [280, 100, 320, 240]


def test_crop_of_an_entry_is_searched_for_and_explained_in_its_place(client, whole):
    data, box = whole
    asked = {"like": [{"file": 0, "crop": box}], "by": {"phash": 1}, "k": 3}
    form = {"files": {"images": ("whole.png", data)}, "data": {"request": json.dumps(asked)}}
    found = client.post("/api/search", **form).json()
    assert found["hits"][0]["path"] == "photo_011.jpg"
    entry = {"upload": found["uploads"][0]["upload"], "crop": box}
    assert client.post("/api/search", json={**asked, "like": [entry]}).json()["hits"] == found["hits"]
    hit = found["hits"][0]["image_id"]
    why = client.post("/api/explain", json={**asked, "like": [entry], "hit": hit}).json()
    assert why["query"] == {"width": 600, "height": 400, "entry": 0} and len(why["points"]) > 3
    for x, y, hit_x, hit_y in why["points"]:
        assert (x - 280) / 2 == pytest.approx(hit_x, abs=3) and (y - 100) / 2 == pytest.approx(hit_y, abs=3)
    of_lake = {"image_id": hit, "crop": [0.0, 0.0, 0.5, 0.5]}
    assert client.post("/api/search", json={**asked, "like": [of_lake]}).status_code == 200


@pytest.mark.parametrize(
    ("entry", "status", "message"),
    [
        ({"text": "a dog", "crop": [0, 0, 1, 1]}, 422, "a crop is a part of an image"),
        ({"file": 0, "crop": [0, 0, 1]}, 422, "at least 4 items"),
        ({"file": 0, "crop": [0, 0, 0, 1]}, 400, "width, height above 0"),
        ({"file": 0, "crop": [0, 0, 601, 1]}, 400, "extends beyond the image, which has 600 × 400 pixels"),
    ],
)
def test_invalid_crop_is_refused(client, whole, entry, status, message):
    form = {"files": {"images": ("whole.png", whole[0])}, "data": {"request": json.dumps({"like": [entry]})}}
    answer = client.post("/api/search", **form)
    assert answer.status_code == status and message in answer.json()["error"]
