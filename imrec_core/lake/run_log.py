"""Run log of a lake: one line of JSON per run, in a file per month. SQL reads it as the view `runs`."""

from __future__ import annotations

import json
import os
import platform
import socket
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from imrec_core.errors import LakeError
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath
from imrec_core.runtime.cpu import cpu_count

COLUMNS: Mapping[str, str] = {
    "ended": "TIMESTAMP",  # UTC
    "what": "VARCHAR",  # scan, extract, fit, project, generation, search, export, check, failure
    "name": "VARCHAR",  # shard, feature, generation, query or target
    "seconds": "DOUBLE",
    "rows": "BIGINT",  # images, or hits
    "failed": "BIGINT",
    "bytes": "BIGINT",  # written
    "stages": "MAP(VARCHAR, DOUBLE)",  # seconds of each stage, summed over threads
    "error": "VARCHAR",
    "imrec": "VARCHAR",  # versions
    "python": "VARCHAR",
    "machine": "VARCHAR",
    "cores": "INTEGER",
}
"""Column name → SQL type."""


def note(
    lake: Lake,
    what: str,
    name: str,
    seconds: float,
    *,
    rows: int = 0,
    failed: int = 0,
    byte_size: int = 0,
    stages: Mapping[str, float] | None = None,
    error: str | None = None,
) -> None:
    """Append a line to the run log of this month.

    Ignores a log that cannot be written, because a user may have no write access to the lake.

    Args:
        what: Kind of run, as in `COLUMNS`.
        name: Shard, feature, generation, query or target.
        rows: Number of images or hits.
        byte_size: Bytes written.
        stages: Seconds per stage, summed over threads.
    """
    ended = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    line = {
        "ended": ended,
        "what": what,
        "name": name,
        "seconds": round(seconds, 4),
        "rows": rows,
        "failed": failed,
        "bytes": byte_size,
        "stages": dict(stages or {}),
        "error": error,
        "imrec": version("imrec"),
        "python": platform.python_version(),
        "machine": socket.gethostname(),
        "cores": cpu_count(),
    }
    try:
        _append(lake.runs_path(ended[:7], f"{socket.gethostname()}-{os.getpid()}"), json.dumps(line) + "\n")
    except (OSError, LakeError):
        return


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
