"""Work done in a process of its own, with the time and the memory that it took (memory on Linux)."""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

_WATCHED_EVERY = 0.02  # seconds
_clock = {"seconds": 0.0, "core_seconds": 0.0}


@dataclass(frozen=True)
class Alone:
    """What some work returned and took.

    Attributes:
        result: As JSON can hold it.
        seconds, core_seconds: Of what is within `clocked`; of all of it where nothing is.
        peak: Most bytes that the process held, those of files that it mapped among them.
        own_peak: Most that was its own and on no disk, beyond what it held after its imports.
    """

    result: Any
    seconds: float
    core_seconds: float
    peak: int
    own_peak: int


def alone(module: str, function: str, *arguments: str | int | float | None) -> Alone:
    """Call a function of a module of the benchmarks in a fresh process."""
    asked = json.dumps([module, function, arguments])
    done = subprocess.run([sys.executable, "-m", __name__, asked], check=True, stdout=subprocess.PIPE)
    return Alone(**json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def clocked() -> Iterator[None]:
    """Count what is done in the block."""
    started, cores_started = perf_counter(), process_time()
    yield
    _clock["seconds"] += perf_counter() - started
    _clock["core_seconds"] += process_time() - cores_started


def held() -> dict[str, int]:
    """Bytes that this process holds: its own (`anonymous`), and of files that it mapped (`mapped`)."""
    own, mapped = (_status(name) for name in ("RssAnon", "RssFile"))
    return {"anonymous": own, "mapped": mapped}


def peak_bytes() -> int:
    """Most memory that this process held; `getrusage` counts what its parent held before `exec` too."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _status(name: str) -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def _watched(most: list[int], done: threading.Event) -> None:
    while not done.wait(_WATCHED_EVERY):
        most.append(max(most.pop(), _status("RssAnon")))


if __name__ == "__main__":
    sys.modules["tests.benchmarks.alone"] = sys.modules["__main__"]  # one clock
    module, function, arguments = json.loads(sys.argv[1])
    work = getattr(import_module(module), function)
    before = _status("RssAnon")
    most, done = [before], threading.Event()
    watcher = threading.Thread(target=_watched, args=(most, done), daemon=True)
    watcher.start()
    started, cores_started = perf_counter(), process_time()
    result = work(*arguments)
    seconds, core_seconds = perf_counter() - started, process_time() - cores_started
    done.set()
    watcher.join()
    print(
        json.dumps(
            {
                "result": result,
                "seconds": _clock["seconds"] or seconds,
                "core_seconds": _clock["core_seconds"] or core_seconds,
                "peak": peak_bytes(),
                "own_peak": most[0] - before,
            }
        )
    )
    sys.stdout.flush()
    os._exit(0)  # to take large graphs apart is no part of the work
