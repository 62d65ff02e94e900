"""Commands and servers as processes of their own: their seconds, CPU seconds and peak memory (Linux)."""

import os
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

_EVERY = 0.02  # seconds between two looks at the memory
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Watched:
    """Output, time and memory of a command and of all processes that it started.

    Attributes:
        code: Exit status; negative for a signal.
        core_seconds: Of all processes that have ended.
        peak: Most bytes that the processes held together at once, beside mapped files.
        is_cut: Whether it was stopped at the limit of time.
    """

    output: str
    errors: str
    code: int
    seconds: float
    core_seconds: float
    peak: int
    is_cut: bool


class Memory:
    """Peak of the anonymous memory of a process and its descendants, by a thread that looks again and again."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid, self._done = pid, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return the peak in bytes."""
        self._done.set()
        self._thread.join()
        return self.peak

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, anonymous_bytes(self._pid))
            if self._done.wait(_EVERY):
                return


def anonymous_bytes(pid: int) -> int:
    """Return the bytes that a process and its descendants hold beside mapped files."""
    return sum(_own_bytes(one) for one in family(pid))


def family(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    found: list[str] = []
    with suppress(OSError):  # it has ended, or one of its threads
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += (thread / "children").read_text().split()
    for child in found:
        yield from family(int(child))


def core_seconds(pid: int) -> float:
    """Return the CPU seconds of a running process and its descendants, with those of children that have ended."""
    total = 0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / _TICKS


def _own_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def watch(command: Sequence[str], env: Mapping[str, str], *, limit: float) -> Watched:
    """Run a command to its end, or to the limit in seconds, when it and its descendants are stopped."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=env, start_new_session=True)
        memory = Memory(process.pid)
        is_cut = threading.Event()
        cut = threading.Timer(limit, _kill, (process.pid, is_cut))
        cut.start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = perf_counter() - started
        cut.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        cores, code, cut_off = _cores_of(used), process.returncode, is_cut.is_set()
        return Watched(output.read(), errors.read(), code, seconds, cores, memory.stop(), cut_off)


def _kill(group: int, is_cut: threading.Event) -> None:
    is_cut.set()
    with suppress(ProcessLookupError):  # it has just ended
        os.killpg(group, signal.SIGKILL)


def _cores_of(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


@contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], log: Path
) -> Iterator[tuple["subprocess.Popen[str]", Memory]]:
    """Run a server during the block; its output is a pipe, its errors go to a file."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env, start_new_session=True
        )
    memory = Memory(process.pid)
    try:
        yield process, memory
    finally:
        memory.stop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout:
            process.stdout.close()
