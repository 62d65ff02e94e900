"""What was done in a lake, when, where and how long it took: a line of JSON each, which SQL sees as the view `runs`."""

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

from imrec_core.errors import StorageFault
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
"""Name to type in SQL."""


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
    """Add a line for something that was done; those of a month share a file.

    Nothing is lost where it cannot be written: a lake may be read by those who may not write to it.
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
    except (OSError, StorageFault):
        return


_rewriting = threading.Lock()


def _append(path: AnyPath, line: str) -> None:
    if not isinstance(path, Path):
        with _rewriting:
            before = files.read_bytes(path) if files.exists(path) else b""
            files.write_bytes(path, before + line.encode())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one piece: what several processes append is not mixed up.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
