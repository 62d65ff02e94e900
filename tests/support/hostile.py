"""Hostile requests to `imrec serve`, beside an honest search that must go on.

The test runs a sample of them. All of them, with their figures:

    python -m tests.support.hostile 50000
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from imrec_core import Lake
from tests.support import toy
from tests.support.pictures import PICTURES
from tests.support.running import ROOT

DEEP = ("(" * 3990, "[" * 3990, "(CASE WHEN " * 360, "length(" * 570, "NOT " * 990 + "true", "-" * 3980 + "1 = 1")
REGEXES = ("(x+x+)+y", "((a{30}){30}){30}", "(a|b|ab)*c" * 100, "(.*)" * 500, "^(([a-z])+.)+[A-Z]([a-z])+$")
WEIGHTS = ("nan", "inf", "1e999", "-1", "much", "")
_POST = "POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
_FORM = "multipart/form-data; boundary=b"


@dataclass(frozen=True)
class Usage:
    """Memory and open files of a process, of which some are sockets."""

    megabytes: float
    files: int
    sockets: int


@dataclass(frozen=True)
class Server:
    """A running `imrec serve`, and an image of its lake."""

    url: str
    pid: int
    image: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def search(self) -> float:
        """Run an honest search; return its seconds."""
        started = time.monotonic()
        body = {"like": [{"image_id": self.image}], "k": 3, "where": "width > 0"}
        answer = httpx.post(f"{self.url}/api/search", json=body, timeout=60)
        assert answer.status_code == 200 and len(answer.json()["hits"]) == 3, answer.text
        return time.monotonic() - started

    def usage(self) -> Usage:
        status = Path(f"/proc/{self.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        links = []
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            with suppress(FileNotFoundError):
                links.append(os.readlink(f"/proc/{self.pid}/fd/{name}"))
        return Usage(int(resident.split()[1]) / 1024, len(links), sum(link.startswith("socket:") for link in links))


@contextmanager
def server(lake: Lake) -> Iterator[Server]:
    """Run `imrec serve` on a free local port, and end it afterwards."""
    command = [sys.executable, "-m", "imrec_dagster.cli", "serve", "--port", "0", "--lake", str(lake.root)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip().rstrip("/")
        hits = httpx.post(f"{url}/api/search", json={"k": 1}, timeout=120).json()["hits"]
        yield Server(url, process.pid, hits[0]["image_id"])
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            process.stdout.close()


# -- attacks ------------------------------------------------------------------------------------------------


def ask(served: Server, number: int, choice: random.Random) -> int:
    """Send one request, of a kind that depends on its number; return the status."""
    similar = f"{served.url}/api/images/{served.image}/similar"
    like = [{"image_id": served.image}]
    sql = choice.choice([*DEEP, *(f"path ~ '{regex}'" for regex in REGEXES)])
    weight = choice.choice(WEIGHTS)
    image = choice.choice(list(PICTURES.values()))()
    requests: list[Callable[[], httpx.Response]] = [
        lambda: httpx.post(f"{served.url}/api/search", json={"where": sql}, timeout=60),
        lambda: httpx.post(f"{served.url}/api/search", json={"like": like, "order_by": sql}, timeout=60),
        lambda: httpx.get(similar, params={"where": sql}, timeout=60),
        lambda: httpx.get(similar, params={"by": f"phash={weight}"}, timeout=60),
        lambda: httpx.post(f"{served.url}/api/search", content=b'{"by": {"phash": NaN}}', timeout=60),
        lambda: httpx.post(f"{served.url}/api/search", files={"images": ("a", image)}, timeout=60),
        lambda: httpx.get(f"{served.url}/thumb/{served.image}", timeout=60),
        lambda: httpx.get(f"{served.url}/image/{choice.randbytes(8).hex()}", timeout=60),
        lambda: httpx.post(f"{served.url}/api/search", json={"k": 5, "offset": choice.randrange(50)}, timeout=60),
    ]
    return requests[number % len(requests)]().status_code


def _hold(served: Server, count: int, sent: bytes, until: threading.Event, drip: bytes = b"") -> None:
    """Hold connections on which a part of a request was sent; drip more of it, and replace those that are closed."""
    connections: list[socket.socket] = []
    with ExitStack() as opened:
        while not until.is_set():
            while len(connections) < count and not until.is_set():
                with suppress(OSError):
                    connections.append(opened.enter_context(socket.create_connection(served.address, timeout=5)))
                    connections[-1].sendall(sent)
            for connection in list(connections):
                try:
                    connection.sendall(drip)
                except OSError:
                    connections.remove(connection)
            until.wait(0.5)


def slow_bodies(served: Server, until: threading.Event) -> None:
    _hold(served, 40, _POST.format("application/json", 900_000).encode(), until, b" ")


def half_uploads(served: Server, until: threading.Event) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + bytes(2_000_000)
    _hold(served, 40, _POST.format(_FORM, 56_000_000).encode() + part, until)


def thousand_connections(served: Server, until: threading.Event) -> None:
    _hold(served, 1000, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n", until)


def _repeat(kinds: tuple[int, ...]) -> Callable[[Server, threading.Event], None]:
    def attack(served: Server, until: threading.Event) -> None:
        choice = random.Random(15)
        while not until.is_set():
            ask(served, choice.choice(kinds), choice)

    return attack


ATTACKS: dict[str, Callable[[Server, threading.Event], None]] = {
    "brackets and regular expressions": _repeat((0, 1, 2)),
    "weights": _repeat((3, 4)),
    "uploads": _repeat((5,)),
    "slow bodies": slow_bodies,
    "half-sent uploads": half_uploads,
    "1,000 connections": thousand_connections,
}


def beside(served: Server, name: str, seconds: float) -> float:
    """Run an attack for some seconds; return the slowest honest search beside it."""
    until = threading.Event()
    attackers = [
        threading.Thread(target=ATTACKS[name], args=(served, until)) for _ in range(2 if "," not in name else 1)
    ]
    for attacker in attackers:
        attacker.start()
    slowest, started = 0.0, time.monotonic()
    try:
        while time.monotonic() - started < seconds:
            slowest = max(slowest, served.search())
            assert httpx.get(f"{served.url}/health", timeout=60).status_code == 200
            time.sleep(0.1)
    finally:
        until.set()
        for attacker in attackers:
            attacker.join()
    return slowest


def settle(served: Server) -> Usage:
    """Return the usage once no more than a few connections are left."""
    deadline = time.monotonic() + 30
    while served.usage().sockets > 6 and time.monotonic() < deadline:
        time.sleep(0.2)
    return served.usage()


@dataclass(frozen=True)
class Report:
    """Seconds of honest searches, by attack, and usage before and after the attacks and the mixed requests."""

    quiet: float
    slowest: dict[str, float]
    before: Usage
    after_attacks: Usage
    requests: int
    after_requests: Usage
    errors: int


def run(lake: Lake, requests: int, seconds: float) -> Report:
    """Run all attacks for some seconds each, and then a number of mixed requests."""
    choice = random.Random(15)
    with server(lake) as served:
        for number in range(27):
            ask(served, number, choice)
        quiet = statistics.median(served.search() for _ in range(20))
        beside(served, "brackets and regular expressions", seconds)  # caches and threads are there from now on
        before = settle(served)
        slowest = {name: round(beside(served, name, seconds), 3) for name in ATTACKS}
        after_attacks = settle(served)
        errors = sum(ask(served, number, choice) >= 500 for number in range(requests))
        return Report(quiet, slowest, before, after_attacks, requests, settle(served), errors)


def drawn_lake(folder: Path) -> Lake:
    toy.write_photos(folder / "photos", range(40))
    lake = toy.new_lake(folder / "lake", ("phash", "rgb_histogram"))
    toy.build(lake)
    return lake


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        report = run(drawn_lake(Path(temporary)), int(sys.argv[1]) if len(sys.argv) > 1 else 50_000, 20.0)
    print(json.dumps(asdict(report), indent=1))
