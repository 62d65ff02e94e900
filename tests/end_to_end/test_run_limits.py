"""The limits of a new instance, with a real queue: one extraction at a time, whatever is requested."""

from __future__ import annotations

import itertools

import pytest

from imrec_dagster.home_files import INSTANCE_CONFIG
from tests.support import toy
from tests.support.running import serving, until

RUNS = """
{ runsOrError { ... on Runs { results { status stepStats { stepKey startTime endTime } } } } }
"""


@pytest.mark.slow  # about two minutes: the daemon looks at its queue every five seconds, at backfills every thirty
def test_extractions_of_a_backfill_follow_each_other(tmp_path):
    toy.write_photos(tmp_path / "photos", range(24))
    lake = toy.new_lake(tmp_path / "lake", ("phash",), shard_size=1, dagster={"images_per_run": 8})
    with serving(lake, tmp_path, INSTANCE_CONFIG, daemon=True) as server:
        server.stop_sensor("catch_up")
        server.launch("scan")
        partitions = server.asset("images")["partitionKeys"]
        assert len(partitions) == 24
        backfill = server.backfill([["images"], ["features", "phash"]], partitions)
        until(lambda: server.backfill_status(backfill)["status"] == "COMPLETED_SUCCESS", 240)
        runs = server.ask(RUNS)["runsOrError"]["results"]
    assert {run["status"] for run in runs} == {"SUCCESS"}
    steps = [step for run in runs for step in run["stepStats"] if step["stepKey"] == "extract"]
    extractions = sorted((step["startTime"], step["endTime"]) for step in steps)
    assert len(extractions) == 3
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(extractions)), (extractions, runs)
