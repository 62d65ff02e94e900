"""Steps that make a lake of some size and change it."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from time import perf_counter

from imrec_core.lake.lake import Lake
from tests.benchmarks.many_images import make_images
from tests.benchmarks.rows import core_clock
from tests.benchmarks.size_work import ADDED, Figure, Work

_BUILD_PEAK = 1_500_000_000
_NOTHING_NEW, _REMOVED = 6, 10
_OF_OWN_BUILD, _BEYOND = 1.2, 8


def make(work: Work) -> list[Figure]:
    """The images, by a process per core; what is there already is not made again."""
    photos = work.decoded
    (_, cores, _), started = core_clock(), perf_counter()
    made = make_images(photos, work.source, range(work.images), work.subfolders)
    seconds, spent = perf_counter() - started, core_clock()[1] - cores
    results = {"made": made, "CPU ms per image": 1000 * spent / max(made, 1)}
    note = f"{made:,} of {work.images:,} were missing" if made < work.images else ""
    return [Figure("make the images", seconds, spent, results=results, note=note)]


def build(work: Work) -> list[Figure]:
    """From nothing, with the default features."""
    shutil.rmtree(work.lake.root, ignore_errors=True)
    work.remove_added()
    done = work.imrec("build", f"photos={work.source}")
    results = {
        "images/s": work.images / done.seconds,
        "CPU ms per image": 1000 * done.core_seconds / work.images,
        "lake MB": sum(file.stat().st_size for file in work.lake.root.rglob("*") if file.is_file()) / 1e6,
    }
    if not done.code:
        results |= _phases(work.lake)
    return [work.figure("build", done, results, peak_at_most=_BUILD_PEAK)]


def _phases(lake: Lake) -> dict[str, float]:
    """Seconds of the runs by kind, and of the stages of the last generation."""
    runs = [json.loads(line) for log in lake.run_logs() for line in log.read_text().splitlines()]
    seconds: Counter[str] = Counter()
    for run in runs:
        seconds[f"{run['what']} s"] += run["seconds"]
    stages = next((run["stages"] for run in reversed(runs) if run["what"] == "generation"), None) or {}
    return dict(seconds) | {f"generation: {name} s": spent for name, spent in stages.items()}


def build_again(work: Work) -> list[Figure]:
    done = work.imrec("build")
    return [work.figure("build, nothing new", done, seconds_at_most=_NOTHING_NEW, peak_at_most=_BUILD_PEAK)]


def add(work: Work) -> list[Figure]:
    """A lake of the new images alone, then the same images beside the others."""
    alone = work.folder / "alone"
    shutil.rmtree(alone, ignore_errors=True)
    images = work.new_images(alone / "images")
    own = work.imrec("build", f"photos={images}", lake=alone / "lake")
    if work.added.exists():
        work.remove_added()
        work.imrec("build")
    shutil.copytree(images, work.added)
    done = work.imrec("build")
    most = _OF_OWN_BUILD * own.seconds + _BEYOND
    return [
        work.figure(f"build of {ADDED:,} images alone", own),
        work.figure(
            f"build, {ADDED:,} added",
            done,
            {"of their own build": done.seconds / own.seconds},
            seconds_at_most=most,
            peak_at_most=_BUILD_PEAK,
        ),
    ]


def remove(work: Work) -> list[Figure]:
    """The images that were added."""
    if not work.added.exists():
        work.new_images(work.added)
        work.imrec("build")
    work.remove_added()
    done = work.imrec("build")
    return [work.figure(f"build, {ADDED:,} removed", done, seconds_at_most=_REMOVED, peak_at_most=_BUILD_PEAK)]


STEPS: dict[str, Callable[[Work], list[Figure]]] = {"images": make, "build": build, "build_again": build_again}
CHANGES: dict[str, Callable[[Work], list[Figure]]] = {"add": add, "remove": remove}
