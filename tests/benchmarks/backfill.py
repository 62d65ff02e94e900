"""CPU time of a backfill from Dagster's UI, beside that of `imrec build` over the same images.

    python -m tests.benchmarks.backfill FOLDER [--images 2000] [--shard-size 16]

The backfill counts runs, daemon, code servers and webserver from the request to its end, but not their start. It makes
the images table and the features that are computed from pixels; the scan before it does not count. The build is whole:
scan, extraction and generation. A second backfill over all shards, which are up to date then, shows what events cost,
and runs over one shard, which is up to date too, what a run costs.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from imrec_core import Lake
from imrec_core.lake.settings import Settings
from imrec_dagster.home_files import INSTANCE_CONFIG
from tests.support.running import ROOT, Server, environment, serving, until

_RUNS = 5
FEATURES = ("efficientnet_lite0", "rgb_histogram", "hsv_histogram", "ahash", "dhash", "phash")
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--shard-size", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(arguments.folder, folder / "photos", arguments.images)
        built = build(new_lake(folder / "built", folder / "photos", arguments.shard_size), folder)
        print(f"imrec build: {built:.1f} CPU s", flush=True)
        backfill(new_lake(folder / "lake", folder / "photos", arguments.shard_size), folder, built)


def write_images(source: Path, folder: Path, count: int) -> None:
    """Write distinct images: the photos, then parts of them."""
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    folder.mkdir()
    for number in range(count):
        image = Image.open(paths[number % len(paths)]).convert("RGB")
        margin = 8 * (number // len(paths))
        image = image.crop((margin, margin, image.width - margin, image.height - margin))
        image.save(folder / f"{number:06d}.jpg", quality=92)


def new_lake(root: Path, photos: Path, shard_size: int) -> Lake:
    lake = Lake(root).open_for_writing()
    lake.save_settings(Settings(sources={"photos": photos}, features=FEATURES, shard_size=shard_size))
    return lake


def build(lake: Lake, folder: Path) -> float:
    """Return the CPU seconds of a whole build in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "imrec_dagster.cli", "build", "--lake", str(lake.root)]
    subprocess.run(command, cwd=ROOT, env=environment(lake, folder / "home-of-build"), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def backfill(lake: Lake, folder: Path, built: float) -> None:
    assets = [["images"], *(["features", name] for name in FEATURES)]
    with serving(lake, folder, INSTANCE_CONFIG, daemon=True) as server:
        server.stop_sensor("catch_up")
        server.launch("scan")
        shards = server.asset("images")["partitionKeys"]
        for name in ("backfill", "backfill of what is up to date"):
            with measured(server) as cpu:
                started = time.perf_counter()
                runs = run_backfill(server, assets, shards)
                seconds = time.perf_counter() - started
            print(f"{name}: {cpu():.1f} CPU s, {cpu() / built:.2f} of the build; {runs} runs, {seconds:.0f} s")
        with measured(server) as cpu:
            for _ in range(_RUNS):
                server.launch("__ASSET_JOB", assets, dagster_partition=shards[0])
        print(f"run over one shard that is up to date: {cpu() / _RUNS:.1f} CPU s")


def run_backfill(server: Server, assets: list[list[str]], shards: list[str]) -> int:
    identity = server.backfill(assets, shards)
    until(lambda: server.backfill_status(identity)["status"].startswith("COMPLETED"), 3600)
    assert server.backfill_status(identity)["status"] == "COMPLETED_SUCCESS"
    return len(server.backfill_status(identity)["runs"])


@contextmanager
def measured(server: Server) -> Iterator[Callable[[], float]]:
    """Yield a function that returns the CPU seconds of all processes of the server during the block."""
    before, after = cpu_seconds(server), [0.0]
    yield lambda: after[0]
    after[0] = cpu_seconds(server) - before


def cpu_seconds(server: Server) -> float:
    """Return the CPU seconds of the server's processes, with those of their children that have ended."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) in server.sessions:
            total += sum(map(int, fields[11:15])) / _TICKS
    return total


if __name__ == "__main__":
    main()
