"""Validation and time limits for SQL filters from untrusted clients.

Only an allow-list of expressions passes: columns, constants, comparisons, and functions whose result is not larger than
their arguments; no subqueries. An expression such as `len(range(1000000000)) > 1` took five minutes and 20 GB, despite
DuckDB's memory limit, and could not be interrupted (DuckDB 1.5, 2026-11).
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from imrec_core.errors import BadFilter
from imrec_core.runtime.cancellation import interrupt_on_cancel
from imrec_core.sql.syntax_errors import parse

if TYPE_CHECKING:
    import duckdb

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
# Without lists and arrays, which a cast could make of any length.
_TYPES = {
    "BOOLEAN", "BOOL", "TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
    "UINTEGER", "UBIGINT", "FLOAT", "REAL", "DOUBLE", "DECIMAL", "NUMERIC", "VARCHAR", "TEXT", "STRING", "CHAR",
    "DATE", "TIME", "TIMESTAMP", "INTERVAL",
}  # fmt: skip
_AGGREGATES = {"avg", "count", "count_star", "first", "last", "max", "mean", "median", "min", "mode", "sum"}
_FORBIDDEN_NODES = ("SET_OPERATION_NODE", "LIMIT_MODIFIER")


@dataclass(frozen=True)
class SqlPolicy:
    """Which SQL expressions are allowed, and how long they may run.

    `SqlPolicy.TRUSTED` is for SQL of the local user, `SqlPolicy.untrusted` for SQL of a network client.

    Attributes:
        is_trusted: Whether any expression is allowed.
        seconds: Time limit; None for no limit.
    """

    is_trusted: bool
    seconds: float | None
    TRUSTED: ClassVar[SqlPolicy]

    @classmethod
    def untrusted(cls, seconds: float) -> SqlPolicy:
        """Return the policy for clients: allow-listed expressions, each with a time limit."""
        return cls(False, seconds)


SqlPolicy.TRUSTED = SqlPolicy(True, None)


def require_safe(connection: duckdb.DuckDBPyConnection, name: str, condition: str) -> None:
    """Require that a condition or an order has only allow-listed expressions.

    Args:
        name: `where` or `order_by`.

    Raises:
        BadFilter: The SQL cannot be parsed, or has a subquery or a function that is not allowed.
    """
    parsed = parse(connection, name, condition)
    if len(parsed["statements"]) != 1:
        raise BadFilter(name, "several statements; expected one condition over the columns")
    for node in _walk(parsed["statements"][0]["node"]):
        forbidden = _find_forbidden(node)
        if forbidden:
            raise BadFilter(name, f"{forbidden} is not allowed here; {_advice(node)}")


def _advice(node: dict[str, Any]) -> str:
    """Say what to write in place of a node that is not allowed."""
    called = str(node.get("function_name", "")).lower()
    if called in _AGGREGATES or node.get("class") == "WINDOW":
        return "a filter looks at one image at a time"
    near = difflib.get_close_matches(called, FUNCTIONS, n=1) if called else []
    return f"did you mean {near[0]}?" if near else "compare columns with values"


def _find_forbidden(node: dict[str, Any]) -> str:
    """Name what a node has that is not allowed; empty if nothing."""
    kind = node.get("class")
    if (kind is not None and kind not in _CLASSES) or node.get("type") in _FORBIDDEN_NODES:
        return f"a {str(kind or node['type']).lower()}"
    if kind == "FUNCTION" and node["function_name"].lower() not in FUNCTIONS:
        return f"the function {node['function_name']}"
    if kind == "TYPE" and node["type_name"].upper() not in _TYPES:
        return f"the type {node['type_name']}"
    return ""


def _walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all nodes of DuckDB's syntax tree."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


@contextmanager
def time_limited(connection: duckdb.DuckDBPyConnection, name: str, seconds: float | None) -> Iterator[None]:
    """Interrupt a connection after a time limit, or when the cancellation token of this thread is cancelled.

    Args:
        name: `where` or `order_by`, for the error message.
        seconds: Time limit; None to run without limit and without cancellation.

    Raises:
        BadFilter: The time limit was exceeded.
        Cancelled: The token was cancelled.
    """
    if seconds is None:
        yield
        return
    import duckdb

    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        with interrupt_on_cancel(connection.interrupt):
            yield
    except duckdb.InterruptException as error:
        raise BadFilter(name, f"took more than {seconds:g} s; use a simpler expression") from error
    finally:
        timer.cancel()
