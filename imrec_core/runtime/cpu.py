"""The CPU: cores that this process may use, and what it computes fast."""

import functools
import importlib
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

CORES = "IMREC_CORES"
"""Environment variable: upper limit of the cores that one process uses, where several share a machine."""


def cpu_count() -> int:
    """Count the CPU cores that this process may use.

    The minimum of its affinity mask, its cgroup quota and the environment variable `IMREC_CORES`; at least 1.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = min(cores, _quota() or cores)
    limit = os.environ.get(CORES, "")
    return min(cores, max(int(limit), 1)) if limit.isdecimal() else cores


@functools.cache
def adds_bytes_exactly() -> bool:
    """Tell whether the CPU adds products of 8-bit integers in 32 bits.

    Arm does, and x86 with VNNI, such as Xeons since Cascade Lake, Cores since Alder Lake, and AMD since Zen 4. Other
    x86 adds two products in 16 bits, where they overflow.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686"):
        return True
    import numkong

    numpy_core = importlib.import_module("numpy._core._multiarray_umath")
    with_avx_512 = numpy_core.__cpu_features__.get("AVX512VNNI")  # as `numpy.show_runtime` prints it
    return bool(with_avx_512 or numkong.get_capabilities().get("alder"))


@functools.cache  # reading the files takes 0.2 ms, and every large distance computation needs it (2026-11)
def _quota() -> int | None:
    return cgroup_quota(Path("/"))


def cgroup_quota(root: Path) -> int | None:
    """Read the CPU quota of this process, in cores, from its cgroups.

    `joblib.cpu_count` reads one too, but takes 130 ms to import (2026-11) and sees the outermost cgroup only.

    Args:
        root: Directory that holds `proc` and `sys`.

    Returns:
        The smallest quota, rounded up; None without a quota or cgroups.
    """
    try:
        quotas = [quota for folder in _cgroups(root) for quota in _quotas(folder)]
    except (OSError, ValueError):  # not Linux, or an unknown format
        return None
    return max(math.ceil(min(quotas)), 1) if quotas else None


def _cgroups(root: Path) -> Iterator[Path]:
    """List the directories of the cgroups that may limit the CPU, from the process's own to the outermost.

    In a container the path may be that of the host, of which only the outermost directory exists.
    """
    mount = root / "sys/fs/cgroup"
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mount / "cpu" if controllers else mount  # cgroup v2 names no controllers
        own = top / path.lstrip("/")
        yield from (own, *own.parents[: len(own.parts) - len(top.parts)])


def _quotas(cgroup: Path) -> Iterator[float]:
    """Yield the quota of one cgroup in cores, if it has one."""
    if (file := cgroup / "cpu.max").exists():  # v2: "max 100000" or "150000 100000"
        quota, period = file.read_text().split()
    elif (file := cgroup / "cpu.cfs_quota_us").exists():  # v1: -1 for none
        quota, period = file.read_text(), (cgroup / "cpu.cfs_period_us").read_text()
    else:
        return
    if quota != "max" and int(quota) > 0:
        yield int(quota) / int(period)
