"""The HTTP API: searches, uploads, images, metrics."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from imrec_core.runtime.timing import STAGES
from imrec_core.search import ranking
from imrec_core.web.routes import search
from tests.support import toy
from tests.support.pictures import encode
from tests.support.serving import FEATURES, MIX, Served, serving, web_lake


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    with serving(web_lake(tmp_path_factory.mktemp("web"))) as found:
        yield found


@pytest.fixture(scope="module")
def client(served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as found:
        yield found


@pytest.fixture(scope="module")
def some_id(client) -> str:
    return client.post("/api/search", json={"k": 1}).json()["hits"][0]["image_id"]


def test_features_list_features_mixes_and_columns(client):
    found = client.get("/api/features").json()
    assert [feature["name"] for feature in found["features"]] == list(FEATURES)
    assert found["sources"] == ["photos", "scans"]
    assert {"name": MIX, "weights": {"rgb_histogram": 0.6, "phash": 0.4}} in found["mixes"]
    assert found["likeness"][2] == {"word": "close", "max_false_match_rate": 0.001}
    (source,) = [column for column in found["columns"] if column["name"] == "source"]
    assert source == {"name": "source", "type": "VARCHAR", "values": ["photos", "scans"]}


def test_search_by_id_equals_that_of_the_recommender(client, served, some_id):
    asked = {"like": [{"image_id": some_id}], "k": 5, "by": {"phash": 1.0, "rgb_histogram:hellinger": 0.5}}
    found = client.post("/api/search", json=asked).json()
    from imrec_core import ImageId, Recommender

    hits = Recommender.open(served.lake).search(ImageId(some_id), k=5, by=asked["by"])
    assert [hit["image_id"] for hit in found["hits"]] == [hit.image_id for hit in hits]
    assert found["hits"][0]["parts"]["phash"]["distance"] == hits[0].parts["phash"].distance
    assert found["hits"][0]["width"] == 160
    assert not found["hits"][0]["path"].startswith("/")


def test_uploaded_image_is_found_and_cached_for_the_next_request(client):
    picture = encode(toy.photo(7), "JPEG", quality=90)
    files, asked = {"images": ("seven.jpg", picture)}, {"k": 3, "with_self": True}
    found = client.post("/api/search", files=files, data={"request": json.dumps(asked)}).json()
    assert found["hits"][0]["path"] == "photo_007.jpg"
    assert found["hits"][0]["score"] == 1
    (upload,) = found["uploads"]
    assert (upload["name"], upload["width"], upload["height"]) == ("seven.jpg", 160, 120)
    again = client.post("/api/search", json={"like": [{"upload": upload["upload"]}], **asked}).json()
    assert again["hits"] == found["hits"]
    others = client.post("/api/search", json={"like": [{"upload": upload["upload"]}], "k": 3}).json()["hits"]
    assert "photo_007.jpg" not in [hit["path"] for hit in others]
    assert client.get(f"/thumb/upload/{upload['upload']}").headers["content-type"] == "image/jpeg"


def test_distance_limits_the_hits_of_all_pages(client, some_id):
    asked = {"like": [{"image_id": some_id}], "by": "phash", "k": 4, "max_distance": 24}
    every = client.post("/api/search", json={**asked, "k": 100}).json()
    assert 4 < len(every["hits"]) < 60 and all(hit["parts"]["phash"]["distance"] <= 24 for hit in every["hits"])
    pages = [client.post("/api/search", json={**asked, "offset": i}).json() for i in (0, 4)]
    assert [hit for page in pages for hit in page["hits"]] == every["hits"][:8] and pages[0]["more"]
    assert client.post("/api/search", json={**asked, "max_distance": -1}).status_code == 422
    refused = client.post("/api/search", json={**asked, "by": ["phash", "dhash"]})
    assert refused.status_code == 400 and "max_distance is a distance by one feature" in refused.json()["error"]


@pytest.mark.parametrize("entry", [{"url": "http://127.0.0.1:1/x.jpg"}, {"path": "/etc/hostname"}])
def test_server_fetches_neither_urls_nor_paths_for_its_clients(client, entry):
    answer = client.post("/api/search", json={"like": [entry]})
    assert answer.status_code == 422 and "Extra inputs are not permitted" in answer.json()["error"]


@pytest.mark.parametrize("text", ["http://127.0.0.1:1/x.jpg", "/etc/hostname"])
def test_url_as_text_is_a_text(client, text):
    answer = client.post("/api/search", json={"like": [{"text": text}]})
    assert answer.status_code == 400 and "no feature of this lake supports text" in answer.json()["error"]


def test_pages_of_hits_follow_each_other(client, some_id):
    asked = {"like": [{"image_id": some_id}], "k": 20}
    whole = client.post("/api/search", json=asked).json()["hits"]
    second = client.post("/api/search", json={**asked, "k": 10, "offset": 10}).json()
    assert second["hits"] == whole[10:]
    assert second["more"]


@pytest.mark.parametrize("asked", [{}, {"diversify": 0.3}, {"distinct": "content"}, {"where": "row < 21"}])
@pytest.mark.parametrize("is_query", [True, False])
def test_more_is_true_if_and_only_if_the_next_page_has_hits(client, some_id, asked, is_query):
    asked = {**asked, "like": [{"image_id": some_id}] if is_query else []}
    count = len(client.post("/api/search", json={**asked, "k": 1000}).json()["hits"])
    for offset, k in ((0, count - 1), (0, count), (0, count + 1), (count - 3, 2), (count - 3, 3), (count, 1)):
        found = client.post("/api/search", json={**asked, "k": k, "offset": offset}).json()
        assert (len(found["hits"]), found["more"]) == (min(k, count - offset), offset + k < count)


def test_more_is_false_at_the_end_of_the_reach(client, some_id, monkeypatch):
    monkeypatch.setattr(search, "MAX_REACH", 30)
    asked = {"like": [{"image_id": some_id}], "k": 10}
    pages = [client.post("/api/search", json={**asked, "offset": offset}).json() for offset in (10, 20)]
    assert [(len(page["hits"]), page["more"]) for page in pages] == [(10, True), (10, False)]
    beyond = client.post("/api/search", json={**asked, "offset": 21})
    assert beyond.status_code == 422 and "with a query it must be at most 30" in beyond.json()["error"]
    rows = client.post("/api/search", json={"k": 10, "offset": 30}).json()
    assert (len(rows["hits"]), rows["more"]) == (10, True)


@pytest.mark.parametrize("chosen", [{}, {"where": "row < 21"}, {"order_by": "path"}, {"distinct": "content"}])
def test_total_is_the_number_of_hits_of_all_pages(client, some_id, chosen):
    for like in ([], [{"image_id": some_id}]):
        asked = {**chosen, "like": like, "k": 5}
        found = client.post("/api/search", json=asked).json()
        every = client.post("/api/search", json={**asked, "k": 1000}).json()
        expected = None if like and "distinct" in chosen else len(every["hits"])
        assert (found["total"], every["total"]) == (expected, expected)
    reached = client.post("/api/search", json={"like": [{"image_id": some_id}], "order_by": "path", "reach": 25}).json()
    assert reached["total"] == 25


def test_pages_of_a_random_order_are_parts_of_one_result(client):
    asked = {"order_by": "random()", "k": 30}
    pages = [client.post("/api/search", json={**asked, "offset": offset}).json()["hits"] for offset in (0, 30, 60)]
    assert len({hit["image_id"] for page in pages for hit in page}) == 69
    again = client.post("/api/search", json=asked).json()["hits"]
    assert [hit["image_id"] for hit in again] != [hit["image_id"] for hit in pages[0]]


@pytest.mark.parametrize(
    "chosen", [{"order_by": "path DESC"}, {"diversify": 0.5}, {"diversify": 0.5, "order_by": "width, path"}]
)
def test_pages_with_a_reach_are_parts_of_one_result(client, some_id, chosen):
    asked = {"like": [{"image_id": some_id}], **chosen}
    whole = client.post("/api/search", json={**asked, "k": 25}).json()
    pages = [
        client.post("/api/search", json={**asked, "k": 10, "offset": offset, "reach": 25}).json()
        for offset in (0, 10, 20)
    ]
    assert [hit for page in pages for hit in page["hits"]] == whole["hits"]
    assert [page["more"] for page in pages] == [True, True, False]
    assert [page["reached"] for page in pages] == [25] * 3
    assert {hit["rank"] for hit in whole["hits"]} == set(range(1, 26))
    beyond = client.post("/api/search", json={**asked, "k": 10, "reach": 200}).json()
    assert beyond["reached"] == 68


def test_ordered_hits_after_the_first_page_need_a_reach(client, some_id):
    asked = {"like": [{"image_id": some_id}], "order_by": "path", "k": 5, "offset": 5}
    refused = client.post("/api/search", json=asked)
    assert (refused.status_code, refused.json()["kind"]) == (422, "BadRequest")
    assert "set `reach` to their number" in refused.json()["error"]
    rows = client.post("/api/search", json={**asked, "like": []}).json()  # without a query, all rows are ordered
    assert [hit["rank"] for hit in rows["hits"]] == [6, 7, 8, 9, 10]
    assert rows["reached"] == 69


def test_hit_is_explained_as_one_of_the_best(client, some_id):
    asked = {"like": [{"image_id": some_id}], "diversify": 0.5, "reach": 40}
    for hit in client.post("/api/search", json={**asked, "k": 3, "offset": 30}).json()["hits"]:
        why = client.post("/api/explain", json={**asked, "hit": hit["image_id"]}).json()
        assert (why["rank"], why["score"], why["parts"]) == (hit["rank"], hit["score"], hit["parts"])


def test_search_without_a_query_returns_rows_in_order(client):
    found = client.post("/api/search", json={"k": 4, "where": "source = 'scans'", "order_by": "path DESC"}).json()
    assert [hit["path"] for hit in found["hits"]] == ["wide.png", "copy_007.jpg", "copy_006.jpg", "copy_005.jpg"]
    assert found["hits"][0]["score"] is None


def test_similar_equals_a_search_by_id(client, some_id):
    found = client.get(f"/api/images/{some_id}/similar", params={"k": 3, "by": "phash"}).json()
    asked = {"like": [{"image_id": some_id}], "k": 3, "by": "phash"}
    assert found["hits"] == client.post("/api/search", json=asked).json()["hits"]


def test_image_has_properties_and_exact_copies(client):
    asked = {"k": 1, "where": "path = 'photo_002.jpg'"}
    image = client.post("/api/search", json=asked).json()["hits"][0]["image_id"]
    found = client.get(f"/api/images/{image}").json()
    assert found["facts"]["format"] == "JPEG"
    assert [copy["path"] for copy in found["copies"]] == ["copy_002.jpg"]
    assert found["decided"] == {"keep": False, "apart": []}


def test_thumbnail_and_file_are_returned(client, served, some_id):
    thumb = client.get(f"/thumb/{some_id}", params={"size": 160})
    assert thumb.headers["content-type"] == "image/jpeg"
    again = client.get(f"/thumb/{some_id}", params={"size": 160}, headers={"If-None-Match": thumb.headers["etag"]})
    assert again.status_code == 304
    whole = client.get(f"/image/{some_id}")
    path = client.get(f"/api/images/{some_id}").json()["path"]
    assert whole.content == (served.lake.root.parent / "photos" / path).read_bytes()


def test_query_errors_have_a_kind(client):
    for asked, kind in (({"by": "phsh"}, "UnknownName"), ({"where": "widht > 1"}, "BadFilter")):
        some = client.post("/api/search", json={"like": [{"text": "a"}], **asked}) if "by" in asked else None
        found = some or client.post("/api/search", json=asked)
        assert found.status_code == 400
        assert found.json()["kind"] == kind


def test_pages_and_files_are_served(client):
    for path in ("/", "/duplicates", "/issues", "/status", "/map"):
        assert client.get(path).headers["content-type"].startswith("text/html")
    assert len(client.get("/static/vendor/deck.js").content) > 1_000_000


_BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/nothing", "/static/nothing.js", "/map/deeper", "/%3Cscript%3E"])
def test_unknown_address_is_a_page_for_browsers(client, path):
    found = client.get(path, headers=_BROWSER)
    assert (found.status_code, found.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert 'href="/"' in found.text and "script" not in found.text
    assert (found.headers["vary"], found.headers["cache-control"]) == ("Accept", "no-cache")
    assert client.head(path, headers=_BROWSER).status_code == 404


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/nothing", "*/*"),
        ("/static/nothing.js", "application/json"),
        ("/api/nothing", "application/json"),
        ("/api/nothing", "text/html"),
        ("/api", "text/html"),
    ],
)
def test_unknown_address_is_json_for_programs_and_in_the_api(client, path, accept):
    found = client.get(path, headers={"Accept": accept})
    assert (found.status_code, found.json()["kind"]) == (404, "HTTP")
    assert found.json()["error"] == f"{path}: Not Found"


def test_unknown_image_is_json_for_browsers_too(client):
    found = client.get(f"/image/{'0' * 16}", headers=_BROWSER)
    assert (found.status_code, found.json()["kind"]) == (404, "UnknownImage")


def test_scripts_are_no_wider_than_other_code():
    scripts = sorted((Path(search.__file__).parents[1] / "static").glob("*.js"))
    lines = [(script.name, line) for script in scripts for line in script.read_text("utf-8").splitlines()]
    assert [(name, line) for name, line in lines if len(line) > 120] == []
    assert len(scripts) > 20


def test_health(client):
    found = client.get("/health").json()
    assert found["rows"] == 69
    assert 0 <= found["age_seconds"] < 3600


def test_openapi_has_every_referenced_schema(client):
    text = json.dumps(client.get("/openapi.json").json())
    for reference in set(part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]):
        assert f'"{reference}": {{' in text


def test_api_docs_list_the_routes(client):
    text = client.get("/docs").text
    assert "POST /api/search" in text and "max_false_match_rate" in text
    assert "<script" not in text and "style=" not in text


def test_stages_are_measured(client, some_id):
    before = _counts(client)
    client.post("/api/search", json={"like": [{"image_id": some_id}], "k": 2})
    client.post("/api/search", files={"images": ("a.png", encode(toy.photo(90), "PNG"))})
    after = _counts(client)
    assert {name: after.get(name, 0) - before.get(name, 0) for name in STAGES} == {
        "decode": 1,
        "encode": 1,
        "candidates": 2,
        "re-rank": 2,
        "fetch": 2,
    }
    assert 'imrec_requests_total{method="POST",route="/api/search",status="200"}' in client.get("/metrics").text


def _counts(client) -> dict[str, float]:
    """Return the number of measurements of each stage."""
    found = re.findall(r'imrec_stage_seconds_count\{stage="(.*)"\} (.*)', client.get("/metrics").text)
    return {name: float(count) for name, count in found}


def test_upload_is_encoded_once(client, monkeypatch):
    from imrec_core.images import decode as decoding

    encoded = []
    decode = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda data, **options: (encoded.append(1), decode(data, **options))[1])
    picture = {"images": ("b.png", encode(toy.photo(91), "PNG"))}
    found = [client.post("/api/search", files=picture, data={"request": '{"k": 2}'}).json() for _ in range(3)]
    assert len(encoded) == 1
    handle = found[0]["uploads"][0]["upload"]
    asked = {"like": [{"upload": handle}], "by": ["rgb_histogram", "phash"]}
    for _ in range(2):
        client.post("/api/search", json=asked)
    assert len(encoded) == 2  # for phash, which the default search did not need


def test_new_generation_serves_new_requests(tmp_path, monkeypatch):
    """A running request uses the generation that it started with, the next request the new one."""
    lake = web_lake(tmp_path, photos=10)
    begun, go = threading.Event(), threading.Event()
    rank = ranking.rank

    def held_up(*asked):
        begun.set()
        go.wait(60)
        return rank(*asked)

    with serving(lake) as found, httpx.Client(base_url=found.url, timeout=60) as client:
        first = client.post("/api/search", json={"k": 1}).json()
        image = first["hits"][0]["image_id"]
        with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patch:
            patch.setattr(ranking, "rank", held_up)
            under_way = pool.submit(client.post, "/api/search", json={"like": [{"image_id": image}], "k": 100})
            assert begun.wait(60)
            toy.write_photos(tmp_path / "photos", range(10, 14))
            toy.build(lake)
            new = client.post("/api/search", json={"k": 100}).json()
            go.set()
            old = under_way.result().json()
        assert (old["generation"], len(old["hits"])) == (first["generation"], 18)
        assert new["generation"] != first["generation"]
        assert len(new["hits"]) == 23
        assert client.get("/health").json()["rows"] == 23
        after = client.post("/api/search", json={"like": [{"image_id": image}], "k": 100}).json()
        assert (after["generation"], len(after["hits"])) == (new["generation"], 22)
