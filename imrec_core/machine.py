"""What this machine lets the process use."""

import os

CORES = "IMREC_CORES"
"""Environment variable: so many cores and no more, for a process that shares its machine with others of its kind."""


def cpu_count() -> int:
    """Cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get(CORES, "")
    return min(cores, max(int(limit), 1)) if limit.isdecimal() else cores
