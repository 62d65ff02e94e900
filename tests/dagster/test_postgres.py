"""A build whose records are in a real Postgres, by the settings that docs/guides/deploy.md gives."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from imrec_core import Lake
from imrec_dagster.asset_keys import IMAGES, feature_key
from imrec_dagster.builder import open_instance

pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed: pip install 'imrec[postgres]'")
pgserver = pytest.importorskip("pgserver", reason="pgserver, a Postgres for tests, is not installed")

CONFIG = Path(__file__).parents[2] / "docs/deploy/dagster.yaml"
CHEAP = ("rgb_histogram", "phash")


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """Of a server of its own, with SQLAlchemy's name of the driver."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it keeps its locks
        try:
            server = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
        except Exception as error:  # as whom and where it runs is up to the machine
            pytest.skip(f"Postgres does not start here: {' '.join(str(error).split())}")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
        finally:
            server.cleanup()


@pytest.fixture
def home(address, tmp_path, monkeypatch) -> Path:
    """A `DAGSTER_HOME` as the docs have it."""
    (tmp_path / "home").mkdir()
    shutil.copy(CONFIG, tmp_path / "home" / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", address)
    return tmp_path / "home"


def records(address: str, statement: str) -> list[tuple]:
    import psycopg2

    with psycopg2.connect(address.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall()
    connection.close()
    return found


def test_build_is_recorded_in_postgres(new_lake, imrec, home, address, monkeypatch):
    lake: Lake = new_lake(12, CHEAP, built=False, shard_size=4)
    done = imrec_on(imrec, home, monkeypatch, lake)
    assert "generation 000001: 12 images" in done
    assert sorted({status for (status,) in records(address, "SELECT status FROM runs")}) == ["SUCCESS"]
    (count,) = records(address, "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'")[0]
    assert count >= 3 * (1 + len(CHEAP))
    assert not list(home.rglob("*.db"))
    with open_instance(home) as instance:
        for key in (IMAGES, *map(feature_key, CHEAP)):
            assert instance.get_materialized_partitions(key) == set(lake.live_shards())
    runs = len(records(address, "SELECT run_id FROM runs"))
    assert "nothing to do" in imrec_on(imrec, home, monkeypatch, lake)
    assert len(records(address, "SELECT run_id FROM runs")) == runs + 1  # the scan


def imrec_on(imrec, home: Path, monkeypatch, lake: Lake) -> str:
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    done = imrec("build", "--lake", lake.root)
    assert done.status == 0, done.err
    return str(done.out)
