"""CPU time of importing the definitions, beside that of importing Dagster alone, in turns.

python -m tests.benchmarks.definitions [--turns 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.running import ROOT

MODULES = ("dagster", "imrec_dagster.definitions")
_CODE = "import resource, {}; used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        seconds = [[import_seconds(module, Path(folder)) for module in MODULES] for _ in range(turns)]
    medians = [statistics.median(of_module) for of_module in zip(*seconds, strict=True)]
    for module, median in zip(MODULES, medians, strict=True):
        print(f"import {module}: {median:.2f} CPU s")
    print(f"ratio: {statistics.median(ours / alone for alone, ours in seconds):.2f}")


def import_seconds(module: str, folder: Path) -> float:
    """Return the CPU seconds of a process that imports a module over a new lake."""
    variables = {**os.environ, "IMREC_LAKE": str(folder / "lake")}
    command = [sys.executable, "-c", _CODE.format(module)]
    return float(subprocess.run(command, cwd=ROOT, env=variables, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
