"""Databases of an instance stay open during a build, and are closed and complete after it."""

from __future__ import annotations

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from imrec_core import Lake
from imrec_dagster.builder import build_lake
from imrec_dagster.sqlite_connections import kept_open
from tests.support import toy


def run(path, *statements):
    """Run statements as Dagster does, on a connection that is closed after them; return the rows of the last."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in statements[:-1]:
            connection.execute(sqlalchemy.text(statement))
        rows = connection.execute(sqlalchemy.text(statements[-1])).fetchall()
        connection.commit()
    return rows


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home" / "history").mkdir(parents=True)
    return tmp_path / "home"


def test_log_of_a_database_is_written_back_once_at_the_end(home):
    path = home / "history" / "runs.db"
    log = path.with_name("runs.db-wal")
    run(path, "CREATE TABLE events (name TEXT)", "PRAGMA journal_mode = WAL")
    with kept_open(home):
        for name in "ab":
            run(path, f"INSERT INTO events VALUES ('{name}')", "SELECT 1")
            assert log.exists()
        assert run(path, "SELECT name FROM events") == [("a",), ("b",)]
    assert not log.exists()
    assert run(path, "SELECT name FROM events") == [("a",), ("b",)]


def test_other_databases_are_as_before(home, tmp_path):
    names, synchronous = ("home/runs.db", "other.db"), "PRAGMA synchronous"
    with kept_open(home):
        assert [run(tmp_path / name, synchronous) for name in names] == [[(1,)], [(2,)]]
        assert run(":memory:", synchronous) == [(2,)]
    assert run(tmp_path / names[0], synchronous) == [(2,)]


def test_home_behind_a_link_is_kept_open_too(home, tmp_path):
    (tmp_path / "link").symlink_to(home)
    with kept_open(tmp_path / "link"):
        assert run(tmp_path / "link" / "runs.db", "PRAGMA synchronous") == [(1,)]


def test_file_that_is_no_database_is_reported_by_its_statement(home):
    (home / "runs.db").write_bytes(b"no database" * 500)
    with kept_open(home), pytest.raises(sqlalchemy.exc.DatabaseError, match="not a database"):
        run(home / "runs.db", "SELECT name FROM events")


def test_build_leaves_no_logs(tmp_path):
    toy.write_photos(tmp_path / "photos", range(3))
    lake = Lake(toy.new_lake(tmp_path / "lake", ("phash",)).root)
    build_lake(lake)
    found = [path.name for path in (tmp_path / "lake" / "dagster").rglob("*.db*")]
    assert "runs.db" in found
    assert not [name for name in found if name.endswith(("-wal", "-shm"))]
