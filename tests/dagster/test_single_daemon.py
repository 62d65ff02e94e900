"""One daemon for an instance, known by a lock and by its heartbeats."""

from __future__ import annotations

import threading
import time

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from imrec_core.errors import ImrecError
from imrec_dagster import single_daemon
from imrec_dagster.home import open_instance
from imrec_dagster.single_daemon import only_daemon


@pytest.fixture
def instance(tmp_path):
    with open_instance(tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def short_interval(monkeypatch):
    monkeypatch.setattr(single_daemon, "_INTERVAL", 0.8)
    monkeypatch.setattr(single_daemon, "_LATE", 0.2)


def beat(instance: dg.DagsterInstance, *, seconds_ago: float = 0) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, "SENSOR", "some-daemon", []))


def test_instance_without_heartbeats_is_free(instance, tmp_path):
    with only_daemon(tmp_path, instance):
        pass


def test_old_heartbeat_is_not_watched(instance, tmp_path, monkeypatch):
    beat(instance, seconds_ago=60)
    monkeypatch.setattr(single_daemon.time, "sleep", lambda seconds: pytest.fail("waits"))
    with only_daemon(tmp_path, instance):
        pass


def test_heartbeat_of_a_killed_daemon_blocks_until_the_next_one_is_overdue(instance, tmp_path, caplog):
    beat(instance)
    with only_daemon(tmp_path, instance):
        pass
    assert "watching for up to 1 s" in caplog.text


def test_clock_of_another_machine_that_is_ahead_does_not_block_for_longer(instance, tmp_path):
    beat(instance, seconds_ago=-3600)
    started = time.monotonic()
    with only_daemon(tmp_path, instance):
        assert time.monotonic() - started < 10


def test_daemon_that_beats_on_is_refused(instance, tmp_path):
    beat(instance, seconds_ago=0.5)
    timer = threading.Timer(0.1, beat, [instance])
    timer.start()
    refused = pytest.raises(ImrecError, match=f"a Dagster daemon runs over {tmp_path} already; stop it first")
    with refused, only_daemon(tmp_path, instance):
        pytest.fail("started")
    timer.join()


def test_end_forgets_heartbeats_and_frees_the_lock(instance, tmp_path):
    with only_daemon(tmp_path, instance):
        beat(instance)
        with pytest.raises(ImrecError, match="imrec ui runs over"), only_daemon(tmp_path, instance):
            pytest.fail("started")
    assert instance.get_daemon_heartbeats() == {}
    with only_daemon(tmp_path, instance):
        pass
