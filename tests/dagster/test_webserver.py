"""What a person does in the Dagster UI, through its GraphQL API: a real webserver over a lake of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imrec_core import Lake
from imrec_dagster.home import open_instance
from tests.support import toy
from tests.support.pictures import BROKEN
from tests.support.running import ROOT, Server, environment, serving, shown

SHARD = "photos-0001"

# The default queue hands runs out through the daemon, which is another process to start; here they start at once.
AT_ONCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""

LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    __typename ... on RepositoryLocation { repositories { name } }
    ... on PythonError { message errorChain { error { message } } } } } } } }
"""


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Twelve photos in two shards, one of them broken; nothing scanned yet."""
    toy.write_photos(tmp_path / "photos", range(12))
    (tmp_path / "photos" / "photo_010.jpg").write_bytes(BROKEN["truncated.jpg"]())
    return toy.new_lake(tmp_path / "lake", ("rgb_histogram", "phash"), shard_size=8)


@pytest.fixture
def server(lake, tmp_path) -> Iterator[Server]:
    with serving(lake, tmp_path, AT_ONCE) as server:
        yield server


def test_one_partition_materialises_through_the_webserver(server, lake):
    (location,) = server.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert location["name"] == "imrec"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation", location
    assert location["locationOrLoadError"]["repositories"] == [{"name": "__repository__"}]
    server.launch("scan")
    assert server.asset("images")["partitionKeys"] == ["photos-0000", SHARD]
    server.launch("__ASSET_JOB", [["images"], ["features", "phash"]], dagster_partition=SHARD)
    for path, rows in ((["images"], 4), (["features", "phash"], 3)):
        asset = server.asset(*path)
        (made,) = asset["assetMaterializations"]
        assert made["partition"] == SHARD
        found = shown(made)
        assert found["dagster/partition_row_count"] == rows
        assert found["failed"] == 1
        assert found["images per second"] > 0
        assert found["thumbnails"].startswith("![](data:image/jpeg;base64,")
        assert "| TruncatedImage | 1 |" in found["failures"]
        assert lake.row_count(Path(found["path"])) == rows
        checks = asset["assetChecksOrError"]["checks"]
        assert checks
        for check in checks:
            assert check["blocking"]
            assert check["executionForLatestMaterialization"]["status"] == "SUCCEEDED"
    assert set(toy.times(lake, "features")) == {f"features/phash/{SHARD}.parquet"}


def test_page_over_the_instance_of_another_lake_shows_the_reason(lake, tmp_path):
    other = toy.new_lake(tmp_path / "other")
    with open_instance(tmp_path / "home", other):
        pass
    with serving(lake, tmp_path, AT_ONCE) as server:
        (location,) = server.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    (cause,) = location["locationOrLoadError"]["errorChain"]
    said = f"DAGSTER_HOME {tmp_path / 'home'} belongs to the lake {other.root}, not to {lake.root}"
    assert said in cause["error"]["message"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("dagster definitions validate -w workspace.yaml", "Validation successful for code location imrec"),
        ("dagster_dg_cli.cli check defs", "All definitions loaded successfully"),
        ("dagster_dg_cli.cli list defs", "nightly_reindex"),
    ],
)
def test_definitions_pass_the_check_of_dagsters_own_command(lake, tmp_path, command, said):
    (tmp_path / "home").mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env=environment(lake, tmp_path / "home"),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout + ran.stderr
