"""The CPU count is that of the affinity, the cgroup quota and `IMREC_CORES`, whichever is least; VNNI is recognised."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imrec_core.runtime import cpu
from imrec_core.runtime.cpu import cgroup_quota, cpu_count

V2, V1 = "0::{}\n", "12:memory:/else\n4:cpu,cpuacct:{}\n1:name=systemd:/else\n0::/else\n"


def cgroups(root: Path, own: str, files: dict[str, str]) -> Path:
    """A file system with the membership of a process and the files of cgroups, by path below the mount."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"cpu{folder}/cpu.cfs_quota_us": str(quota), f"cpu{folder}/cpu.cfs_period_us": str(period)}


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        (V2.format("/"), {"cpu.max": "400000 100000"}, 4),  # in a container the own cgroup is the outermost
        (V2.format("/"), {"cpu.max": "150000 100000"}, 2),  # rounded up
        (V2.format("/"), {"cpu.max": "10000 100000"}, 1),
        (V2.format("/"), {"cpu.max": "max 100000"}, None),
        (V2.format("/"), {}, None),
        (V2.format("/a/b"), {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        (V2.format("/a/b"), {"a/b/cpu.max": "200000 100000", "a/cpu.max": "300000 100000"}, 2),
        (V2.format("/a"), {"a/c/cpu.max": "200000 100000", "c/cpu.max": "200000 100000"}, None),  # of other cgroups
        (V2.format("/../../host/a"), {"cpu.max": "200000 50000"}, 4),  # a path of the host, seen from a container
        (V1.format("/docker/1"), v1("", 250_000), 3),  # a path that does not exist inside the container
        (V1.format("/docker/1"), v1("/docker/1", 100_000, 50_000) | v1("/docker", -1), 2),
        (V1.format("/"), v1("", -1), None),
        (V1.format("/"), v1("", -1) | {"cpu.max": "max 100000"}, None),
        ("no such form\n", {"cpu.max": "400000 100000"}, None),
        (V2.format("/"), {"cpu.max": "many"}, None),
    ],
)
def test_quota_is_the_least_of_the_cgroups_of_the_process(tmp_path, own, files, cores):
    assert cgroup_quota(cgroups(tmp_path, own, files)) == cores


def test_system_without_cgroups_has_no_quota(tmp_path):
    assert cgroup_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "limit", "cores"), [(3, "", 3), (3, "2", 2), (3, "4", 3), (9, "", 8), (None, "", 8)])
def test_least_of_affinity_quota_and_variable_counts(monkeypatch, quota, limit, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(cpu, "_quota", lambda: quota)
    monkeypatch.setenv("IMREC_CORES", limit)
    assert cpu_count() == cores


def test_cores_are_counted_when_they_are_needed_not_at_import():
    code = (
        "import os; from imrec_core.extraction import dask_cluster, read_ahead; os.environ['IMREC_CORES'] = '1';"
        "print(read_ahead.default_workers())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["2"]


@pytest.mark.parametrize(
    ("machine", "by_numpy", "by_numkong", "exact"),
    [
        ("x86_64", {"AVX512VNNI": True}, {"alder": False}, True),
        ("AMD64", {"AVX512VNNI": False}, {"alder": True}, True),  # AVX-VNNI, without AVX-512
        ("x86_64", {"AVX512VNNI": False}, {"alder": False}, False),
        ("arm64", {}, {}, True),
    ],
)
def test_vnni_is_recognised(machine, by_numpy, by_numkong, exact, monkeypatch):
    import numkong
    from numpy._core import _multiarray_umath

    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    monkeypatch.setattr(_multiarray_umath, "__cpu_features__", by_numpy)
    monkeypatch.setattr(numkong, "get_capabilities", lambda: by_numkong)
    assert cpu.adds_bytes_exactly.__wrapped__() is exact
