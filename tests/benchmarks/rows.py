"""What a subject returns, and how it is shown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = (
    "numpy",
    "pillow",
    "simplejpeg",
    "opencv-python",
    "openvino",
    "torch",
    "torchvision",
    "hnswlib",
    "dagster",
)


@dataclass(frozen=True)
class Row:
    """One figure, and what it should be where something was promised."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def is_kept(self) -> bool:
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def wanted(self) -> str:
        bound = f"≥ {self.at_least:g}" if self.at_least is not None else ""
        bound += f"≤ {self.at_most:g}" if self.at_most is not None else ""
        return bound and f"{bound} {'yes' if self.is_kept else 'NO'}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, str]:
    """What the figures hold for."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "machine": f"{models[0].partition(':')[2].strip() if models else platform.processor()}, {platform.platform()}",
        "cores": f"{cores()}, load {os.getloadavg()[0]:.1f} at the start",
        "versions": f"python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in _LIBRARIES),
    }


def show(subject: str, rows: Sequence[Row]) -> str:
    """The rows as a table with columns in line."""
    cells = [(row.name, f"{row.value:,.4g}" if row.value < 1000 else f"{row.value:,.0f}", row) for row in rows]
    width = max((len(name) for name, _, _ in cells), default=0)
    lines = [f"  {n:<{width}}  {v:>8} {r.unit:<9} {r.wanted:<12} {r.note}".rstrip() for n, v, r in cells]
    return "\n".join([f"\n{subject}", *lines])


def write_json(path: Path, facts: dict[str, str], subjects: dict[str, list[Row]]) -> None:
    rows = {name: [asdict(row) | {"kept": row.is_kept} for row in found] for name, found in subjects.items()}
    path.write_text(json.dumps({"machine": facts, "subjects": rows}, indent=1))
