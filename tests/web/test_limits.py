"""Limits of connections, heads, bodies and slow requests: no client holds up another one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from imrec_core import Lake
from imrec_core.web.limits import Limits
from imrec_core.web.routes import images as image_routes
from imrec_core.web.routes import search as search_routes
from tests.support import toy
from tests.support.pictures import PICTURES
from tests.support.serving import Served, serving

QUICK = Limits(head_seconds=0.5, body_seconds=0.5, body_bytes_per_second=1_000_000, write_seconds=0.5)
HEAD = b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
FORM = HEAD + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    root = tmp_path_factory.mktemp("limits")
    toy.write_photos(root / "photos", range(6))
    lake = toy.new_lake(root / "lake", ("phash",))
    toy.build(lake)
    return lake


@pytest.fixture(scope="module")
def quick(lake) -> Iterator[Served]:
    with serving(lake, limits=QUICK) as served:
        yield served


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """Read until the server closes the connection, which fails after 30 seconds."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def is_served(url: str) -> bool:
    return httpx.post(f"{url}/api/search", json={"k": 1}, timeout=30).status_code == 200


# -- connections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [b"", b"GET /health HTTP/1.1\r\nHost:", b"GET /health HTTP/1.1\r\nX: " + b"x" * 1000])
def test_connection_without_a_complete_head_is_closed(quick, head):
    with connected(quick.url) as connection:
        connection.sendall(head)
        assert rest(connection) == b""


def test_half_a_head_after_a_request_is_closed(quick):
    with connected(quick.url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 OK" in connection.recv(65536)
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        assert b"HTTP/1.1" not in rest(connection)


def test_dripping_head_is_closed(quick):
    with connected(quick.url) as connection, pytest.raises(OSError):
        for _ in range(100):
            connection.sendall(b"X")
            time.sleep(0.1)


def test_large_head_is_refused(quick):
    with connected(quick.url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 20_000)
        assert b" 400 " in rest(connection)


def test_new_connection_takes_the_place_of_the_longest_idle_one(lake):
    with serving(lake, limits=Limits(max_connections=4)) as served, ExitStack() as opened:
        idle = []
        for _ in range(12):
            idle.append(opened.enter_context(connected(served.url)))
            idle[-1].sendall(b"GET /health HTTP/1.1\r\n")
            started = time.monotonic()
            assert is_served(served.url)
            assert time.monotonic() - started < 5
        assert [rest(connection) for connection in idle[:8]] == [b""] * 8
        idle[-1].sendall(b"Host: 127.0.0.1\r\n\r\n")
        assert b" 200 OK" in idle[-1].recv(65536)


def test_connections_with_requests_are_kept_and_more_get_a_503(lake, monkeypatch):
    go, all_begun, run_search = threading.Event(), threading.Barrier(4), search_routes.run_search

    def held_up(*asked):
        if not go.is_set():
            all_begun.wait(60)
            go.wait(60)
        return run_search(*asked)

    monkeypatch.setattr(search_routes, "run_search", held_up)
    with serving(lake, limits=Limits(max_connections=3, workers=3)) as served, ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(is_served, served.url) for _ in range(3)]
        try:
            all_begun.wait(60)
            assert httpx.get(f"{served.url}/health").status_code == 503
        finally:
            go.set()
        assert all(future.result() for future in busy)
        assert is_served(served.url)


def test_unread_response_is_given_up(quick):
    with connected(quick.url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /static/vendor/deck.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        connection.sendall(request * 20)
        with pytest.raises(OSError):  # reset by the server
            for _ in range(100):
                connection.sendall(b"GET ")
                time.sleep(0.1)
    assert is_served(quick.url)


# -- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 100\r\n\r\n" + b'{"k": 1',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n7\r\n" + b'{"k": 1\r\n',
        FORM % 1000 + b"--b\r\nContent-Disposition: form-data",
        b"GET /api/features HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n",
    ],
    ids=["json", "chunked", "form", "get"],
)
def test_half_sent_body_is_ended(quick, sent):
    with connected(quick.url) as connection:
        connection.sendall(sent)
        received = rest(connection)
        assert (b" 408 " in received and b"did not arrive in time" in received) or b" 200 OK" in received


def test_dripping_body_is_ended(quick):
    with connected(quick.url) as connection:
        connection.sendall(HEAD + b"Content-Length: 10000\r\n\r\n")
        started = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - started < 30:
                connection.sendall(b" ")
                time.sleep(0.05)


def test_slow_but_steady_body_is_received(lake):
    limits, body = Limits(body_seconds=1.0, body_bytes_per_second=100), b'{"k": 1}' + b" " * 992
    with serving(lake, limits=limits) as served, connected(served.url) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\nConnection: close\r\n\r\n")
        for i in range(0, 1000, 100):  # 500 bytes a second, for more than the 1 s that a body without bytes has
            connection.sendall(body[i : i + 100])
            time.sleep(0.2)
        assert b" 200 OK" in rest(connection)


def test_uploads_beyond_the_budget_are_refused_before_they_are_stored(lake):
    image = PICTURES["gradient.jpg"]()
    with serving(lake, limits=Limits(upload_bytes=1_000_000)) as served, ExitStack() as opened:
        for _ in range(4):
            connection = opened.enter_context(connected(served.url))
            connection.sendall(FORM % 990_000 + b"--b\r\n")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            answer = httpx.post(f"{served.url}/api/search", files={"images": image + bytes(100_000)})
            if answer.status_code == 503:
                break
        assert answer.json()["error"].endswith("MB are being received; try again in 2 seconds")
        assert answer.headers["retry-after"] == "2"
        assert is_served(served.url)
        opened.close()
        while httpx.post(f"{served.url}/api/search", files={"images": image}).status_code != 200:
            assert time.monotonic() < deadline, "the budget is never released"


# -- files that hang ----------------------------------------------------------------------------------------


@pytest.fixture
def hanging(lake, monkeypatch) -> Iterator[Callable[..., Served]]:
    """A server whose first image hangs, as on a disk that does not answer."""
    go, info = threading.Event(), image_routes.file_info

    def hang_for_one(state, image_id):
        if info(state, image_id)["path"] == "photo_000.jpg":
            go.wait(60)
        return info(state, image_id)

    monkeypatch.setattr(image_routes, "file_info", hang_for_one)
    with ExitStack() as opened:
        opened.callback(go.set)
        limits = Limits(workers=1, slow_image_seconds=0.1, image_seconds=1.0)
        yield opened.enter_context(serving(lake, limits=limits))
        go.set()


def test_image_that_hangs_holds_up_no_other_request(hanging):
    hits = httpx.post(f"{hanging.url}/api/search", json={}).json()["hits"]
    ids = {hit["path"]: hit["image_id"] for hit in hits}
    with ThreadPoolExecutor(6) as pool:
        hung = [pool.submit(httpx.get, f"{hanging.url}/thumb/{ids['photo_000.jpg']}") for _ in range(6)]
        time.sleep(0.2)
        assert httpx.get(f"{hanging.url}/health").status_code == 200
        assert is_served(hanging.url)
        answers = [httpx.get(f"{hanging.url}/thumb/{ids[name]}", timeout=30) for name in ids if "000" not in name]
        assert [answer.status_code for answer in answers] == [200] * 5
        for future in hung:
            answer = future.result()
            assert answer.status_code == 504
            assert answer.json()["error"] == "the request took more than 1 s, and was given up"


def test_health_does_not_wait_for_the_lake(lake, monkeypatch):
    go, current = threading.Event(), Lake.current_generation
    with serving(lake, limits=Limits(health_seconds=0.1)) as served:
        fresh = httpx.get(f"{served.url}/health").json()
        monkeypatch.setattr(Lake, "current_generation", lambda self: go.wait(60) and current(self))
        try:
            for _ in range(20):
                found = httpx.get(f"{served.url}/health", timeout=5).json()
                assert found["generation"] == fresh["generation"] and found["rows"] == 6
        finally:
            go.set()
