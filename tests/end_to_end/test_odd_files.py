"""A build of odd files of all formats accounts for each of them, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from imrec_core import Lake
from imrec_core.catalog.scan_report import not_read
from imrec_core.extraction.failures import list_failures
from imrec_core.lake.settings import Settings
from tests.support.odd_files import write_odd_files

MAX_MEMORY = 1_200_000  # kB
BUILD = """
import atexit, runpy
from pathlib import Path
atexit.register(lambda: print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]))
runpy.run_module("imrec_dagster.cli", run_name="__main__")
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@pytest.mark.slow
def test_build_accounts_for_all_of_some_odd_files(tmp_path):
    build_odd_files(tmp_path, 150)


@pytest.mark.long
def test_build_accounts_for_all_of_a_thousand_odd_files(tmp_path):
    build_odd_files(tmp_path, 1000)


def build_odd_files(folder: Path, count: int) -> None:
    write_odd_files(folder / "photos", count)
    Lake(folder / "lake").open_for_writing().save_settings(Settings(features=("rgb_histogram", "phash")))
    command = [sys.executable, "-c", BUILD, "build", str(folder / "photos"), "--lake", str(folder / "lake")]
    build = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    memory = int(build.stdout.split()[-1])
    print(build.stdout, "kB", Counter(row["error"].split(":")[0] for row in failures(folder)))
    assert build.returncode == 0, build.stdout
    assert memory <= MAX_MEMORY
    lake = Lake(folder / "lake")
    rows = [row for shard in lake.shards() for row in lake.read_table(lake.images_path(shard)).to_pylist()]
    assert {row["status"] for row in rows} == {"ok", "failed"}
    assert all(row["error"] and "\n" not in row["error"] for row in rows if row["status"] == "failed")
    assert all(row["error"] is None and row["width"] > 0 for row in rows if row["status"] == "ok")
    assert len(rows) + sum(kind.files for kind in not_read(lake)) == count
    assert sum(row["status"] == "ok" for row in rows) > count / 3
    assert json.dumps(failures(folder))


def failures(folder: Path) -> list[dict[str, str]]:
    return list_failures(Lake(folder / "lake"))
