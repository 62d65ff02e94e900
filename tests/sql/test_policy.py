"""The policy for SQL from clients: allow-listed expressions with a time limit."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pytest

from imrec_core import ImageId, Recommender
from imrec_core.errors import BadFilter
from imrec_core.runtime.cancellation import CancellationToken, Cancelled, cancellable_by
from imrec_core.runtime.timing import timed
from imrec_core.sql import policy as conditions
from imrec_core.sql import row_filter
from imrec_core.sql.policy import SqlPolicy
from imrec_core.sql.row_filter import RowFilter

PLAIN = [
    "width >= 800 AND source = 'photos'",
    "lower(path) LIKE '%.jpg' OR path ILIKE '%cat%' OR path ~ 'ph.*'",
    "taken BETWEEN TIMESTAMP '2020-01-01' AND now() OR year(taken) = 2021 OR taken IS NULL",
    "brightness * 2 - 1 > -0.5 AND NOT is_grey",
    "CASE WHEN width > height THEN 'wide' ELSE 'tall' END = 'wide'",
    "format IN ('JPEG', 'PNG') -- as people write",
    "taken::DATE > DATE '2020-01-01' - INTERVAL 3 DAY OR width IN (1, 2)",
    "CAST(width AS DOUBLE) / height > 1.5 AND coalesce(camera, '') != 'x' AND row % 2 = 0",
    "starts_with(\"path\", 'photo_') AND length(path) > 3 AND substr(path, 1, 2) = 'ph'",
]
COSTLY = [
    "len(range(1000000000)) > 1",
    "len(repeat(path, 1000000)) > 1",
    "length(lpad(path, 1000000000, 'x')) > 1",
    "replace(path, 'a', 'aaaa') = 'x'",
    "width > (SELECT max(width) FROM rows)",
    "EXISTS (SELECT 1 FROM rows a, rows b, rows c)",
    "row IN (SELECT 1 FROM read_csv('/etc/passwd'))",
    "getenv('HOME') != ''",
    "len(list_transform([1], lambda x: x)) > 0",
    "row_number() OVER () > 1",
    "COLUMNS(*) > 1",
    "true) UNION (SELECT row FROM rows",
    "true; DROP TABLE rows",
    "COPY rows TO 'x'",
    "ATTACH 'x'",
    "CAST(NULL AS INT[100000]) IS NULL",
    "NOT " * 950 + "true",
    "PRAGMA version",
    "INSTALL httpfs",
    "",
]


@pytest.fixture
def rows(recommender) -> RowFilter:
    return recommender.generation.filter


@pytest.mark.parametrize("where", PLAIN)
def test_allowed_conditions_give_the_results_of_trusted_ones(rows, where):
    trusted = rows.rows(where, SqlPolicy.TRUSTED)
    assert rows.rows(where, SqlPolicy.untrusted(5)).tolist() == trusted.tolist()


@pytest.mark.parametrize("where", COSTLY)
def test_other_conditions_are_refused_at_once(rows, where):
    started = time.perf_counter()
    with pytest.raises(BadFilter, match="where"):
        rows.rows(where, SqlPolicy.untrusted(60))
    assert time.perf_counter() - started < 5


DEEP = {
    "open": "(" * 3990,
    "closed": "(" * 51 + "true" + ")" * 51,
    "calls": "length(" * 500,
    "lists": "[" * 3000,
    "structs": "{'a':" * 700,
    "mixed": "(CASE WHEN [" * 300,
    "after strings": r"path = E'\'(' OR path = $a$ ( $a$ OR " + "(" * 3000,
    "after a comment": "true /* ) */ OR " + "(" * 3000,
    "after other letters": "path = 'é' OR \"é\" = 1 OR " + "(" * 3000,
    "after closing brackets": ")" * 1000 + "(" * 2000,
}


@pytest.mark.parametrize("sql", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("policy", [SqlPolicy.untrusted(60), SqlPolicy.TRUSTED], ids=["untrusted", "trusted"])
def test_deep_nesting_is_refused_before_parsing(rows, monkeypatch, sql, policy):
    monkeypatch.setattr(row_filter, "require_safe", lambda *_: pytest.fail("it was parsed"))
    for asked in (
        lambda: rows.rows(sql, policy),
        lambda: rows.sort(sql, policy),
        lambda: rows.ranks(np.arange(2), sql, policy),
    ):
        started = time.thread_time()
        with pytest.raises(BadFilter, match="brackets are nested more than 50 deep"):
            asked()
        assert time.thread_time() - started < 0.5


def test_brackets_that_do_not_nest_are_allowed(rows):
    policy = SqlPolicy.untrusted(60)
    for sql in (
        " OR ".join(["(row >= 0)"] * 300),
        "(" * 45 + "true" + ")" * 45,
        "'" + "(" * 300 + "' != '' AND $$" + "[" * 300 + "$$ != '' AND \"row\" >= 0 -- " + "{" * 300,
    ):
        assert len(rows.rows(sql, policy)) == len(rows.rows("true", policy))


def test_parsing_is_under_the_time_limit(rows, monkeypatch):
    def parse_slowly(connection, name, sql):
        connection.execute("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b").fetchall()

    monkeypatch.setattr(row_filter, "require_safe", parse_slowly)
    with pytest.raises(BadFilter, match=r"where: took more than 0\.2 s"):
        rows.rows("row >= 0 AND true", SqlPolicy.untrusted(0.2))


@pytest.mark.parametrize("order", ["width DESC, path", "random()", "lower(path) COLLATE nocase ASC NULLS LAST"])
def test_allowed_orders_are_accepted(rows, order):
    policy = SqlPolicy.untrusted(5)
    assert len(rows.sort(order, policy)) == len(rows.rows("true", policy))


@pytest.mark.parametrize("order", ["(SELECT 1)", "repeat(path, 9)", "width LIMIT 1", "width; DROP TABLE rows", "1)--"])
def test_other_orders_are_refused(rows, order):
    policy = SqlPolicy.untrusted(5)
    with pytest.raises(BadFilter, match="order_by"):
        rows.sort(order, policy)
    with pytest.raises(BadFilter, match="order_by"):
        rows.ranks(rows.rows("row < 2", policy), order, policy)


def test_missing_policy_is_an_error(rows):
    for unchecked in (lambda: rows.rows("true"), lambda: rows.sort("row"), lambda: rows.ranks([0], "row")):
        with pytest.raises(TypeError, match="policy"):
            unchecked()


def test_policy_applies_in_every_thread_and_not_to_concurrent_trusted_searches(toy_lake):
    costly, policy = "row IN (SELECT max(row) FROM rows)", SqlPolicy.untrusted(5)
    trusted, untrusted = Recommender(toy_lake), Recommender(toy_lake, sql_policy=policy)
    query = ImageId(trusted.generation.rows["image_id"][0].as_py())

    def refused(number: int) -> bool:
        if number % 2:
            return len(trusted.search(query, where=costly)) != 1
        with pytest.raises(BadFilter, match="a subquery is not allowed"):
            untrusted.search(query, where=costly)
        with pytest.raises(BadFilter, match="a subquery is not allowed"):
            untrusted.search(query, order_by="(SELECT 1)")
        with pytest.raises(BadFilter, match="a subquery is not allowed"):
            list(untrusted.search_each([query], where=costly))
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(refused, range(8))) == [True, False] * 4


def test_slow_condition_is_interrupted(rows, monkeypatch):
    monkeypatch.setattr(conditions, "_CLASSES", conditions._CLASSES | {"SUBQUERY"})
    monkeypatch.setattr(conditions, "FUNCTIONS", conditions.FUNCTIONS | {"sum"})
    tables = ", ".join(f"rows r{i}" for i in range(8))
    with pytest.raises(BadFilter, match=r"where: took more than 0\.2 s"):
        rows.rows(f"(SELECT sum(r0.width * r1.width) FROM {tables}) > 1", SqlPolicy.untrusted(0.2))


def test_cancellation_interrupts_a_running_condition(rows, monkeypatch):
    monkeypatch.setattr(conditions, "_CLASSES", conditions._CLASSES | {"SUBQUERY"})
    monkeypatch.setattr(conditions, "FUNCTIONS", conditions.FUNCTIONS | {"sum"})
    policy, token, started = SqlPolicy.untrusted(60), CancellationToken(), time.monotonic()
    tables = ", ".join(f"rows r{i}" for i in range(8))
    cancelling = threading.Timer(0.2, token.cancel)
    cancelling.start()
    with cancellable_by(token), pytest.raises(Cancelled):
        rows.rows(f"(SELECT sum(r0.width * r1.width) FROM {tables}) > 1", policy)
    assert time.monotonic() - started < 30
    cancelling.join()
    with cancellable_by(token), pytest.raises(Cancelled), timed("fetch"):
        raise AssertionError("it was begun")
    with cancellable_by(CancellationToken()), timed("fetch"):
        assert len(rows.rows("row < 2", policy)) == 2


def test_filters_can_access_only_the_rows(rows):
    for sql, error in (
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("COPY rows TO 'x.csv'", "disabled by configuration"),
        ("ATTACH 'x.db'", "disabled by configuration"),
        ("SET memory_limit = '100GB'", "locked"),
        ("INSTALL httpfs", "disabled"),
    ):
        with pytest.raises(duckdb.Error, match=error):
            rows._connection.cursor().execute(sql)


def test_python_variables_are_not_tables(rows):
    import pyarrow as pa

    secret = pa.table({"a": [1]})
    assert secret.num_rows
    with pytest.raises(BadFilter, match="does not exist"):
        rows.rows("EXISTS (SELECT * FROM secret)", SqlPolicy.TRUSTED)
