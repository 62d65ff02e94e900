"""Steps that serve a lake of some size: the search page by `imrec serve`, and Dagster's by `imrec ui`."""

import http.client
import json
import shutil
import sys
from collections.abc import Callable
from time import perf_counter, sleep
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.size_work import Figure, Work
from tests.benchmarks.watched import core_seconds, running, watch
from tests.support.running import Server, free_port

_PEAK = 1_200_000_000
_PAGE, _SHOWN = 60, 20  # hits of a page; pages until the 1,000th hit is past
_TELLING = 0.1  # CPU seconds; the system counts hundredths
_DEFINITIONS = """
import dagster as dg
from imrec_dagster.definitions import defs
graph = defs.resolve_asset_graph()
with dg.DagsterInstance.get() as instance:
    shards = instance.get_dynamic_partitions("image_shards")
    keys = [key for key in graph.get_all_asset_keys() if graph.get(key).partitions_def]
    status = [instance.get_status_by_partition(key, shards, graph.get(key).partitions_def) for key in keys]
print(len(graph.get_all_asset_keys()), len(shards), sum(one is not None for of in status for one in of.values()))
"""
_ASSET = "query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }"


class _Page:
    """Requests of the page, and the figure of each.

    Attributes:
        figures: In the order of the requests.
    """

    def __init__(self, url: str, pid: int) -> None:
        self.figures: list[Figure] = []
        self._connection, self._pid = http.client.HTTPConnection(urlsplit(url).netloc, timeout=3600), pid

    def ask(self, name: str, path: str, body: dict[str, Any] | None = None, *, until: str = "") -> Any:
        """Ask and note the figure; `until` names the state that a job must leave, asked again and again."""
        started, cores, found = perf_counter(), core_seconds(self._pid), self.send(path, body)
        while until and found.get("state") == until:
            sleep(0.1)
            found = self.send(path, body)
        seconds, spent = perf_counter() - started, core_seconds(self._pid) - cores
        results = {"reached": found["reached"]} if isinstance(found, dict) and "reached" in found else {}
        counted = spent if spent > _TELLING else None
        self.figures.append(Figure(f"page: {name}", seconds, counted, results=results))
        return found

    def send(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the parsed JSON of an answer, or its bytes.

        Raises:
            RuntimeError: The server refused.
        """
        headers = {"Content-Type": "application/json", "X-Imrec": "1"}
        if body is None:
            self._connection.request("GET", path)
        else:
            self._connection.request("POST", path, json.dumps(body), headers)
        answer = self._connection.getresponse()
        found = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {found[:200]!r}")
        return json.loads(found) if "json" in answer.headers.get("Content-Type", "") else found


def page(work: Work) -> list[Figure]:
    """Requests of the page to its server, from its start on, without thumbnails of earlier runs."""
    shutil.rmtree(work.lake.layout.thumbnails_folder, ignore_errors=True)
    command = [sys.executable, "-m", "imrec_dagster.cli", "serve", "--port", "0"]
    started = perf_counter()
    with running(command, work.env, work.folder / "serve.log") as (process, memory):
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"imrec serve has ended; see {work.folder / 'serve.log'}")
        begun = perf_counter() - started
        asked = _Page(url, process.pid)
        asked.send("/")
        hits = asked.send("/api/search", {"k": _PAGE})["hits"]
        figures = [Figure("page: start of the server", begun), Figure("page: first images", perf_counter() - started)]
        _browse(asked, [hit["image_id"] for hit in hits])
        _other_tabs(asked)
        whole = Figure(
            "page: the server", perf_counter() - started, core_seconds(process.pid), memory.peak, peak_at_most=_PEAK
        )
    return [*figures, *asked.figures, whole]


def _browse(asked: _Page, ids: list[str]) -> None:
    asked.ask("features, columns and their values", "/api/features")
    asked.ask("all images in order of a column", "/api/search", {"k": _PAGE, "order_by": "brightness DESC"})
    asked.ask("filter and count", "/api/search", {"k": _PAGE, "where": "width > height AND brightness > 0.5"})
    asked.ask("first search by id", "/api/search", {"k": _PAGE, "like": [{"image_id": ids[0]}]})
    asked.ask("search by id", "/api/search", {"k": _PAGE, "like": [{"image_id": ids[1]}]})
    by = ["efficientnet_lite0", "hsv_histogram", "phash"]
    asked.ask("search by id, three features", "/api/search", {"k": _PAGE, "like": [{"image_id": ids[2]}], "by": by})
    started = perf_counter()
    for place in range(0, _PAGE * _SHOWN, _PAGE):
        asked.send("/api/search", {"k": _PAGE, "offset": place, "like": [{"image_id": ids[3]}]})
    asked.figures.append(Figure("page: scroll to hit 1,200", perf_counter() - started))
    started = perf_counter()
    for one in ids:
        asked.send(f"/thumb/{one}")
    asked.figures.append(Figure(f"page: {len(ids)} thumbnails, new", perf_counter() - started))
    asked.ask("an image", f"/api/images/{ids[0]}")


def _other_tabs(asked: _Page) -> None:
    asked.ask("issues", "/api/issues")
    asked.ask("status", "/api/status")
    asked.ask("tags", "/api/tags")
    maps = asked.ask("maps", "/api/map")["maps"]
    for name in [one["name"] for one in maps][:1]:
        asked.ask("points of a map", f"/api/map/{name}")
        asked.ask("colours of a map", f"/api/map/{name}/colours?by=cluster")
    asked.ask("duplicates", "/api/duplicates", until="running")


def dagster(work: Work) -> list[Figure]:
    """The definitions with their partitions in a fresh process, then the UI until it lists those of an asset."""
    env = {**work.env, "DAGSTER_HOME": str(work.lake.dagster_home)}
    done = watch([sys.executable, "-c", _DEFINITIONS], env, limit=work.limit)
    results = dict(zip(("assets", "shards", "partitions with a state"), map(float, done.output.split()), strict=False))
    return [work.figure("dagster: definitions, assets and state of partitions", done, results), _ui(work)]


def _ui(work: Work) -> Figure:
    port = free_port()
    command = [sys.executable, "-m", "imrec_dagster.cli", "ui", "--port", str(port)]
    started = perf_counter()
    with running(command, work.env, work.folder / "ui.log") as (process, memory):
        server = Server(port)
        while not server.is_up():
            if process.poll() is not None or perf_counter() - started > work.limit:
                return Figure("ui", perf_counter() - started, note=f"failed: see {work.folder.name}/ui.log")
            sleep(0.1)
        keys = server.ask(_ASSET, key={"path": ["images"]})["assetNodeOrError"]["partitionKeys"]
        seconds, cores = perf_counter() - started, core_seconds(process.pid)
        return Figure("ui: until the partitions of an asset", seconds, cores, memory.peak, {"shards": len(keys)})


STEPS: dict[str, Callable[[Work], list[Figure]]] = {"page": page, "dagster": dagster}
