"""Damage one file of a lake, and ask the lake in a process of its own, so that a crash of a library is seen."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from imrec_core import Lake, Recommender
from imrec_core.errors import ImrecError
from imrec_core.index.lake_check import check_lake
from imrec_core.search.query import ImageId
from imrec_core.sql import views

BLOCK = 4096
_SMALL = 1 << 20  # bytes up to which a file is copied for a case, not linked
_SECONDS = 120  # until a case counts as hanging
_TABLES = {"catalog": "sum(hash(path))", "images": "sum(hash(content_hash))", "rows": "sum(hash(path))"}
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.support.byte_damage"])

KINDS: Mapping[str, str] = {
    **{"catalog": "catalog/*.parquet", "images": "images/*.parquet", "features": "features/*/*.parquet"},
    **{"manifest": "generations/*/generation.json", "rows": "generations/*/rows.*"},
    **{"vectors": "generations/*/*.npy", "graphs": "generations/*/*.hnsw", "CURRENT": "generations/CURRENT"},
    **{"version": "version.json", "settings": "lake.toml", "fits": "fitted/*/*", "decisions": "decisions/*"},
}
"""Patterns of the files by kind."""


@dataclass
class Outcome:
    """What a damaged lake answered.

    Attributes:
        before, after: Answers by question, before and after the check; errors are their one line.
        warnings: Number of warnings during the searches, before and after the check.
        damaged: Paths that the check reported; None if it did not end.
        crashes: Tracebacks and signals, by the step in which they came.
    """

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    damaged: list[str] | None = None
    crashes: dict[str, str] = field(default_factory=dict)


def copy_lake(root: Path, to: Path, damaged: Path) -> None:
    """Copy a lake; large files other than the one to damage are linked."""

    def copy(source: str, target: str) -> None:
        is_shared = os.stat(source).st_size > _SMALL and Path(source) != damaged
        (os.link if is_shared else shutil.copy2)(source, target)

    shutil.copytree(root, to, copy_function=copy)


def damage(path: Path, rng: np.random.Generator, *, zeros: bool) -> str:
    """Flip a random bit of a file, or zero a random block of it; return a description."""
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    if zeros:
        at -= at % BLOCK
        data[at : at + BLOCK] = bytes(len(data[at : at + BLOCK]))
    else:
        data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return f"{'zeros' if zeros else 'flip'} at {at} of {path.stat().st_size}"


def ask(root: Path) -> Outcome:
    """Ask a lake, check it, and ask it again, in processes of their own."""
    outcome = Outcome()
    steps = ["before", "check", "after"]
    while steps:
        receiver, sender = _processes.Pipe(duplex=False)
        process = _processes.Process(target=_run, args=(root, steps, sender))
        process.start()
        sender.close()
        while steps and _receive(receiver, outcome, steps[0]):
            steps.pop(0)
        if steps and receiver.poll(0):
            continue
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()
        if steps:
            outcome.crashes[steps.pop(0)] = f"exit status {process.exitcode}"
    return outcome


def _receive(receiver: Connection, outcome: Outcome, step: str) -> bool:
    """Store the result of a step; False if the process ended before, or hangs."""
    try:
        if not receiver.poll(_SECONDS):
            return False
        result, warnings, crash = receiver.recv()
    except EOFError:
        return False
    if step == "check":
        outcome.damaged = result
    else:
        setattr(outcome, step, result)
    outcome.warnings[step] = warnings
    if crash:
        outcome.crashes[step] = crash
    return True


def _run(root: Path, steps: list[str], sender: Connection) -> None:
    for step in list(steps):
        log = _Count()
        logging.getLogger("imrec_core").addHandler(log)
        crash: list[str] = []
        if step == "check":
            result: Any = _attempt(lambda: [found.path for found in check_lake(Lake(root)).damaged], crash)
        else:
            result = answers(root, crash)
        logging.getLogger("imrec_core").removeHandler(log)
        sender.send((result, log.warnings, "\n".join(crash)))


class _Count(logging.Handler):
    """Counts warnings."""

    warnings = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings += record.levelno >= logging.WARNING


def answers(root: Path, crashes: list[str]) -> dict[str, Any]:
    """Search by graphs and exactly, with a filter, and read every table by SQL."""
    found: dict[str, Any] = {}
    recommender = _attempt(lambda: Recommender(Lake(root)), crashes)
    for row in (0, 700, 1900):
        for how in ({"by": "rgb_histogram"}, {"by": "phash"}, {"exact": True}, {"where": "row % 3 = 0"}):
            key = f"search {row} {how}"
            if isinstance(recommender, str):
                found[key] = recommender
                continue
            found[key] = _attempt(lambda: _hits(recommender, row, how), crashes)  # noqa: B023
    for table in ("catalog", "images", "rows", "rgb_histogram", "phash"):
        columns = _TABLES.get(table, "sum(hash(vector))")
        select = f"SELECT count(*), sum(hash(image_id)), {columns} FROM {table}"
        found[f"sql {table}"] = _attempt(lambda: _select(Lake(root), select), crashes)  # noqa: B023
    return found


def _hits(recommender: Recommender, row: int, how: dict[str, Any]) -> list[tuple[str, float]]:
    query = ImageId(f"{int(recommender.generation.columns('image_id')['image_id'][row].as_py(), 16):016x}")
    return [(hit.image_id, round(hit.score, 9)) for hit in recommender.search(query, k=8, **how)]


def _select(lake: Lake, select: str) -> list[Any]:
    with views.translate_errors():
        return views.query(lake, select).fetchall()


def _attempt(work: Callable[[], Any], crashes: list[str]) -> Any:
    """Return a result, or the one line of an `ImrecError`; note any other exception as a crash."""
    try:
        return work()
    except ImrecError as error:
        return f"error: {error}"
    except Exception:
        crashes.append(traceback.format_exc())
        return "error: traceback"
