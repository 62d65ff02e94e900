"""`imrec serve` as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from imrec_core import Lake
from tests.support import toy
from tests.support.running import ROOT


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    root = tmp_path_factory.mktemp("serve")
    toy.write_photos(root / "photos", range(6))
    lake = toy.new_lake(root / "lake", ("phash",))
    toy.build(lake)
    return lake


@contextmanager
def _running(lake: Lake, *options: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run the command; yield the URL that it prints, and its process."""
    command = [sys.executable, "-m", "imrec_dagster.cli", "serve", "--port", "0", "--lake", str(lake.root), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def test_serves_until_it_is_interrupted(lake):
    with _running(lake) as (address, process):
        assert httpx.get(f"{address}health", timeout=60).json()["rows"] == 6
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0
        assert said.strip() == "stop it with Ctrl-C"


def test_public_host_gets_a_random_token(lake):
    with _running(lake, "--host", "0.0.0.0") as (address, _):
        address = address.replace("0.0.0.0", "127.0.0.1")
        bare, _, token = address.partition("?token=")
        assert len(token) >= 30
        assert httpx.get(f"{bare}health", timeout=60).status_code == 401
        found = httpx.get(f"{bare}health", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        assert found.json()["rows"] == 6


def test_missing_extra_is_named(imrec, monkeypatch, lake):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert "pip install 'imrec[web]'" in imrec("serve", "--lake", lake.root).complaint


def test_unbuilt_lake_and_short_token_are_refused(imrec, tmp_path, lake):
    assert "imrec build" in imrec("serve", "--lake", tmp_path / "none").complaint
    assert imrec("serve", "--lake", lake.root, "--token", "secret").status == 2
