"""Access control, and malicious or invalid input, over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from imrec_core import ImageId
from imrec_core.errors import BadFilter
from imrec_core.runtime.timing import timed
from imrec_core.search import ranking
from imrec_core.sql.policy import SqlPolicy
from imrec_core.web.limits import Limits
from imrec_core.web.routes import search as search_routes
from imrec_core.web.routes.images import content_disposition
from imrec_core.web.state import AppState
from tests.support import toy
from tests.support.pictures import BROKEN, PICTURES, encode
from tests.support.serving import Served, serving, web_lake

TOKEN = "a-token-of-some-length"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return web_lake(tmp_path_factory.mktemp("guard"), photos=12)


@pytest.fixture(scope="module")
def served(lake) -> Iterator[Served]:
    with serving(lake, limits=Limits(upload_bytes=2_000_000)) as found:
        yield found


@pytest.fixture(scope="module")
def client(served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as found:
        yield found


@pytest.fixture(scope="module")
def locked(lake) -> Iterator[httpx.Client]:
    """A client of a server that requires a token."""
    with serving(lake, token=TOKEN, hosts=None) as found, httpx.Client(base_url=found.url, timeout=60) as client:
        yield client


def _refused(answer: httpx.Response, status: int, kind: str) -> None:
    assert (answer.status_code, answer.json()["kind"]) == (status, kind), answer.text
    assert answer.json()["error"]


def _send(client: httpx.Client, *pictures: bytes, **fields: str) -> httpx.Response:
    return client.post("/api/search", files=[("images", ("p.jpg", data)) for data in pictures], data=fields)


# -- access -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_unknown_hosts_are_refused(client, host):
    _refused(client.get("/health", headers={"Host": host}), 403, "WrongHost")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "LOCALHOST:80"])
def test_own_hosts_are_accepted(client, host):
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "X-Imrec": "1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin"},  # a form cannot set X-Imrec
    ],
)
def test_pages_of_other_sites_cannot_post(client, headers):
    _refused(client.post("/api/search", json={}, headers=headers), 403, "CrossSite")


def test_pages_of_other_sites_cannot_embed_but_may_link(client):
    cross = {"Sec-Fetch-Site": "cross-site"}
    image = {**cross, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    _refused(client.get("/api/features", headers=image), 403, "CrossSite")
    link = {**cross, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=link).status_code == 200


def test_its_own_page_may_post(client, served):
    headers = {"Origin": served.url, "Sec-Fetch-Site": "same-origin", "X-Imrec": "1"}
    assert client.post("/api/search", json={"k": 1}, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/api/features", "/static/app.js", "/metrics", "/openapi.json"])
def test_every_route_requires_the_token(locked, path):
    _refused(locked.get(path), 401, "NoToken")
    _refused(locked.get(path, headers={"Authorization": "Bearer wrong"}), 401, "NoToken")
    _refused(locked.get(path, params={"token": "wrong"}), 401, "NoToken")
    _refused(locked.get(path, headers={"Cookie": "imrec_token=ä".encode()}), 401, "NoToken")


def test_token_in_the_url_becomes_a_cookie(locked):
    entered = locked.get("/map", params={"token": TOKEN, "by": "phash"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/map?by=phash")
    cookie = entered.headers["set-cookie"]
    locked.cookies.clear()
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert locked.get("/health", headers={"Cookie": cookie.partition(";")[0]}).status_code == 200
    assert locked.get("/health", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%0d%0aX:y"])
def test_redirect_after_the_token_stays_on_this_host(locked, path):
    with closing(http.client.HTTPConnection(locked.base_url.netloc.decode(), timeout=60)) as connection:
        connection.request("GET", f"{path}?token={TOKEN}")
        entered = connection.getresponse()
        assert entered.status == 303
        assert entered.headers["location"][:2] not in ("//", "/\\")
        assert "X" not in entered.headers


@pytest.mark.parametrize("path", ["/", "/api/features", "/static/app.js", "/nothing", "/health"])
def test_every_response_has_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"


# -- uploads ------------------------------------------------------------------------------------------------


def test_large_body_is_refused_by_its_content_length(client):
    _refused(_send(client, bytes(3_000_000)), 413, "TooLarge")
    _refused(client.post("/api/search", content=b" " * 1_100_000), 413, "TooLarge")


def test_body_without_a_length_is_refused_while_it_arrives(served):
    """The client sends 200 MB in chunks; the response arrives long before the last."""
    address = urlsplit(served.url)
    head = "POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    sent = 0
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.encode() + b"%x\r\n%s\r\n" % (len(part), part))
        while sent < 200_000_000 and not select.select([connection], [], [], 0)[0]:
            connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            sent += 0x10000
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 50_000_000


def test_many_files_and_many_parts_are_refused(client):
    small = PICTURES["one_pixel.png"]()
    _refused(_send(client, *[small] * 17), 400, "BadForm")
    parts = "".join(f'--x\r\nContent-Disposition: form-data; name="p{i}"\r\n\r\n\r\n' for i in range(10_000))
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    _refused(client.post("/api/search", content=f"{parts}--x--\r\n", headers=form), 400, "BadForm")


@pytest.mark.parametrize(
    "body", [b"", b"--x", b"--x--\r\n", b"nonsense", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n"]
)
def test_broken_forms_are_refused(client, body):
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    _refused(client.post("/api/search", content=body, headers=form), 400, "BadForm")
    _refused(client.post("/api/search", content=body, headers={"Content-Type": "multipart/form-data"}), 400, "BadForm")


@pytest.mark.parametrize("data", [SVG, EPS, b"", b"GIF89a", *[make() for make in BROKEN.values()]])
def test_unreadable_images_are_refused(client, data):
    answer = _send(client, data)
    assert answer.status_code == 400
    assert answer.json()["kind"] in ("UnreadableImage", "TruncatedImage", "ImageTooLarge", "UnsupportedFormat")


def test_giant_images_are_refused_before_decoding(client):
    """A decompression bomb: kilobytes that would decode to gigabytes."""
    import zlib

    bomb = BROKEN["huge_header.png"]().replace(b"IDATx", b"IDATx") + zlib.compress(bytes(1_000_000))
    started = time.perf_counter()
    _refused(_send(client, bomb), 400, "ImageTooLarge")
    assert time.perf_counter() - started < 5


def test_refused_upload_is_not_cached(client, served):
    import hashlib

    data = b"no picture at all"
    _send(client, data)
    gone = client.get(f"/thumb/upload/{hashlib.blake2b(data, digest_size=16).hexdigest()}")
    _refused(gone, 410, "UploadGone")


def test_uploads_are_cached_up_to_a_total_size(lake):
    pictures = [encode(np.random.default_rng(i).integers(0, 256, (200, 200, 3), np.uint8), "PNG") for i in range(3)]
    with serving(lake, limits=Limits(cache_bytes=250_000)) as found, httpx.Client(base_url=found.url) as client:
        handles = [_send(client, data).json()["uploads"][0]["upload"] for data in pictures]
        asked = [client.post("/api/search", json={"like": [{"upload": handle}]}).status_code for handle in handles]
    assert asked == [410, 200, 200]


def test_file_names_have_no_path(client):
    evil = '../../etc/<img src=x onerror=alert(1)>\u202egpj.\nexe"'
    files = {"images": (evil, PICTURES["gradient.jpg"]())}
    (upload,) = client.post("/api/search", files=files).json()["uploads"]
    assert "/" not in upload["name"]


# -- queries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        "COPY rows TO 'x'",
        "path IN (SELECT content FROM read_csv('/etc/passwd'))",
        "ATTACH 'x.db'",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "1 = 1; DROP TABLE rows",
        "(SELECT count(*) FROM rows a, rows b, rows c, rows d, rows e, rows f) > 1",
        "len(range(1000000000)) > 1",
    ],
)
def test_unsafe_sql_is_refused(client, asked):
    started = time.perf_counter()
    _refused(client.post("/api/search", json={"where": asked}), 400, "BadFilter")
    _refused(client.post("/api/search", json={"order_by": asked}), 400, "BadFilter")
    assert time.perf_counter() - started < 5
    assert client.post("/api/search", json={"where": "width > 0"}).json()["hits"]
    (hit,) = client.post("/api/search", json={"k": 1}).json()["hits"]
    image = hit["image_id"]
    _refused(client.get(f"/api/images/{image}/similar", params={"where": asked}), 400, "BadFilter")
    for name in ("where", "order_by"):
        said = {"like": [{"image_id": image}], "hit": image, name: asked}
        _refused(client.post("/api/explain", json=said), 400, "BadFilter")
        _refused(client.post("/api/search", json={"like": [{"image_id": image}], name: asked}), 400, "BadFilter")


def test_deep_nesting_of_sql_is_refused_at_once(client):
    (hit,) = client.post("/api/search", json={"k": 1}).json()["hits"]
    deep, like = "(" * 3990, {"like": [{"image_id": hit["image_id"]}]}
    started = time.perf_counter()
    for name in ("where", "order_by"):
        for body in ({name: deep}, {**like, name: deep}):
            _refused(client.post("/api/search", json=body), 422, "BadFilter")
        _refused(client.post("/api/explain", json={**like, name: deep, "hit": hit["image_id"]}), 422, "BadFilter")
    response = client.get(f"/api/images/{hit['image_id']}/similar", params={"where": deep})
    _refused(response, 422, "BadFilter")
    assert response.json()["error"] == "query.where: brackets are nested more than 50 deep; use a simpler expression"
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("weight", ["nan", "NaN", "inf", "-inf", "1e999", "-1"])
def test_weights_must_be_finite(client, weight):
    (hit,) = client.post("/api/search", json={"k": 1}).json()["hits"]
    image = hit["image_id"]
    for by in (f"phash={weight}", f"rgb_histogram={weight}"):
        response = client.get(f"/api/images/{image}/similar", params={"by": by})
        assert response.status_code == 422 and "finite number of 0 or more" in response.json()["error"]
    number = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(weight, weight)
    like = f'"like": [{{"image_id": "{image}"}}]'
    for body in (
        f'{{{like}, "by": {{"phash": {number}}}}}',
        f'{{{like}, "by": {{"phash": 1, "dhash": {number}}}}}',
        f'{{"like": [{{"image_id": "{image}", "weight": {number}}}]}}',
        f'{{{like}, "unlike": [{{"text": "dog", "weight": {number}}}]}}',
    ):
        assert client.post("/api/search", content=body).status_code == 422
    files = {"images": ("a.jpg", PICTURES["gradient.jpg"]())}
    text = f'{{"by": {{"phash": {number}}}}}'
    assert client.post("/api/search", files=files, data={"request": text}).status_code == 422


def test_weights_that_have_no_sum_are_refused(client):
    (hit,) = client.post("/api/search", json={"k": 1}).json()["hits"]
    by = ["phash=1e308", "dhash=1e308"]
    _refused(client.get(f"/api/images/{hit['image_id']}/similar", params={"by": by}), 422, "BadWeights")
    _refused(client.get(f"/api/images/{hit['image_id']}/similar", params={"by": ["phash=0"]}), 422, "BadWeights")


def test_recommender_of_a_server_trusts_no_sql(lake):
    state = AppState(lake, Limits(filter_seconds=3))
    query = ImageId(state.generation.rows["image_id"][0].as_py())
    try:
        assert state.recommender.sql_policy == state.sql_policy == SqlPolicy.untrusted(3)
        for asked in ({"where": "row IN (SELECT 1)"}, {"order_by": "(SELECT 1)"}):
            with pytest.raises(BadFilter, match="a subquery is not allowed here"):
                state.recommender.search(query, **asked)
    finally:
        state.close()


@pytest.mark.parametrize(
    "body", ["[]", "{", '{"k": 0}', '{"k": 1e99}', '{"kk": 1}', "\ud800", "[" * 5000, '{"offset": -1}']
)
def test_invalid_bodies_are_refused(client, body):
    _refused(client.post("/api/search", content=body.encode("utf-8", "surrogatepass")), 422, "BadRequest")


@pytest.mark.parametrize("path", ["/api/images/{}", "/thumb/{}", "/image/{}", "/api/images/{}/similar"])
def test_unknown_image_ids_are_not_found(client, path):
    _refused(client.get(path.format("0123456789abcdef")), 404, "UnknownImage")
    assert client.get(path.format("..%2f..%2fetc%2fpasswd")).status_code in (404, 422)
    assert client.get(path.format("x" * 16)).status_code == 422


def test_unknown_queries_are_refused(client):
    _refused(client.post("/api/search", json={"like": [{"image_id": "0" * 16}]}), 404, "UnknownImage")
    _refused(client.post("/api/search", json={"like": [{"upload": "0" * 32}]}), 410, "UploadGone")
    _refused(client.post("/api/search", json={"like": [{"file": 0}]}), 400, "BadForm")


def test_paths_and_urls_are_no_queries(client):
    for query in ("/etc/passwd", "http://127.0.0.1:1/", "file:///etc/passwd"):
        for entry in ({"path": query}, {"image_id": query}, {"upload": query}, query):
            assert client.post("/api/search", json={"like": [entry]}).status_code == 422


# -- files --------------------------------------------------------------------------------------------------


@pytest.fixture
def changing(tmp_path) -> Iterator[tuple[httpx.Client, object]]:
    """A server over a lake whose files a test may change, with symbolic links to files outside and inside."""
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(encode(toy.photo(50), "JPEG"))
    toy.write_photos(tmp_path / "photos", range(3))
    os.symlink(outside, tmp_path / "photos" / "leads_out.jpg")
    os.symlink(tmp_path / "photos" / "photo_001.jpg", tmp_path / "photos" / "stays_in.jpg")
    lake = toy.new_lake(tmp_path / "lake", ("phash",))
    toy.build(lake)
    with serving(lake) as found, httpx.Client(base_url=found.url, timeout=60) as client:
        yield client, tmp_path


def _id(client: httpx.Client, name: str) -> str:
    (hit,) = client.post("/api/search", json={"where": f"path = '{name}'"}).json()["hits"]
    return hit["image_id"]


def test_links_are_followed_only_within_a_source(changing):
    client, _ = changing
    inside, outside = _id(client, "stays_in.jpg"), _id(client, "leads_out.jpg")
    for path in ("/image/{}", "/thumb/{}"):
        assert client.get(path.format(inside)).status_code == 200
        _refused(client.get(path.format(outside)), 404, "UnknownImage")


def test_link_that_replaced_a_file_is_not_followed(changing):
    client, folder = changing
    image = _id(client, "photo_002.jpg")
    assert client.get(f"/thumb/{image}").status_code == 200
    shutil.move(folder / "photos", folder / "elsewhere")
    (folder / "photos").mkdir()
    os.symlink(folder / "elsewhere" / "photo_002.jpg", folder / "photos" / "photo_002.jpg")
    _refused(client.get(f"/image/{image}"), 404, "UnknownImage")
    _refused(client.get(f"/thumb/{image}"), 404, "UnknownImage")


@pytest.mark.parametrize("new", [None, SVG, b"<html>", encode(toy.photo(9), "JPEG")])
def test_missing_or_changed_file_is_not_shown(changing, new):
    client, folder = changing
    image, file = _id(client, "photo_000.jpg"), folder / "photos" / "photo_000.jpg"
    assert client.get(f"/thumb/{image}").status_code == 200
    file.unlink()
    if new is not None:
        file.write_bytes(new)
    for path in ("/image/{}", "/thumb/{}"):
        answer = client.get(path.format(image))
        _refused(answer, 404, "UnreadableImage")
        assert str(folder) not in answer.text


def test_touched_file_is_shown(changing):
    client, folder = changing
    image = _id(client, "photo_000.jpg")
    os.utime(folder / "photos" / "photo_000.jpg", (1, 1))
    assert client.get(f"/thumb/{image}").status_code == 200


def test_images_have_a_sandbox_policy(changing):
    client, _ = changing
    headers = client.get(f"/image/{_id(client, 'photo_000.jpg')}").headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-security-policy"] == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
    )


@pytest.mark.parametrize("name", ['a"; x="b', "new\r\nSet-Cookie: a=b", "ü\u202e\udcff.jpg", "雪.png", ""])
def test_file_names_cannot_break_headers(name):
    header = content_disposition(name)
    assert header.encode("latin-1").isascii()
    assert "\n" not in header and "\r" not in header and header.count('"') == 2


# -- load ---------------------------------------------------------------------------------------------------


@dataclass
class Held:
    """A server with one worker, blocked until `go` is set, and a queue of two.

    Attributes:
        begun: One entry for each search that has started.
        ask: Sends a search without waiting for the response.
    """

    url: str
    go: threading.Event
    begun: list[int]
    ask: Callable[[], http.client.HTTPConnection]

    def wait_for(self, count: int) -> None:
        until_wait(self.url, count)


def until_wait(url: str, count: int) -> None:
    """Wait until a number of searches are in the queue, by the metrics of the server."""
    for _ in range(2000):
        if f'imrec_requests_waiting{{queue="search"}} {count}.0' in httpx.get(f"{url}/metrics").text:
            return
        time.sleep(0.005)
    raise AssertionError(f"the queue never had {count} requests")


@pytest.fixture
def held(lake, monkeypatch) -> Iterator[Held]:
    go = threading.Event()
    run_search = search_routes.run_search
    first_begun, begun = threading.Event(), []

    def held_up(*asked):
        begun.append(1)
        first_begun.set()
        go.wait(60)
        return run_search(*asked)

    monkeypatch.setattr(search_routes, "run_search", held_up)
    with ExitStack() as opened:
        served = opened.enter_context(serving(lake, limits=Limits(workers=1, max_waiting_searches=2)))
        opened.callback(go.set)

        def ask() -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
            opened.callback(connection.close)
            connection.request("POST", "/api/search", b'{"k": 1}')
            return connection

        first = ask()
        assert first_begun.wait(60)
        yield Held(served.url, go, begun, ask)
        go.set()
        assert first.getresponse().status == 200


def test_full_queue_refuses_and_accepts_again(held):
    waiting = [held.ask(), held.ask()]
    held.wait_for(2)
    answer = httpx.post(f"{held.url}/api/search", json={"k": 1})
    _refused(answer, 503, "Overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    held.go.set()
    assert [connection.getresponse().status for connection in waiting] == [200, 200]
    assert httpx.post(f"{held.url}/api/search", json={"k": 1}).status_code == 200


def test_disconnected_client_leaves_the_queue(held):
    waiting = [held.ask(), held.ask()]
    held.wait_for(2)
    for connection in waiting:
        connection.close()
    held.wait_for(0)
    again = held.ask()
    held.wait_for(1)
    held.go.set()
    assert again.getresponse().status == 200
    assert len(held.begun) == 2  # none for the disconnected clients


def test_fifty_disconnected_clients_do_not_delay_the_next(lake, monkeypatch):
    begun, rank = [], ranking.rank

    def endless_for_some(generation, asked, joint):
        begun.append(asked.options.k)
        while asked.options.k == 7:
            with timed("candidates"):
                time.sleep(0.001)
        return rank(generation, asked, joint)

    monkeypatch.setattr(ranking, "rank", endless_for_some)
    with serving(lake, limits=Limits(workers=1)) as served, ExitStack() as opened:
        some = httpx.post(f"{served.url}/api/search", json={"k": 1}).json()["hits"][0]["image_id"]
        asked = {"like": [{"image_id": some}], "k": 7}
        connections = [http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60) for _ in range(50)]
        for connection in connections:
            opened.callback(connection.close)
            connection.request("POST", "/api/search", json.dumps(asked))
            for _ in range(6000):  # half a minute; the first request occupies the worker
                if begun:
                    break
                time.sleep(0.005)
            assert begun, "the first request did not start"
        until_wait(served.url, 49)
        for connection in connections[1:]:
            connection.close()
        until_wait(served.url, 0)
        connections[0].close()
        answer = httpx.post(f"{served.url}/api/search", json={**asked, "k": 1}, timeout=60)
    assert (answer.status_code, len(answer.json()["hits"])) == (200, 1)
    assert begun == [7, 1]  # one of the fifty started, and was cancelled


def test_disconnect_during_an_upload_is_no_error(served, caplog):
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        head = "POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x".encode())
    count = 'imrec_requests_total{method="POST",route="/api/search",status="499"} 1.0'
    for _ in range(2000):
        if count in httpx.get(f"{served.url}/metrics").text:
            break
        time.sleep(0.005)
    else:
        raise AssertionError("the request never ended")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
