"""A Dask cluster of processes on 127.0.0.1, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import imrec_core

ROOT = Path(imrec_core.__file__).parent.parent
_HERE = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")


@contextmanager
def cluster(
    folder: Path, workers: int = 2, *, options: Sequence[str] = ("--nthreads", "1"), cores: Sequence[int] = ()
) -> Iterator[str]:
    """Run a scheduler and workers; yield the address of the scheduler.

    Each worker is a process with one thread, which restarts if it is killed.

    Args:
        folder: Folder for logs and the local directories of workers.
        options: Command-line options of each worker.
        cores: Cores to pin workers to, one each; empty for no pinning.
    """
    from distributed import Client

    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as processes:
        processes.enter_context(_process(folder, "scheduler", "--port", "0", "--scheduler-file", str(folder / "file")))
        address = _address(folder / "file")
        for number in range(workers):
            name = f"worker-{number}"
            kept = ("--local-directory", str(folder), "--name", name)
            core = cores[number % len(cores)] if cores else None
            processes.enter_context(_process(folder, name, address, *kept, *options, kind="worker", core=core))
        if workers:
            with Client(address, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=120)
        yield address


def available() -> set[int]:
    """Return the numbers of the cores that this process may use (Linux)."""
    return os.sched_getaffinity(0)


@contextmanager
def _process(
    folder: Path, name: str, *arguments: str, kind: str = "scheduler", core: int | None = None
) -> Iterator[None]:
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments, *_HERE]
    environment = {name: value for name, value in os.environ.items() if name not in ("IMREC_CORES", "IMREC_DASK")}
    environment["PYTHONPATH"] = str(ROOT)
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, [core]),
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(file: Path) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError):
            assert time.monotonic() < deadline, "no scheduler after a minute"
            time.sleep(0.05)


# -- functions to run on a worker -----------------------------------------------------------------------------


def pieces_done(dask_worker: Any) -> int:
    """Count the tasks that a worker has finished since its start."""
    return sum(entry[1:4:2] == ("executing", "memory") for entry in dask_worker.state.log)


def spans(dask_worker: Any) -> list[tuple[float, float]]:
    """List the start and end times of the tasks of a worker."""
    log = [entry for entry in dask_worker.state.log if "executing" in entry[1:4]]
    begun = {entry[0]: entry[-1] for entry in log if entry[3] == "executing"}
    return [(begun[entry[0]], entry[-1]) for entry in log if entry[1:4:2] == ("executing", "memory")]


def some_errors() -> list[Exception]:
    """Create errors whose constructors do not take the message, which is hard to pickle."""
    from imrec_core import errors

    return [
        errors.UnknownName("feature", "rgb_histogramm", ["rgb_histogram"]),
        errors.MissingDependency("distributed", extra="dask"),
        errors.MissingWeights("clip", "no network"),
        errors.BadColumns("a.csv", "has no path"),
        errors.MissingTable("not there"),
    ]


def in_use() -> tuple[int, int, int]:
    """Return the number of loaded networks, of cores, and of decoding threads."""
    from imrec_core.extraction import read_ahead
    from imrec_core.models import encoders
    from imrec_core.runtime import cpu

    return encoders._load.cache_info().misses, cpu.cpu_count(), read_ahead.default_workers()
