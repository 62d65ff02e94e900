"""What a subject returns, and how it is shown."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from math import isnan
from pathlib import Path
from time import perf_counter

import numpy as np

_LIBRARIES = (
    "numpy",
    "pillow",
    "simplejpeg",
    "opencv-python",
    "openvino",
    "torch",
    "torchvision",
    "hnswlib",
    "numkong",
    "dagster",
    "distributed",
    "umap-learn",
    "openTSNE",
)


@dataclass(frozen=True)
class Row:
    """One figure, and what it should be where something was promised; nan for none."""

    name: str
    value: float
    unit: str = ""
    note: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def wanted(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g} {'yes' if self.value >= self.at_least else 'NO'}"
        return "" if self.at_most is None else f"≤ {self.at_most:g} {'yes' if self.value <= self.at_most else 'NO'}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def core_clock() -> tuple[float, float, float]:
    """Seconds by the wall, of cores busy with this process and its children, and of cores busy at all (Linux)."""
    stat = Path("/proc/stat")
    ticks = [int(n) for n in stat.read_text().split("\n", 1)[0].split()[1:]] if stat.exists() else [0] * 5
    own = sum(os.times()[:4])
    return perf_counter(), own, (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def ratio(spent: Sequence[float], base: Sequence[float]) -> tuple[float, float]:
    """Return the geometric mean of the ratios, turn by turn, and the upper end of its 95 % interval.

    Raises:
        ValueError: There are fewer than two turns, or not as many of both.
    """
    from scipy.special import stdtrit  # the processes of other subjects do without

    if len(spent) < 2 or len(spent) != len(base):
        raise ValueError(f"{len(spent)} and {len(base)} turns; expected two or more, as many of both")
    logs = np.log(np.array(spent) / np.array(base))
    half = stdtrit(len(logs) - 1, 0.975) * logs.std(ddof=1) / np.sqrt(len(logs))  # Student's t
    return float(np.exp(logs.mean())), float(np.exp(logs.mean() + half))


def installed_version(library: str) -> str | None:
    """Version of a library by its name on PyPI; None if it is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def machine(others: Sequence[str] = ()) -> dict[str, str]:
    """What the figures hold for; `others` are libraries beside those of all subjects, which may be absent."""
    versions = [f"{name} {installed_version(name) or 'absent'}" for name in (*_LIBRARIES, *others)]
    cpuinfo = Path("/proc/cpuinfo")
    system = f"{platform.system()} {platform.machine()}"
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "machine": f"{models[0].partition(':')[2].strip() if models else platform.processor()}, {system}",
        "cores": f"{cores()}, of which {os.getloadavg()[0]:.1f} were busy in the minute before",
        "versions": ", ".join([f"python {platform.python_version()}", *versions]),
    }


def table(rows: Sequence[Row]) -> str:
    width = max(len(row.name) for row in rows)
    lines = (f"  {r.name:<{width}} {_number(r.value):>8} {r.unit:<9} {r.wanted():<12} {r.note}" for r in rows)
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float) -> str:
    if isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
