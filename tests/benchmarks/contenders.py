"""Contenders of a benchmark: each in a process of its own, in alternating turns, with the core time of each turn."""

import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import nan
from multiprocessing import get_context, get_start_method, set_start_method
from statistics import median
from time import process_time
from typing import Any

from tests.benchmarks.rows import Row, installed_version, ratio

_held: dict[str, Any] = {}  # in the process of a contender


@dataclass(frozen=True)
class Contender:
    """A way to do some work, by imrec or by another library.

    Attributes:
        make: Class that does the work. Its object lives in the process of the contender.
        library: Name of the other library on PyPI; empty if imrec needs it anyway.
        note: Shown beside its figures.
    """

    name: str
    make: Callable[..., Any]
    library: str = ""
    note: str = ""

    @property
    def is_installed(self) -> bool:
        return not self.library or installed_version(self.library) is not None

    def absent(self) -> Row:
        """Return the row of a contender whose library is not installed."""
        return Row(self.name, nan, note=f"not installed; pip install -c constraints.txt {self.library}")


@dataclass(frozen=True)
class Turn:
    """Result of a call, and its core seconds, those of processes that it started and ended among them."""

    result: Any
    core_seconds: float


class Running:
    """A contender in its process, which loads no library of the others."""

    def __init__(self, contender: Contender, *arguments: Any) -> None:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))
        self._pool.submit(_make, get_start_method(), contender.make, arguments).result()

    def call(self, method: str) -> Turn:
        return self._pool.submit(_call, method).result()

    def stop(self) -> None:
        self._pool.shutdown()


def _make(start_method: str, make: Callable[..., Any], arguments: Sequence[Any]) -> None:
    # A spawned process would spawn those of its own pools, too, which import all libraries in each turn: 70 times the
    # core time of imagededup (20 images, 2026-12). They start as they do by default.
    set_start_method(start_method, force=True)
    _held["contender"] = make(*arguments)


def _call(method: str) -> Turn:
    started = _core_seconds()
    result = getattr(_held["contender"], method)()
    return Turn(result, _core_seconds() - started)


def _core_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


@contextmanager
def running(contenders: Sequence[Contender], *arguments: Any) -> Iterator[dict[str, Running]]:
    """Start those that are installed, with the same arguments, for the duration of the block."""
    with ExitStack() as stack:
        started = {}
        for contender in contenders:
            if contender.is_installed:
                started[contender.name] = Running(contender, *arguments)
                stack.callback(started[contender.name].stop)
        yield started


def in_turns(started: Mapping[str, Running], methods: Sequence[str], turns: int) -> dict[str, dict[str, list[Turn]]]:
    """Let each contender call its methods in every turn, in reversed order in every other turn.

    Returns:
        Calls by method and contender, without those of a first turn that loads.
    """
    taken: dict[str, dict[str, list[Turn]]] = {method: {name: [] for name in started} for method in methods}
    for turn in range(turns + 1):
        for name in started if turn % 2 else reversed(started):
            for method in methods:
                call = started[name].call(method)
                if turn:
                    taken[method][name].append(call)
    return taken


def compared(
    contenders: Sequence[Contender], spent: Mapping[str, Sequence[float]], unit: str, notes: Mapping[str, str] = {}
) -> list[Row]:
    """Show the median of each contender, and by which factor it exceeds the first.

    The factor is the geometric mean over the turns, with the lower end of its 95 % interval.

    Args:
        spent: Cost of each turn by name; a contender without any is shown as not installed.
        notes: By name, before the notes of the contenders.
    """
    first, rows = contenders[0].name, []
    for contender in contenders:
        name = contender.name
        if name not in spent:
            rows.append(contender.absent())
            continue
        note = "; ".join(filter(None, (notes.get(name), contender.note)))
        rows.append(Row(name, median(spent[name]), unit, note))
        if name != first:
            mean, upper = ratio(spent[first], spent[name])
            note = f"95 %: at least {1 / upper:.2f}, {len(spent[name])} turns"
            rows.append(Row(f"  of {first}", 1 / mean, "×", note))
    return rows
