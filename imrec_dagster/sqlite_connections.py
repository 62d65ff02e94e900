"""Connections to the SQLite databases of a Dagster instance that are kept open, so that each event is cheap.

Dagster 1.13 opens a connection for each event and closes it. To close the last connection of a database, SQLite writes
its log into the database and waits for the disk.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def kept_open(home: Path) -> Iterator[None]:
    """Keep a connection open to each database below a folder that the block connects to.

    Its transactions do not wait for the disk either: after a loss of power the last events may be missing, but no
    database is damaged (https://sqlite.org/pragma.html#pragma_synchronous).
    """
    import sqlalchemy

    folder, kept = home.resolve(), dict[str, sqlite3.Connection]()

    def on_connect(connection: Any, _: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        with suppress(sqlite3.Error):  # the statement that the connection is for reports it
            file = connection.execute("PRAGMA database_list").fetchone()[2]
            if folder not in Path(file).resolve().parents:
                return
            connection.execute("PRAGMA synchronous = NORMAL")
            if file not in kept:
                kept[file] = opened.enter_context(closing(sqlite3.connect(file, check_same_thread=False)))
                kept[file].execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()

    with ExitStack() as opened:
        sqlalchemy.event.listen(sqlalchemy.Engine, "connect", on_connect)
        try:
            yield
        finally:
            sqlalchemy.event.remove(sqlalchemy.Engine, "connect", on_connect)
