"""Building a lake: rate, Dagster's share, memory, and how near the stages' own rates it comes.

Networks are converted and loaded before the clock starts; `make demo` shows what a first run on a machine adds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from imrec_core.encoders import load_encoder
from imrec_core.extract import extract_shards  # noqa: F401
from imrec_core.features import find_feature
from imrec_core.lake import Lake
from tests.benchmarks.rows import Row
from tests.benchmarks.stages import bound, core_seconds
from tests.benchmarks.workplace import REPOSITORY, Workplace, build_plainly

try:
    from imrec_dagster.build import build_lake
except ImportError:  # the graph is not there
    build_lake = None

_BASELINE = 200  # files for each of its rounds


def measure(work: Workplace) -> list[Row]:
    """Both ways of building in one process, forwards and backwards, with the baseline before, between and after."""
    from tests.benchmarks import baseline

    ways = WAYS
    files = work.spread(_BASELINE)
    _load_networks(work.new_lake("lake-empty", work.photos))
    took: dict[str, list[dict[str, float]]] = defaultdict(list)
    rates = [baseline.images_per_second(files)]
    for round_, names in enumerate((list(ways), list(ways)[::-1])):
        for name in names:
            lake = work.new_lake(f"lake-{name}-{round_}", work.many)
            took[name].append(_timed(ways[name], lake))
            took[f"{name}, nothing new"].append(_timed(ways[name], lake))
            shutil.rmtree(lake.root)
        rates.append(baseline.images_per_second(files))
    return _rows(work, took, median(rates))


def _rows(work: Workplace, took: dict[str, list[dict[str, float]]], one_at_a_time: float) -> list[Row]:
    def seconds(name: str, phase: str = "all") -> float:
        return median(phases[phase] for phases in took[name])

    used = "dagster" if "dagster" in took else "plain"
    rate = work.images / seconds(used)
    limit = bound(core_seconds(work.spread(480), work.new_lake("lake-stages", work.photos)))
    alone = _in_a_process(work)
    rows = [
        Row("files", work.images, note=f"links to {work.photos}"),
        Row(f"build, {used}", rate, "images/s", at_least=350, note="scan to published; networks loaded before"),
        Row("build, plain loop", work.images / seconds("plain"), "images/s"),
        *(Row(f"  {p}", seconds("plain", p), "s") for p in ("scan", "extract", "fit and project", "generation")),
        Row("one at a time", one_at_a_time, "images/s", note=f"tests/benchmarks/baseline.py, {_BASELINE} of the files"),
        Row("build / one at a time", rate / one_at_a_time, "times", at_least=7),
        Row("bound of the stages", limit, "images/s", note="subject `stages`"),
        Row("build / bound", rate / limit, at_least=0.8),
        Row("extraction / bound", work.images / seconds("plain", "extract") / limit, note="plain loop"),
        Row(f"nothing new, {used}", seconds(f"{used}, nothing new"), "s", at_most=3),
        Row("peak memory", alone["peak_bytes"] / 1e9, "GB", at_most=2, note=f"a process that does one {used} build"),
        Row("start-up of that process", alone["startup_seconds"], "s", note="imports and networks"),
    ]
    if used == "dagster":
        share = (seconds("dagster") - seconds("plain")) / seconds("dagster")
        rows.insert(2, Row("Dagster's share", share, at_most=0.1, note="(Dagster - plain) / Dagster"))
    return rows


def _build_with_dagster(lake: Lake) -> None:
    build_lake(lake)


WAYS: dict[str, Callable[[Lake], Any]] = {"plain": build_plainly}
if build_lake is not None:
    WAYS["dagster"] = _build_with_dagster


def _timed(way: Callable[[Lake], Any], lake: Lake) -> dict[str, float]:
    started = time.perf_counter()
    phases = way(lake) or {}
    return phases | {"all": time.perf_counter() - started}


def _load_networks(lake: Lake) -> None:
    settings = lake.settings()
    for feature in map(find_feature, settings.features):
        if feature.model:
            load_encoder(feature.name, precision=settings.precision, device="auto")


# -- a process of its own -----------------------------------------------------------------------------------


def _in_a_process(work: Workplace) -> dict[str, float]:
    lake = work.new_lake("lake-alone", work.many)
    command = [sys.executable, "-m", "tests.benchmarks.build", str(lake.root)]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(lake.root)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _peak_bytes() -> int:
    """Most memory that this process held. `getrusage` would count that of the parent before `exec` too (Linux)."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _main(root: str, started: float) -> None:
    lake = Lake(root)
    _load_networks(lake)
    startup = time.perf_counter() - started
    WAYS.get("dagster", build_plainly)(lake)
    print(json.dumps({"peak_bytes": _peak_bytes(), "startup_seconds": startup}))


if __name__ == "__main__":
    _main(sys.argv[1], time.perf_counter())
