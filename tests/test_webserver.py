"""What a person does in the Dagster UI, through its GraphQL API: a real webserver over a lake of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import imrec_core
from imrec_core import Lake
from imrec_dagster.build import open_instance
from tests import toy
from tests.pictures import BROKEN

ROOT = Path(imrec_core.__file__).parent.parent
SHARD = "photos-0001"

# The default queue hands runs out through the daemon, which is another process to start; here they start at once.
AT_ONCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""

LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    __typename ... on RepositoryLocation { repositories { name } } ... on PythonError { message } } } } } }
"""
LAUNCH = """
mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message stack }
    ... on RunConfigValidationInvalid { errors { message } } ... on InvalidSubsetError { message } } }
"""
RUN = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
PARTITIONS = """
query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys
    assetMaterializations(limit: 10) { partition metadataEntries {
        label ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
        ... on MarkdownMetadataEntry { mdStr } ... on PathMetadataEntry { path } } }
    assetChecksOrError { ... on AssetChecks { checks { name blocking
        executionForLatestMaterialization { status } } } } } } }
"""


def environment(lake: Lake, home: Path) -> dict[str, str]:
    return {**os.environ, "IMREC_LAKE": str(lake.root), "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what: Callable[[], Any], seconds: float, still: Callable[[], bool] = lambda: True) -> Any:
    """What a call returns once that is true; fails after so many seconds, or when it is all over."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert still(), "the webserver ended"
        assert time.monotonic() < deadline, f"not so after {seconds} seconds: {what.__name__}"
        time.sleep(0.1)
    return found


class Server:
    """GraphQL over HTTP."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/server_info", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self._url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def launch(self, job: str, assets: list[list[str]] = [], **tags: str) -> None:  # noqa: B006
        """Run a job, or these assets, to the end."""
        selector = {"repositoryLocationName": "imrec", "repositoryName": "__repository__", "jobName": job}
        if assets:
            selector["assetSelection"] = [{"path": path} for path in assets]
        metadata = {"tags": [{"key": key.replace("_", "/"), "value": value} for key, value in tags.items()]}
        params = {"selector": selector, "executionMetadata": metadata, "runConfigData": {}}
        launched = self.ask(LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched

        def end() -> str | None:
            status = self.ask(RUN, id=launched["run"]["runId"])["runOrError"]["status"]
            return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

        assert until(end, 60) == "SUCCESS"

    def asset(self, *path: str) -> Any:
        return self.ask(PARTITIONS, key={"path": path})["assetNodeOrError"]


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Twelve photos in two shards, one of them broken; nothing scanned yet."""
    toy.write_photos(tmp_path / "photos", range(12))
    (tmp_path / "photos" / "photo_010.jpg").write_bytes(BROKEN["truncated.jpg"]())
    return toy.new_lake(tmp_path / "lake", ("rgb_histogram", "phash"), shard_size=8)


@pytest.fixture
def server(lake, tmp_path) -> Iterator[Server]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(AT_ONCE)
    with open_instance(home):  # first the storage, then those that use it
        pass
    port = free_port()
    command = ["dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "webserver.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment(lake, home),
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            server = Server(port)
            until(server.is_up, 60, still=lambda: process.poll() is None)
            yield server
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the webserver and the code server that it started; they are a process group of their own."""
    for blow in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, blow)
            process.wait(timeout=10)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def test_one_partition_materialises_through_the_webserver(server, lake):
    (location,) = server.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert location["name"] == "imrec"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation", location
    server.launch("scan")
    assert server.asset("images")["partitionKeys"] == ["photos-0000", SHARD]
    server.launch("__ASSET_JOB", [["images"], ["features", "phash"]], dagster_partition=SHARD)
    for path, rows in ((["images"], 4), (["features", "phash"], 3)):
        asset = server.asset(*path)
        (made,) = asset["assetMaterializations"]
        assert made["partition"] == SHARD
        shown = {entry.pop("label"): next(iter(entry.values()), None) for entry in made["metadataEntries"]}
        assert shown["dagster/partition_row_count"] == rows
        assert shown["failed"] == 1
        assert shown["images per second"] > 0
        assert shown["thumbnails"].startswith("![](data:image/jpeg;base64,")
        assert "| TruncatedImage | 1 |" in shown["failures"]
        assert lake.row_count(Path(shown["path"])) == rows
        checks = asset["assetChecksOrError"]["checks"]
        assert checks
        for check in checks:
            assert check["blocking"]
            assert check["executionForLatestMaterialization"]["status"] == "SUCCEEDED"
    assert set(toy.times(lake, "features")) == {f"features/phash/{SHARD}.parquet"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("dagster definitions validate -w workspace.yaml", "Validation successful for code location imrec"),
        ("dagster_dg_cli.cli check defs", "All definitions loaded successfully"),
    ],
)
def test_definitions_pass_the_check_of_dagsters_own_command(lake, tmp_path, command, said):
    (tmp_path / "home").mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env=environment(lake, tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout + ran.stderr
