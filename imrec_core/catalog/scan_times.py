"""Time of the last scan of each source, for display."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime

from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files


def read(lake: Lake) -> dict[str, str]:
    """Read the time of the last complete scan by source, as ISO 8601 in UTC; empty if none is recorded."""
    try:
        found = json.loads(files.read_text(lake.layout.scan_times_path) or "{}")
    except (OSError, ValueError):  # damaged: the next scan writes it again
        return {}
    return {str(name): str(when) for name, when in found.items()} if isinstance(found, dict) else {}


def record(lake: Lake, unavailable: Collection[str]) -> None:
    """Record a scan of all sources but those that could not be listed; the caller holds the lock of the catalog."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    before, sources = read(lake), lake.settings().sources
    times = {name: before.get(name) if name in unavailable else now for name in sources}
    _write(lake, {name: when for name, when in times.items() if when is not None})


def rename(lake: Lake, old: str, new: str) -> None:
    """Move the time of a source to its new name."""
    times = read(lake)
    if old in times:
        _write(lake, {new if name == old else name: when for name, when in times.items()})


def _write(lake: Lake, times: dict[str, str]) -> None:
    files.write_text(lake.layout.scan_times_path, json.dumps(times, indent=1))
