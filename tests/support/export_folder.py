"""The files of an export, for tests that interrupt and repeat one."""

from __future__ import annotations

from pathlib import Path


class Killed(BaseException):
    """Stands for a signal; like KeyboardInterrupt, no `except Exception` catches it."""


def state(out: Path) -> dict[str, int]:
    """Return the modification time, in ns, of each file below a folder, by its relative path."""
    return {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
