"""`imrec ui`: what it starts and prints, and when it refuses to start."""

from __future__ import annotations

import socket
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from imrec_core import Lake
from imrec_dagster.cli import ui
from imrec_dagster.home import open_instance
from tests.support import toy


@dataclass
class Started:
    """The command of Dagster that was to run."""

    words: list[str] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture
def started(monkeypatch) -> Started:
    found = Started()

    def run(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        found.words, found.environment = list(arguments), environment

    monkeypatch.setattr(ui, "_run_dagster", run)
    return found


def test_dagster_runs_on_this_machine_alone_over_the_instance_of_builds(imrec, tmp_path, started, free_port):
    assert imrec("ui", "--port", free_port, "--lake", "mine").status == 0
    home = tmp_path / "mine" / "dagster"
    assert started.words == ["dev", "-w", str(home / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(free_port)]
    assert started.environment["DAGSTER_HOME"] == str(home)
    assert started.environment["IMREC_LAKE"] == str(tmp_path / "mine")
    assert "enabled: false" in (home / "dagster.yaml").read_text()


def test_address_and_lake_are_printed(imrec, tmp_path, started, free_port):
    ran = imrec("ui", "--port", free_port, "--lake", "mine")
    assert ran.out == f"http://127.0.0.1:{free_port}/\n"
    assert f"the lake {tmp_path / 'mine'} (no image folder yet; add one with: imrec sources add FOLDER)" in ran.err
    assert f"whose files are in {tmp_path / 'mine' / 'dagster'}; stop it with Ctrl-C" in ran.err
    toy.new_lake(tmp_path / "other", sources={"a": tmp_path / "a", "b": tmp_path / "b"})
    assert "(sources a, b)" in imrec("ui", "--port", free_port, "--lake", "other").err


def test_invalid_lake_toml_is_printed_and_the_page_is_served(imrec, tmp_path, started, free_port):
    toy.new_lake(tmp_path / "mine").settings_path.write_text("shard_siez = 3\n")
    assert "no setting named 'shard_siez'" in imrec("ui", "--port", free_port, "--lake", "mine").err
    assert started.words


def test_busy_port_is_refused_in_one_line(imrec, started):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        refused = imrec("ui", "--port", port, "--lake", "mine")
    assert refused.status == 1
    assert f"imrec: cannot listen on 127.0.0.1, port {port}: Address already in use" in refused.complaint
    assert refused.complaint.endswith("; take another --port")
    assert not started.words


@pytest.mark.parametrize("port", [0, 65536])
def test_port_that_is_none_is_a_wrong_use(imrec, port):
    assert imrec("ui", "--port", port, "--lake", "mine").status == 2


def test_second_one_over_the_same_instance_is_refused_in_one_line(imrec, tmp_path, started, free_port):
    home = tmp_path / "mine" / "dagster"
    with open_instance(home), FileLock(home / "imrec-ui.lock"):
        refused = imrec("ui", "--port", free_port, "--lake", "mine")
    assert refused.status == 1
    assert refused.complaint == f"imrec: imrec ui runs over {home} already; use its page, or stop it first"
    assert not started.words
    assert imrec("ui", "--port", free_port, "--lake", "mine").status == 0


def test_new_lake_explains_its_settings(imrec, tmp_path, started, free_port):
    imrec("ui", "--port", free_port, "--lake", "mine")
    assert "\n# shard_size = 4096\n" in (tmp_path / "mine" / "lake.toml").read_text()


@pytest.mark.parametrize("code", [0, 2])
def test_exit_status_of_dagster_is_that_of_the_command(monkeypatch, code):
    def run_module(name: str, **_: object) -> None:
        warnings.warn("Function `dev_command` is superseded and its usage is discouraged", FutureWarning, stacklevel=1)
        sys.exit(code)

    monkeypatch.setattr(ui.runpy, "run_module", run_module)
    monkeypatch.setattr(sys, "argv", [])
    with warnings.catch_warnings(), pytest.raises(SystemExit) if code else nullcontext():
        ui._run_dagster(["dev"], {})
    assert sys.argv == ["dagster", "dev"]


FORMER = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"


@pytest.mark.parametrize(("text", "is_replaced"), [(FORMER, True), (f"# mine\n{FORMER}", False)])
def test_dagster_yaml_of_an_earlier_version_is_replaced_but_no_edited_one(imrec, tmp_path, started, text, is_replaced):
    config = Path(toy.new_lake(tmp_path / "mine").dagster_home, "dagster.yaml")
    config.parent.mkdir()
    config.write_text(text)
    with open_instance(config.parent):
        assert ("concurrency" in yaml.safe_load(config.read_text())) == is_replaced
        assert is_replaced or config.read_text() == text


def test_instance_limits_runs_and_extractions(tmp_path):
    with open_instance(Lake(tmp_path / "lake").dagster_home) as instance:
        limits = instance.get_concurrency_config()
        assert limits.run_queue_config.max_concurrent_runs == 2
        assert limits.pool_config.default_pool_limit == 1
        assert limits.pool_config.pool_granularity.value == "run"
