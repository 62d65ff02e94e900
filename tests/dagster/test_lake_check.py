"""The asset check of the whole lake, as its schedule runs it."""

from __future__ import annotations

import dagster as dg
import numpy as np
import pytest

from imrec_core.index.build import build_generation
from imrec_dagster.asset_keys import GENERATION
from imrec_dagster.definitions import build_definitions
from imrec_dagster.resources import LakeResource
from tests.support import toy

pytestmark = pytest.mark.filterwarnings("ignore:Function `AssetSelection")


def run_check(root: object) -> dg.AssetCheckEvaluation:
    job = build_definitions(LakeResource(root=str(root))).resolve_job_def("check_lake")
    (evaluation,) = job.execute_in_process().get_asset_check_evaluations()
    return evaluation


def test_job_checks_the_whole_lake_and_names_what_is_damaged(tmp_path):
    lake = toy.vector_lake(tmp_path / "lake", {"phash": np.arange(20, dtype=np.uint64)[:, None]})
    build_generation(lake)
    whole = run_check(lake.root)
    assert whole.passed and whole.asset_check_key == dg.AssetCheckKey(GENERATION, "lake_is_whole")
    path = lake.generation_path("000001") / "phash.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    damaged = run_check(lake.root)
    assert not damaged.passed and "phash.npy differs from its checksum" in str(damaged.metadata["problems"].value)
