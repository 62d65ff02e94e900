"""Building a lake: rate, Dagster's share, memory, and how near it comes to what the stages allow.

Networks are converted and loaded before any clock starts.
"""

import gc
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from functools import partial
from statistics import median
from time import perf_counter, process_time

from imrec_core.lake.lake import Lake
from imrec_dagster.builder import build_lake
from tests.benchmarks import stages
from tests.benchmarks.alone import peak_bytes
from tests.benchmarks.rows import Row, cores
from tests.benchmarks.testbed import PHASES, Testbed, build_plainly, load_networks

_BASELINE = 200  # files in each round of it
_TURNS, _MANY = 3, 10_000  # of both ways; of more images than so many one turn takes minutes


def measure(work: Testbed) -> list[Row]:
    """Both ways in one process, forwards and backwards, with the baseline before, between and after."""
    from tests.benchmarks import baseline  # torch is no part of the process that only builds

    took: defaultdict[str, list[float]] = defaultdict(list)
    one_at_a_time = partial(baseline.images_per_second, work.sample(_BASELINE))
    rates = [one_at_a_time()]
    load_networks(work.new_lake("lake-empty", work.photos))
    gc.freeze()  # torch is here for the baseline alone; its objects shall not slow the collector down in a build
    turns = (("plain", "dagster"), ("dagster", "plain"), ("plain", "dagster"))
    for turn, ways in enumerate(turns[: _TURNS if work.images <= _MANY else 1]):
        for way in ways:
            lake = work.new_lake(f"lake-{way}-{turn}", work.many)
            for phase, seconds in _timed(way, lake).items():
                took[f"{way} {phase}"].append(seconds)
            took[f"{way} again"].append(_timed(way, lake)["all"])
            shutil.rmtree(lake.root)
        rates.append(one_at_a_time())
    gc.unfreeze()
    alone, bound = _in_a_process(work), stages.measure(work)[-1].value
    seconds = {name: median(values) for name, values in took.items()}
    rate, files = work.images / seconds["dagster all"], f"{work.images} copies of {work.photos}"
    core_ms = 1000 * seconds["dagster core"] / work.images
    besides = sum(seconds[f"plain {phase} core"] for phase in PHASES if phase != "extract") / work.images
    whole_bound = cores() / (cores() / bound + besides)
    busy = seconds["dagster core"] / seconds["dagster all"] / cores()
    most = 0.05 if work.images > _MANY else 0.1  # what it costs depends on the shards, not on the images
    share, core_share = (1 - seconds[f"plain {clock}"] / seconds[f"dagster {clock}"] for clock in ("all", "core"))
    return [
        Row("build", rate, "images/s", f"scan to published; {files}", at_least=350),
        Row("  core time", core_ms, "core-ms", f"per image; cores busy with it {busy:.0%}"),
        Row("plain loop over the core", work.images / seconds["plain all"], "images/s"),
        *(Row(f"  {p}", seconds[f"plain {p}"], "s") for p in PHASES),
        Row("Dagster's share", share, "", f"(Dagster - plain) / Dagster; of core time {core_share:.2f}", at_most=most),
        Row("one at a time", median(rates), "images/s", f"baseline.py, {_BASELINE} of the files, {len(rates)} times"),
        Row("build / one at a time", rate / median(rates), "times", at_least=7),
        Row("bound of the stages", whole_bound, "images/s", "`stages`, and all but extraction, as core time"),
        Row("build / bound", rate / whole_bound, at_least=0.8),
        Row("bound of `stages` alone", bound, "images/s", "no scan, fit, check, generation"),
        Row("build / bound of `stages` alone", rate / bound),
        Row("extraction / bound", work.images / seconds["plain extract"] / bound),
        Row("nothing new", seconds["dagster again"], "s", f"plain loop {seconds['plain again']:.2f}", at_most=3),
        Row("peak memory", alone["peak_bytes"] / 1e9, "GB", "a process that does one build", at_most=2),
        Row("  its start-up", alone["startup"], "s", "imports not counted"),
    ]


def _timed(way: str, lake: Lake) -> dict[str, float]:
    """Seconds of a build, of its cores, and of its phases where they are known."""
    started, cores_started = perf_counter(), process_time()
    phases = build_plainly(lake) if way == "plain" else build_lake(lake, home=str(lake.dagster_home))
    return {"all": perf_counter() - started, "core": process_time() - cores_started, **(phases or {})}


def _in_a_process(work: Testbed) -> dict[str, float]:
    lake = work.new_lake("lake-alone", work.many)
    done = subprocess.run([sys.executable, "-m", __name__, str(lake.root)], check=True, stdout=subprocess.PIPE)
    shutil.rmtree(lake.root)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    started = perf_counter()
    load_networks(Lake(sys.argv[1]))
    startup = perf_counter() - started
    _timed("dagster", Lake(sys.argv[1]))
    print(json.dumps({"peak_bytes": peak_bytes(), "startup": startup}))
