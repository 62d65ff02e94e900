"""Former names of renamed sources: which of them still resolve, and to which source."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

Renamed = Mapping[str, Mapping[str, Any]]
"""Entry of each former name: its next `name`, and the `version` of imrec that renamed the source."""


def former_names(renamed: Renamed, sources: Container[str], running: str | None = None) -> dict[str, str]:
    """Return the current name of the source for each former name that still resolves.

    A former name resolves in the release that renamed the source and in the next one. The name of a source of today
    is not a former name.

    Args:
        renamed: `Settings.renamed_sources`.
        sources: Names of the sources.
        running: Version of imrec; default: the installed one.
    """
    if not renamed:
        return {}
    from importlib.metadata import version

    running = version("imrec") if running is None else running
    found = {}
    for former in renamed:
        name: str | None = former
        seen: set[str] = set()
        while name is not None and name not in sources and name not in seen:
            seen.add(name)
            entry = renamed.get(name)
            name = str(entry["name"]) if entry and _is_in_force(str(entry["version"]), running) else None
        if name is not None and name in sources and name != former:
            found[former] = name
    return found


def _is_in_force(since: str, running: str) -> bool:
    """Return whether a release is that of a renaming or the next one; the next one of 0.9 is 0.10 or 1.0."""
    (major, minor), (now, minor_now) = _release(since), _release(running)
    return (now, minor_now) <= (major, minor + 1) or (now == major + 1 and minor_now == 0)


def _release(text: str) -> tuple[int, int]:
    """Return the first two numbers of a version; zeros if it has none."""
    parts = text.split(".")[:2]
    numbers = [int(part) if part.isdecimal() else 0 for part in parts]
    return (*numbers, 0, 0)[:2]  # type: ignore[return-value]
