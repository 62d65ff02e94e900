"""Validation and time limits for SQL filters from untrusted clients.

SQL is a language to compute with: `len(range(1000000000)) > 1` took five minutes and 20 GB, whatever the memory limit
of DuckDB and without hearing an interruption (1.5, 2026-11). So where a server hands on what it is sent, a condition
may hold columns, constants, comparisons and functions that make nothing larger than what they are given; no query.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import duckdb

from imrec_core.errors import BadFilter
from imrec_core.runtime.cancellation import interrupt_on_cancel

FUNCTIONS = {
    "+", "-", "*", "/", "//", "%", "**", "~~", "!~~", "~~*", "!~~*", "~~~", "||", "@", "^@", "&", "|", "~",
    "<<", ">>", "abs", "bit_count", "ceil", "ceiling", "exp", "floor", "greatest", "hash", "isfinite", "isinf",
    "isnan", "least", "ln", "log", "log10", "log2", "mod", "pow", "power", "random", "round", "sign", "sqrt",
    "trunc", "concat", "contains", "ends_with", "ilike_escape", "lcase", "left", "length", "len", "like_escape",
    "lower", "ltrim", "not_ilike_escape", "not_like_escape", "prefix", "regexp_full_match", "regexp_matches",
    "reverse", "right", "rtrim", "starts_with", "strip_accents", "strlen", "strpos", "substr", "substring",
    "suffix", "trim", "ucase", "upper", "current_date", "date_part", "date_trunc", "datepart", "day", "dayname",
    "dayofweek", "dayofyear", "epoch", "hour", "minute", "month", "monthname", "now", "quarter", "second",
    "today", "to_days", "to_hours", "to_months", "to_years", "week", "weekday", "year", "ifnull", "nullif",
    "array_contains", "array_extract", "array_length", "list_contains", "list_element", "list_extract",
    "list_has", "list_value", "struct_extract",
}  # fmt: skip
"""Functions that untrusted SQL may call."""

_CLASSES = {
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION",
    "OPERATOR", "TYPE",
}  # fmt: skip
# To a list or an array of any length: no.
_TYPES = {
    "BOOLEAN", "BOOL", "TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
    "UINTEGER", "UBIGINT", "FLOAT", "REAL", "DOUBLE", "DECIMAL", "NUMERIC", "VARCHAR", "TEXT", "STRING", "CHAR",
    "DATE", "TIME", "TIMESTAMP", "INTERVAL",
}  # fmt: skip
_OTHER_NODES = ("SET_OPERATION_NODE", "LIMIT_MODIFIER")


@dataclass(frozen=True)
class SqlPolicy:
    """Where SQL comes from, and so what it may hold and how long it may run.

    `SqlPolicy.TRUSTED` is for SQL of the person whose process this is, `SqlPolicy.untrusted` for that of a client.

    Attributes:
        is_trusted: Any expression is allowed.
        seconds: After which it is interrupted; None for never.
    """

    is_trusted: bool
    seconds: float | None
    TRUSTED: ClassVar[SqlPolicy]

    @classmethod
    def untrusted(cls, seconds: float) -> SqlPolicy:
        """Plain expressions alone, see `require_safe`, each for so many seconds."""
        return cls(False, seconds)


SqlPolicy.TRUSTED = SqlPolicy(True, None)


def require_safe(connection: duckdb.DuckDBPyConnection, name: str, condition: str) -> None:
    """Refuse a condition or an order that is not plain.

    Args:
        name: `where` or `order_by`.

    Raises:
        BadFilter: It is no condition, holds a query or a function that is not allowed.
    """
    head = "SELECT row FROM rows WHERE (" if name == "where" else "SELECT row FROM rows ORDER BY "
    # A line of its own, so that a comment at its end does not take the bracket away.
    text = f"{head}\n{condition}\n" + ")" * (name == "where")
    said = json.loads(connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()[0][0])
    if said["error"]:
        raise BadFilter(f"{name}: {str(said.get('error_message', 'it cannot be read')).splitlines()[0]}")
    if len(said["statements"]) != 1:
        raise BadFilter(f"{name}: several statements; give one condition over the columns")
    for part in _parts(said["statements"][0]["node"]):
        odd = _odd(part)
        if odd:
            raise BadFilter(f"{name}: {odd} is not allowed here; compare columns with values")


def _odd(part: dict[str, Any]) -> str:
    """What a node has that is not plain, in words; empty where it is."""
    kind = part.get("class")
    if (kind is not None and kind not in _CLASSES) or part.get("type") in _OTHER_NODES:
        return f"a {str(kind or part['type']).lower()}"
    if kind == "FUNCTION" and part["function_name"].lower() not in FUNCTIONS:
        return f"the function {part['function_name']}"
    if kind == "TYPE" and part["type_name"].upper() not in _TYPES:
        return f"the type {part['type_name']}"
    return ""


def _parts(tree: Any) -> Iterator[dict[str, Any]]:
    """All nodes of what DuckDB read."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


@contextmanager
def time_limited(connection: duckdb.DuckDBPyConnection, name: str, seconds: float | None) -> Iterator[None]:
    """Interrupt a connection after so many seconds, or when the token of this thread is cancelled.

    Args:
        name: Of what it runs, for the message.
        seconds: None for no limit, and no interruption.

    Raises:
        BadFilter: It took too long.
        Cancelled: The token was cancelled.
    """
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        with interrupt_on_cancel(connection.interrupt):
            yield
    except duckdb.InterruptException as error:
        raise BadFilter(f"{name}: it took more than {seconds:g} s; ask for less at a time") from error
    finally:
        timer.cancel()
