"""A real Dagster over a lake: webserver and daemon as processes, queried by GraphQL like the UI."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import imrec_core
from imrec_core import Lake
from imrec_dagster.builder import open_instance

ROOT = Path(imrec_core.__file__).parent.parent

_REPOSITORY = {"repositoryLocationName": "imrec", "repositoryName": "__repository__"}
_ENDS = ("SUCCESS", "FAILURE", "CANCELED")

_LAUNCH = """
mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message stack }
    ... on RunConfigValidationInvalid { errors { message } } ... on InvalidSubsetError { message } } }
"""
_BACKFILL = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message stack } } }
"""
_RUN = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
_RUNS = """
query { runsOrError { ... on Runs { results {
    runId jobName status tags { key value } assetSelection { path } } } } }
"""
_BACKFILL_STATUS = """
query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status runs { tags { key value } } } } }
"""
_START_SENSOR = """
mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
    ... on Sensor { sensorState { status } } ... on PythonError { message } } }
"""
_SENSOR = """
query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor { sensorState { id } } } }
"""
_STOP_SENSOR = """
mutation ($id: String!) { stopSensor(id: $id) {
    ... on StopSensorMutationResult { instigationState { status } } ... on PythonError { message } } }
"""
_START_SCHEDULE = """
mutation ($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) {
    ... on ScheduleStateResult { scheduleState { status } } ... on PythonError { message } } }
"""
_TICKS = """
query ($selector: InstigationSelector!) { instigationStateOrError(instigationSelector: $selector) {
    ... on InstigationState { ticks { status skipReason runIds error { message } } } } }
"""
_ASSET = """
query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys
    freshnessStatusInfo { freshnessStatus } staleStatus
    assetMaterializations(limit: 100) { partition metadataEntries {
        label ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
        ... on MarkdownMetadataEntry { mdStr } ... on PathMetadataEntry { path } ... on TextMetadataEntry { text }
        ... on BoolMetadataEntry { boolValue } } }
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
    """Call `what` until its result is true, and return it; fail after a timeout or once `still` is false."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert still(), "a process of Dagster ended"
        assert time.monotonic() < deadline, f"not true after {seconds} seconds: {what.__name__}"
        time.sleep(0.1)
    return found


class Server:
    """GraphQL client of a Dagster webserver.

    Attributes:
        sessions: Ids of the process sessions of webserver and daemon.
    """

    def __init__(self, port: int, sessions: Collection[int] = ()) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self.sessions = sessions

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
        """Run a job, or the selected assets of it, and wait until it succeeds."""
        selector: dict[str, Any] = {**_REPOSITORY, "jobName": job}
        if assets:
            selector["assetSelection"] = [{"path": path} for path in assets]
        metadata = {"tags": [{"key": key.replace("_", "/"), "value": value} for key, value in tags.items()]}
        params = {"selector": selector, "executionMetadata": metadata, "runConfigData": {}}
        launched = self.ask(_LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched

        def end() -> str | None:
            status = self.status(launched["run"]["runId"])
            return status if status in _ENDS else None

        assert until(end, 120) == "SUCCESS"

    def status(self, run_id: str) -> str:
        return str(self.ask(_RUN, id=run_id)["runOrError"]["status"])

    def runs(self) -> list[dict[str, Any]]:
        """List all runs, oldest first, with their tags as a dictionary and their assets as strings."""
        found = self.ask(_RUNS)["runsOrError"]["results"]
        return [
            {
                **run,
                "tags": {tag["key"]: tag["value"] for tag in run["tags"]},
                "assets": sorted("/".join(key["path"]) for key in run["assetSelection"] or ()),
            }
            for run in reversed(found)
        ]

    def backfill(self, assets: list[list[str]], partitions: list[str]) -> str:
        """Launch a backfill of partitions of assets; return its id."""
        params = {"assetSelection": [{"path": path} for path in assets], "partitionNames": partitions}
        launched = self.ask(_BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def backfill_status(self, identity: str) -> Any:
        return self.ask(_BACKFILL_STATUS, id=identity)["partitionBackfillOrError"]

    def start_sensor(self, name: str) -> None:
        started = self.ask(_START_SENSOR, selector={**_REPOSITORY, "sensorName": name})["startSensor"]
        assert started["sensorState"]["status"] == "RUNNING", started

    def stop_sensor(self, name: str) -> None:
        state = self.ask(_SENSOR, selector={**_REPOSITORY, "sensorName": name})["sensorOrError"]["sensorState"]
        stopped = self.ask(_STOP_SENSOR, id=state["id"])["stopSensor"]
        assert stopped["instigationState"]["status"] == "STOPPED", stopped

    def start_schedule(self, name: str) -> None:
        started = self.ask(_START_SCHEDULE, selector={**_REPOSITORY, "scheduleName": name})["startSchedule"]
        assert started["scheduleState"]["status"] == "RUNNING", started

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """List the ticks of a sensor or a schedule, oldest first."""
        found = self.ask(_TICKS, selector={**_REPOSITORY, "name": name})["instigationStateOrError"]
        return list(reversed(found["ticks"]))

    def asset(self, *path: str) -> Any:
        return self.ask(_ASSET, key={"path": path})["assetNodeOrError"]

    def made(self, *path: str) -> list[str]:
        """List the materialised partitions of an asset, in order of time."""
        return [event["partition"] for event in reversed(self.asset(*path)["assetMaterializations"])]

    def checks(self, *path: str) -> list[str | None]:
        """List the check results of the latest materialisation of an asset."""
        executions = (c["executionForLatestMaterialization"] for c in self.asset(*path)["assetChecksOrError"]["checks"])
        return [execution and execution["status"] for execution in executions]


def shown(event: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a materialisation, by label."""
    return {e["label"]: next((v for k, v in e.items() if k != "label"), None) for e in event["metadataEntries"]}


@contextmanager
def serving(lake: Lake, folder: Path, config: str, *, daemon: bool = False) -> Iterator[Server]:
    """Run a webserver and, if asked, the daemon on an instance, and stop them at the end of the block.

    Args:
        folder: Folder for the logs of the processes, and for the instance, in `home`.
        config: Content of `dagster.yaml`.
    """
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(config)
    with open_instance(home):  # create the storage first: two processes at once may damage it (dagster#27390)
        pass
    port = free_port()
    commands = [["dagster_webserver", "-h", "127.0.0.1", "-p", str(port)]]
    if daemon:
        commands.append(["dagster._daemon", "run"])
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            processes.append(_start([*command, "-w", "workspace.yaml"], environment(lake, home), folder))
        server = Server(port, {process.pid for process in processes})
        until(server.is_up, 60, still=lambda: all(process.poll() is None for process in processes))
        yield server
    finally:
        for process in processes:
            stop(process)


def _start(command: list[str], env: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    with interruptible_children(), (folder / f"{command[0]}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,  # makes it and its children a process group
        )


@contextmanager
def interruptible_children() -> Iterator[None]:
    """Let processes that start within react to SIGINT, which a background shell makes its children ignore.

    `preexec_fn` would do so too, but can deadlock in a process with threads.
    """
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and the code servers and runs that it started."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)
    with suppress(ProcessLookupError):  # the group has already ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
