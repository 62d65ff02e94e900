"""`imrec` as cold commands, the first search of a process and the memory of searches, in a lake of many rows."""

import os
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.search.query import ImageId
from imrec_core.search.recommender import Recommender
from tests.benchmarks.alone import alone, clocked
from tests.benchmarks.large import large_lake
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_RUNS = 7
_ROW = 17
_THREE = ("efficientnet_lite0", "hsv_histogram", "phash")
_IMPORT = re.compile(rb"import time: +(\d+) \|")


def measure(work: Testbed) -> list[Row]:
    """Medians of several processes; the files are in the page cache."""
    lake = large_lake(work)
    rows = open_generation(lake).row_table
    identity = rows.values(np.array([_ROW]), "image_id")["image_id"][0]
    photo = str(next(path for path in sorted(work.photos.rglob("*.jpg"))))
    by_id, by_file = ["search", identity], ["search", photo]
    first = alone(__name__, "first_search", str(lake.root), identity)
    one, three = (alone(__name__, "many_searches", str(lake.root), names) for names in (_THREE[0], ",".join(_THREE)))
    return [
        Row("rows", work.rows, "", f"{_RUNS} processes each"),
        *_command("imrec --help", ["--help"], lake, 0.25),
        *_command("imrec search ID", by_id, lake, 0.7),
        *_command("imrec search FILE", by_file, lake, 1.5),
        Row("first search of a process", first.seconds, "s", "the lake is opened, modules are imported", at_most=0.3),
        Row("memory, one feature", one.own_peak / 1e6, "MB", "beside mapped files, its graph loaded", at_most=800),
        Row("memory, three features", three.own_peak / 1e6, "MB", "two graphs loaded"),
    ]


def _command(name: str, words: Sequence[str], lake: Lake, at_most: float) -> list[Row]:
    """Time a command; a first run is not counted, as it may convert a network."""
    took = [_run(words, lake) for _ in range(_RUNS + 1)][1:]
    wall, cores = np.median(np.array(took), axis=0)
    imports = _run_importing(words, lake)
    return [
        Row(name, wall, "s", at_most=at_most),
        Row(f"{name}, cores", cores, "core s", f"{imports:.2f} s of imports, by -X importtime, which slows them"),
    ]


def _run(words: Sequence[str], lake: Lake) -> tuple[float, float]:
    """Seconds of a command, and of the cores that it took."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    _called(words, lake)
    took, after = perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run_importing(words: Sequence[str], lake: Lake) -> float:
    """Seconds that a command spends in imports, those below other imports counted once."""
    return sum(int(line) for line in _IMPORT.findall(_called(words, lake, "-X", "importtime").stderr)) / 1e6


def _called(words: Sequence[str], lake: Lake, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *options, "-m", "imrec_dagster.cli", *words]
    environment = {**os.environ, "IMREC_LAKE": str(lake.root)}
    root = Path(__file__).parents[2]
    return subprocess.run(command, check=True, capture_output=True, env=environment, cwd=root)


def first_search(root: str, identity: str) -> None:
    """Open a lake and search by id, once."""
    recommender = Recommender.open(root, log_as=None)
    with clocked():
        recommender.search(ImageId(identity))


def many_searches(root: str, names: str) -> None:
    """Search for some images by some features, with their graphs loaded."""
    recommender = Recommender.open(root, log_as=None)
    rows = np.random.default_rng(1).integers(0, len(recommender), 100)
    ids = recommender.generation.row_table.values(rows, "image_id")["image_id"]
    by = names.split(",")
    recommender.generation.load_graphs(by)
    for identity in ids:
        recommender.search(ImageId(identity), by=by)
