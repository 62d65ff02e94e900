"""Run log of a lake: one line of JSON per run, in a file per month. SQL reads it as the view `runs`."""

from __future__ import annotations

import functools
import json
import os
import platform
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from imrec_core.errors import LakeError
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath
from imrec_core.runtime.cpu import cpu_count

COLUMNS: Mapping[str, str] = {
    "ended": "TIMESTAMP",  # when it ended, in UTC
    "what": "VARCHAR",  # scan, extract, fit, project, generation, search, export, check, failure
    "name": "VARCHAR",  # shard, feature, generation, query or target
    "seconds": "DOUBLE",  # by the clock
    "rows": "BIGINT",  # images, or hits
    "failed": "BIGINT",  # images that could not be read
    "bytes": "BIGINT",  # bytes written
    "stages": "MAP(VARCHAR, DOUBLE)",  # seconds of each stage, summed over threads
    "decoded": "BIGINT",  # images whose features were computed
    "feature_seconds": "MAP(VARCHAR, DOUBLE)",  # seconds of each feature or network, summed over threads
    "features": "VARCHAR[]",  # features of a search, as feature:metric
    "k": "BIGINT",  # number of hits that a search was for
    "plan": "VARCHAR",  # how a search was done
    "error": "VARCHAR",  # of a failure
    "imrec": "VARCHAR",  # version of imrec
    "python": "VARCHAR",  # version of Python
    "machine": "VARCHAR",  # name of the machine
    "cores": "INTEGER",  # CPU cores of the process
}
"""Column name → SQL type."""


def note(lake: Lake, what: str, name: str, seconds: float, **more: Any) -> None:
    """Append an entry to the run log; the arguments are those of `entry`."""
    append(lake, [entry(what, name, seconds, **more)])


def entry(
    what: str,
    name: str,
    seconds: float,
    *,
    rows: int = 0,
    failed: int = 0,
    byte_size: int = 0,
    stages: Mapping[str, float] | None = None,
    decoded: int | None = None,
    feature_seconds: Mapping[str, float] | None = None,
    features: Sequence[str] | None = None,
    k: int | None = None,
    plan: str | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """Return an entry of the run log that ends now, with the columns of `COLUMNS`.

    Args:
        what: Kind of run, as in `COLUMNS`.
        name: Shard, feature, generation, query or target.
        rows: Number of images or hits.
        byte_size: Bytes written.
        stages: Seconds per stage, summed over threads.
        decoded: Number of images whose features were computed.
        feature_seconds: Seconds per feature, summed over threads.
        features, k, plan: What a search was for, as `feature:metric`, and how it was done.
    """
    return {
        "ended": datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "what": what,
        "name": name,
        "seconds": round(seconds, 4),
        "rows": rows,
        "failed": failed,
        "bytes": byte_size,
        "stages": dict(stages or {}),
        "decoded": decoded,
        "feature_seconds": dict(feature_seconds or {}),
        "features": features,
        "k": k,
        "plan": plan,
        "error": error,
        "imrec": _version(),
        "python": platform.python_version(),
        "machine": socket.gethostname(),
        "cores": cpu_count(),
    }


@functools.cache
def _version() -> str:
    return version("imrec")


def append(lake: Lake, entries: Sequence[Mapping[str, Any]]) -> None:
    """Append entries to the run log of the month of the first.

    Ignores a log that cannot be written, because a user may have no write access to the lake.
    """
    path = lake.runs_path(entries[0]["ended"][:7], f"{socket.gethostname()}-{os.getpid()}")
    with suppress(OSError, LakeError):
        _append(path, "".join(json.dumps(line) + "\n" for line in entries))


_rewriting = threading.Lock()


def _append(path: AnyPath, line: str) -> None:
    if not isinstance(path, Path):
        with _rewriting:
            before = files.read_bytes(path) if files.exists(path) else b""
            files.write_bytes(path, before + line.encode())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A single write: lines of several processes do not mix.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
