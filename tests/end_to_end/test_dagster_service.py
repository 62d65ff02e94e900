"""A day in the life of a lake, on the real webserver and the real daemon; all of it is asked for as the UI does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from imrec_core import Lake, Recommender
from imrec_core.sql.views import query
from tests.support import toy
from tests.support.pictures import BROKEN
from tests.support.running import Server, serving, shown, until

# What is queued is started within a second instead of five.
QUICK = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator, config: {
    max_concurrent_runs: 2, dequeue_interval_seconds: 1}}
"""

CHOSEN = [["images"], ["features", "rgb_histogram"], ["features", "phash"]]
OLD, NEW = ["photos-0000", "photos-0001", "photos-0002"], "summer-0000"


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Three shards of photos, one of them broken; nothing was scanned yet."""
    toy.write_photos(tmp_path / "photos", range(24))
    (tmp_path / "photos" / "photo_010.jpg").write_bytes(BROKEN["truncated.jpg"]())
    return toy.new_lake(
        tmp_path / "lake", ("rgb_histogram", "phash"), shard_size=8, dagster={"reindex_schedule": "* * * * *"}
    )


@pytest.fixture
def server(lake, tmp_path) -> Iterator[Server]:
    with serving(lake, tmp_path, QUICK, daemon=True) as server:
        yield server


@pytest.mark.slow  # about three minutes, most of them waiting: sensors look once a minute, backfills begin every 30 s
def test_sensors_backfills_and_schedule_make_folders_searchable(server, lake, tmp_path):
    # The sensor on folders is switched on and asks for a scan; the automation, which always runs, for what is new.
    server.start_sensor("image_folders")
    until(lambda: server.asset("images")["partitionKeys"] == OLD, 60)

    # A source is added during the run: its shard is a partition of its own.
    toy.write_photos(tmp_path / "summer", range(30, 35))
    toy.set_to(lake, sources={**lake.settings().sources, "summer": tmp_path / "summer"})

    # A feature that the lake is not set to have is made by hand: of one partition, and of a range of them.
    server.launch("__ASSET_JOB", [["features", "dhash"]], dagster_partition=OLD[2])
    backfill = server.backfill([["features", "dhash"]], OLD[:2])
    until(lambda: server.backfill_status(backfill)["status"] == "COMPLETED_SUCCESS", 150)
    (run,) = server.backfill_status(backfill)["runs"]
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert (tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]) == tuple(OLD[:2])

    def is_made() -> bool:
        partitions = all({*OLD, NEW} <= set(server.made(*asset)) for asset in CHOSEN)
        return partitions and "IN_PROGRESS" not in {status for asset in CHOSEN for status in server.checks(*asset)}

    until(is_made, 150)
    for asset in CHOSEN:
        assert Counter(server.made(*asset)) == Counter([*OLD, NEW])  # each once: the new source left the others alone
        assert set(server.checks(*asset)) == {"SUCCEEDED"}
    made = server.made("features", "dhash")
    assert (made[0], sorted(made[1:])) == (OLD[2], OLD[:2])

    # The schedule ticks every minute here. The first tick publishes a generation, and the next has nothing to do.
    server.start_schedule("nightly_reindex")

    def ended() -> list[dict[str, Any]]:
        return [tick for tick in server.ticks("nightly_reindex") if tick["status"] != "STARTED"]

    until(lambda: len(ended()) == 2, 150)
    run_tick, skip_tick = ended()
    assert (run_tick["status"], len(run_tick["runIds"])) == ("SUCCESS", 1)
    assert (skip_tick["status"], skip_tick["runIds"]) == ("SKIPPED", [])
    assert "nothing new" in skip_tick["skipReason"]
    confirmed, made = server.asset("generation")["assetMaterializations"]
    assert (shown(made)["built now"], shown(confirmed)["built now"]) == (True, False)
    until(lambda: server.asset("generation")["freshnessStatusInfo"]["freshnessStatus"] == "HEALTHY", 60)
    assert server.asset("generation")["staleStatus"] == "FRESH"

    generation = Recommender.open(lake).generation
    assert generation.id == "000001" and list(generation.features) == ["rgb_histogram", "phash"]
    paths = generation.live_table(["path"])["path"].to_pylist()
    assert set(paths) == {f"photo_{n:03d}.jpg" for n in [*range(24), *range(30, 35)] if n != 10}
    noted = query(lake, "SELECT what, name, rows, failed FROM runs ORDER BY ended").fetchall()
    assert Counter(what for what, *_ in noted) == {"scan": 2, "extract": 7, "generation": 1}
    assert [row for row in noted if row[0] == "generation"] == [("generation", "000001", 28, 0)]
    assert {failed for what, name, _, failed in noted if name == OLD[1]} == {1}
