"""What processes of several machines keep from each other."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from s3fs import S3FileSystem

from imrec_core.lake.storage import leases, object_store, retry
from tests.support import s3

DEAD = f"{socket.gethostname()}:{2**22 + 1}:0a1b2c3d"  # a process id that Linux never gives


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(leases, "_POLL", 0.02)
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(S3FileSystem, "retries", 1)  # it waits for seconds


def lease(holder: str) -> bytes:
    return json.dumps({"holder": holder, "beat": 0}).encode()


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_one_at_a_time(store, share):
    store.share = share
    inside, most = [], []

    def work(number: int) -> int:
        with leases.exclusive_lease(s3.path("lake/locks/scan")):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(number)
        return number

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(work, range(12))) == list(range(12))
    assert max(most) == 1
    store.share = 0.0
    assert object_store.listing(s3.path("lake/locks")) == []


def test_who_waits_says_for_whom_and_where(store, caplog):
    s3.put("lake/locks/scan.json", lease("elsewhere:17:0a1b2c3d"))

    class GivenBack(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            threading.Thread(target=object_store.remove, args=(s3.path("lake/locks/scan.json"),)).start()

    waited = GivenBack()
    leases.log.addHandler(waited)
    try:
        with caplog.at_level(logging.WARNING), leases.exclusive_lease(s3.path("lake/locks/scan")):
            pass
    finally:
        leases.log.removeHandler(waited)
    (said,) = [record.message for record in caplog.records if record.name == leases.__name__]
    assert said == "s3://pictures/lake: waiting for process elsewhere:17:0a1b2c3d, which is at work on: scan"


def test_lease_of_a_dead_process_of_this_machine_is_taken_at_once(store):
    s3.put("lake/locks/scan.json", lease(DEAD))
    started = time.monotonic()
    with leases.exclusive_lease(s3.path("lake/locks/scan")):
        assert DEAD.encode() not in object_store.read(s3.path("lake/locks/scan.json"))
    assert time.monotonic() - started < 5


def test_lease_of_another_machine_is_taken_when_it_is_no_longer_renewed(store, monkeypatch):
    monkeypatch.setattr(leases, "_EXPIRY", 0.5)
    path = s3.put("lake/locks/scan.json", lease("elsewhere:17:0a1b2c3d"))
    ended = threading.Event()

    def renew() -> None:
        for beat in range(8):
            time.sleep(0.1)
            s3.put("lake/locks/scan.json", json.dumps({"holder": "elsewhere:17:0a1b2c3d", "beat": beat}).encode())
        ended.set()

    threading.Thread(target=renew).start()
    with leases.exclusive_lease(path.with_name("scan")):
        assert ended.is_set(), "it was taken while it was renewed"


def test_lease_is_renewed_while_work_goes_on(store, monkeypatch):
    monkeypatch.setattr(leases, "_RENEWAL", 0.05)
    with leases.exclusive_lease(s3.path("lake/locks/scan")):
        first = object_store.read(s3.path("lake/locks/scan.json"))
        time.sleep(0.5)
        assert object_store.read(s3.path("lake/locks/scan.json")) != first
    assert object_store.listing(s3.path("lake/locks")) == []


def test_lease_is_given_back_when_work_fails_and_left_alone_when_another_took_it(store):
    with pytest.raises(RuntimeError), leases.exclusive_lease(s3.path("lake/locks/scan")):
        raise RuntimeError
    assert object_store.listing(s3.path("lake/locks")) == []
    with leases.exclusive_lease(s3.path("lake/locks/scan")):
        s3.put("lake/locks/scan.json", lease("elsewhere:17:0a1b2c3d"))
    assert b"elsewhere" in object_store.read(s3.path("lake/locks/scan.json"))


def test_lease_whose_answer_was_lost_is_known_as_ones_own(store):
    store.share, store.kinds = 0.3, ("done, but reported as failed",)
    for _ in range(5):
        with leases.exclusive_lease(s3.path("lake/locks/scan")):
            pass
