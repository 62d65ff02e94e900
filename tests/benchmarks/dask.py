"""Two workers of a Dask cluster against one, each on a core of its own; networks are loaded before any clock starts."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from distributed import Client

from imrec_core.catalog import manifests
from imrec_core.extraction.dask_cluster import extract_on_dask
from imrec_core.features import chosen_features
from imrec_core.lake.lake import Lake
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed, load_networks
from tests.support.cluster import available, cluster

_SHARDS = 24  # so many that the last pieces weigh little
_TURNS = ("one", "two", "here", "here", "two", "one")


def measure(work: Testbed) -> list[Row]:
    """All ways in one run, forwards and backwards."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    core_took: defaultdict[str, list[float]] = defaultdict(list)
    load_networks(work.new_lake("lake-empty", work.photos))
    with _warm(work, "one", 1) as one, _warm(work, "two", 2) as two:
        for turn, way in enumerate(_TURNS):
            lake = _scanned(work, f"lake-{turn}", work.many, shard_size=-(-work.images // _SHARDS))
            scheduler = {"one": one, "two": two, "here": ""}[way]
            before = _core_seconds(scheduler)
            took[way].append(_seconds(lake, scheduler))
            core_took[way].append(_core_seconds(scheduler) - before)
            shutil.rmtree(lake.root)
    rates = {way: work.images / median(seconds) for way, seconds in took.items()}
    ratios = [one / two for one, two in zip(took["one"], took["two"])]
    core_ms = {way: 1000 * median(seconds) / work.images for way, seconds in core_took.items()}
    return [
        Row("one worker", rates["one"], "images/s", f"one core; {work.images} copies of {work.photos}"),
        Row("two workers", rates["two"], "images/s", "a core each"),
        Row("two / one", rates["two"] / rates["one"], "times", ", ".join(f"{r:.2f}" for r in ratios), at_least=1.7),
        Row("  of core time", 2 * core_ms["one"] / core_ms["two"], "times", "what two cores of their own would give"),
        *(Row(f"core time, {way}", value, "core-ms", "per image, of the workers") for way, value in core_ms.items()),
        Row("no cluster", rates["here"], "images/s", "this process, all cores"),
    ]


@contextmanager
def _warm(work: Testbed, name: str, workers: int) -> Iterator[str]:
    """A cluster whose workers have their networks."""
    cores = sorted(available())
    with cluster(work.folder / f"cluster-{name}", workers, cores=cores) as scheduler:
        few = work.folder / f"few-{name}"
        few.mkdir()
        for file in work.sample(4 * workers):
            shutil.copy(file, few / f"{len(list(few.iterdir()))}{file.suffix}")
        lake = _scanned(work, f"lake-{name}", few, shard_size=2)
        _seconds(lake, scheduler)
        yield scheduler


def _scanned(work: Testbed, name: str, photos: Path, *, shard_size: int) -> Lake:
    lake = work.new_lake(name, photos)
    lake.save_settings(replace(lake.settings(), shard_size=shard_size))
    manifests.update(lake)
    return lake


def _core_seconds(scheduler: str) -> float:
    """What the workers, or this process, have taken of cores since they were started."""
    if not scheduler:
        return process_time()
    with Client(scheduler, set_as_default=False) as client:
        return sum(client.run(process_time).values())


def _seconds(lake: Lake, scheduler: str) -> float:
    features = [feature for feature in chosen_features(lake) if not feature.projection and not feature.learnt]
    started = perf_counter()
    for report in extract_on_dask(lake, lake.live_shards(), features, scheduler=scheduler):
        assert report.rows
    return perf_counter() - started
